import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from fdl.parallel import processes
from fdl.runs.metrics_log import CLOCKED, lines
from fdl.runs.signals import on_request

HERE = Path(__file__).resolve().parents[1]
ALL = 99


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(workdir: Path, count: int, saves: int = ALL, folders: str = "common") -> None:
    """Train in so many processes on loopback until the end, or until so many checkpoints are saved."""
    port = free_port()
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "", "FOLDERS": folders}
    started = [
        subprocess.Popen(
            [sys.executable, HERE / "one_process.py", *map(str, (workdir, saves, port, count, index))],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for index in range(count)
    ]
    try:
        said = [process.communicate(timeout=240)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * count, "\n".join(said)
    assert all("test " not in words for words in said[1:]), "only the first process speaks"


def numbers(workdir: Path) -> list[float]:
    """Every number of the record but the clock's."""
    return [
        value
        for line in lines(workdir / "metrics.jsonl")
        for name, value in line.items()
        if isinstance(value, int | float) and name not in CLOCKED
    ]


def writers(workdir: Path) -> set[str]:
    """What the newest checkpoint is made of: the state in one, or the pieces of each process."""
    (*_, newest) = sorted((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
    return {path.name for path in newest.iterdir() if path.is_dir()}


def test_two_processes_equal_one_and_write_together(tmp_path) -> None:
    run(tmp_path / "one", 1)
    run(tmp_path / "two", 2)
    assert writers(tmp_path / "one") == {"state"}
    assert writers(tmp_path / "two") == {"pieces-0", "pieces-1"}
    np.testing.assert_allclose(numbers(tmp_path / "two"), numbers(tmp_path / "one"), rtol=1e-6, atol=1e-6)
    assert [line["n"] for line in lines(tmp_path / "two" / "metrics.jsonl") if line["split"] == "test"] == [11]


@pytest.mark.slow
def test_a_run_goes_on_in_any_number_of_processes(tmp_path) -> None:
    run(tmp_path / "one", 1)
    for count, folders in ((1, "common"), (2, "common"), (4, "apart"), (4, "common")):
        run(tmp_path / "many", count, 1, folders)
        apart = count == 1 or folders == "apart"
        assert writers(tmp_path / "many") == ({"state"} if apart else {f"pieces-{i}" for i in range(count)})
    run(tmp_path / "many", 1)
    np.testing.assert_allclose(numbers(tmp_path / "many"), numbers(tmp_path / "one"), rtol=1e-6, atol=1e-6)


def test_half_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="--distributed lacks --processes and --process"):
        processes.join("127.0.0.1:1")


def test_without_a_cluster_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def initialize(*args, **settings) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(ValueError, match=r"finds no cluster here .* give --coordinator=host:port"):
        processes.join()


def test_a_signal_that_jax_took_for_itself_is_ours_again_after_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    def initialize(*args, **settings) -> None:
        ctypes.CDLL(None).signal(signal.SIGTERM, signal.SIG_IGN)

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(processes.heartbeat, "start", lambda: None)
    with on_request() as request:
        processes.join()
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal == "SIGTERM"


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_the_same_step_with_everything_saved(tmp_path) -> None:
    flags = [
        f"--workdir={tmp_path / 'run'}",
        "--accelerator=cpu",
        "--width=8",
        "--epochs=3000",
        "--evaluate_every=9999",
    ]
    joined = [f"--coordinator=127.0.0.1:{free_port()}", "--distributed", "--processes=2"]
    started = [
        subprocess.Popen(
            [sys.executable, "launch.py", *flags, *joined, f"--process={index}"],
            cwd=HERE.parent,
            env={**os.environ, "XLA_FLAGS": ""},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for index in range(2)
    ]
    try:
        while not lines(tmp_path / "run" / "metrics.jsonl"):
            assert started[0].poll() is None, started[0].communicate()
            time.sleep(0.1)
        started[1].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [75, 75], said
    (saved,) = (path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert all(f"SIGTERM at step {saved}: everything is saved" in words for words in said)
