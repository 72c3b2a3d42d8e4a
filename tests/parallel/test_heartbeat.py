import pytest

from fdl.parallel import heartbeat
from fdl.parallel.heartbeat import SILENCE, Heartbeats


class Store:
    """The keys that all processes see, while the first is there to answer."""

    def __init__(self):
        self.values: dict[str, str] = {}
        self.frozen = False

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        if self.frozen:
            raise RuntimeError("DEADLINE_EXCEEDED")
        self.values[key] = value

    def key_value_dir_get(self, place: str) -> list[tuple[str, str]]:
        return [(key, value) for key, value in self.values.items() if key.startswith(place)]


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reasons: list[str] = []
    monkeypatch.setattr(heartbeat, "exit_process", reasons.append)
    return reasons


def live(processes: list[Heartbeats], turns: int) -> None:
    for _ in range(turns):
        for process in processes:
            process.send()
            process.listen()


def test_processes_that_live_hear_each_other(left):
    store = Store()
    live([Heartbeats(store, index, 4) for index in range(4)], 3 * SILENCE)
    assert not left


def test_the_first_notices_which_one_is_silent(left):
    store = Store()
    processes = [Heartbeats(store, index, 3) for index in range(3)]
    live(processes, 5)
    live(processes[:2], SILENCE)
    assert not left
    live(processes[:2], 1)
    assert left == [f"process 2 has sent no heartbeat for {SILENCE} seconds"]


def test_the_others_notice_that_the_first_is_silent(left):
    store = Store()
    processes = [Heartbeats(store, index, 3) for index in range(3)]
    live(processes, 5)
    store.frozen = True
    live(processes[1:], SILENCE - 1)
    assert not left
    live(processes[1:], 1)
    assert left == [f"process 0 has sent no heartbeat for {SILENCE} seconds"] * 2


def test_one_that_takes_fewer_turns_is_alive(left):
    store = Store()
    first, slow = (Heartbeats(store, index, 2) for index in range(2))
    for _ in range(5):
        live([first], SILENCE - 1)
        live([slow], 1)
    assert not left
