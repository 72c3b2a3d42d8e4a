"""How fast the server of docs/serving.md answers: trains digits_mlp, starts the server, writes its section of the page.

    python -m benchmarks.serving

Requests go over loopback on connections that stay open, the clients on the same cores as the server.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from benchmarks.page import put_between

PAGE = Path(__file__).parents[1] / "docs" / "serving.md"
CLIENTS = 8
REQUESTS = 1000


def server() -> str:
    """Return the server, the first block of Python in the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]


def seconds(port: int, body: str, requests: int) -> list[float]:
    """Return the seconds of each of so many requests, one after another on one connection."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", port), []
    for _ in range(requests):
        begun = time.perf_counter()
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
        answer = response.read()
        taken.append(time.perf_counter() - begun)
        assert response.status == 200, answer
    return taken


def measure(port: int, rows: list[list[list[float]]]) -> list[str]:
    """Return the lines of the page: one row, many clients, and 64 rows a request."""
    one, many = json.dumps(rows[:1]), json.dumps(rows[:64])
    for body in (one, many):
        seconds(port, body, 20)  # compiles
    alone = sorted(seconds(port, one, REQUESTS))
    together = sorted(seconds(port, many, REQUESTS // 4))
    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda _: seconds(port, one, REQUESTS // 4), range(CLIENTS)))
    rate = CLIENTS * (REQUESTS // 4) / (time.perf_counter() - begun)
    return [
        "| request | median | 99th percentile | per second |",
        "|---|---|---|---|",
        f"| one row, one client | {1e3 * median(alone):.1f} ms | {1e3 * alone[int(0.99 * len(alone))]:.1f} ms | "
        f"{len(alone) / sum(alone):,.0f} |",
        f"| 64 rows, one client | {1e3 * median(together):.1f} ms | "
        f"{1e3 * together[int(0.99 * len(together))]:.1f} ms | {len(together) / sum(together):,.0f} |",
        f"| one row, {CLIENTS} clients | | | {rate:,.0f} |",
    ]


def main() -> None:
    """Measure, and write the section."""
    import numpy as np

    import fdl

    with tempfile.TemporaryDirectory() as folder:
        made = fdl.load("digits_mlp")
        fdl.train(made, Path(folder) / "run", log=None)
        rows = made.dataset.load("test").fetch(np.arange(64)).inputs.tolist()
        (Path(folder) / "serve.py").write_text(server(), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "serve:app", f"--port={port}", "--log-level=error"]
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, "RUN": str(Path(folder) / "run")})
        try:
            for _ in range(600):
                with socket.socket() as there:
                    if there.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            lines = measure(port, rows)
        finally:
            process.terminate()
            process.wait()
    lines += ["", f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."]
    put_between(PAGE, "<!-- serving -->", "<!-- end of serving -->", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
