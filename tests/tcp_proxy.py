"""A TCP proxy on loopback that hurts connections: what networks and overloaded servers do to a client."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

FAULTS = ("reset", "lost request", "lost answer", "truncated")
LATER = ("stalled", "trickle")  # a client only notices these by its own clock


class Proxy:
    """Connections to `port` are passed on to `target`, each piece of a request with the fate that `fate()` draws.

    fate: returns "" for none, or one of

        reset         the connection ends before the request is passed on
        lost request  half of the piece is passed on, then the connection ends
        lost answer   all of it is, and the connection ends before the answer
        truncated     the connection ends within the answer
        stalled       no answer ever comes
        trickle       the answer comes byte by byte, ten a second

    met: how often each fate was met.
    """

    def __init__(self, target: int, fate: Callable[[], str] = lambda: ""):
        self.target, self.fate, self.met = target, fate, dict[str, int]()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Pass requests on until either side is done."""
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            fated = [""]
            threading.Thread(target=_answer, args=(server, client, fated), daemon=True).start()
            while piece := client.recv(2**16):
                if fate := fated[0] or self.fate():
                    self.met[fate] = self.met.get(fate, 0) + (not fated[0])
                    fated[0] = fate
                if fate == "reset":
                    return _reset(client)
                server.sendall(piece[: len(piece) // 2] if fate == "lost request" else piece)
                if fate == "lost request":
                    return _reset(client)
            server.shutdown(socket.SHUT_WR)


def _answer(server: socket.socket, client: socket.socket, fated: list[str]) -> None:
    """Pass answers back, as the fate of their request wants it."""
    with suppress(OSError):
        while piece := server.recv(2**16):
            match fated[0]:
                case "lost answer":
                    return _reset(client)
                case "truncated":
                    client.sendall(piece[: random.randrange(len(piece))])
                    return _reset(client)
                case "stalled":
                    continue
                case "trickle":
                    for byte in piece:
                        client.sendall(bytes([byte]))
                        time.sleep(0.1)
                case _:
                    client.sendall(piece)
        client.shutdown(socket.SHUT_WR)


def _reset(client: socket.socket) -> None:
    """End a connection with a reset, not in order."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.shutdown(socket.SHUT_RDWR)
    client.close()


@contextmanager
def proxying(target: int) -> Iterator[Proxy]:
    """Put a proxy before a port; it hurts nothing until its `fate` is set."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
