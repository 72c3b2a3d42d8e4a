import ctypes
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import tiny
from fdl.core.errors import FAULT, UserError
from fdl.engine.population import Population
from fdl.modes.train_population import train_population
from fdl.parallel import processes
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED, lines
from fdl.runs.signals import on_request

HERE = Path(__file__).resolve().parents[1]
ALL = 99


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(workdir: Path, count: int, saves: int = ALL, folders: str = "common", **more: str) -> None:
    """Train in so many processes on loopback until the end, or until so many checkpoints are saved.

    more: of the processes' environment; KILLED is the index of one that kills itself while it writes.
    """
    port = free_port()
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "", "FOLDERS": folders, **more}
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
    killed = int(more.get("KILLED", ALL))
    ended = [FAULT] * count if killed < count else [0] * count
    assert [process.returncode for process in started] == [
        -signal.SIGKILL if index == killed else code for index, code in enumerate(ended)
    ], "\n".join(said)
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


def numbers_read(folder: Path, count: int) -> list[int]:
    """How many numbers of pieces each process has read to resume."""
    return [sum(json.loads((folder / f"{index}.json").read_text()).values()) for index in range(count)]


def elements(leaf: dict[str, Any]) -> int:
    """How many numbers a leaf has."""
    return math.prod(leaf["shape"])


def test_two_processes_equal_one_and_write_and_read_each_its_shards(tmp_path) -> None:
    run(tmp_path / "one", 1)
    run(tmp_path / "two", 2, 2)
    run(tmp_path / "two", 2, READ=str(tmp_path))
    (*_, newest) = Checkpoints(tmp_path / "two" / "checkpoints").steps()
    leaves = Checkpoints(tmp_path / "two" / "checkpoints").verify(newest)["leaves"].values()
    split = sum(size for size in map(elements, leaves) if size > 4)
    for size in numbers_read(tmp_path, 2):
        assert split / 2 <= size < split / 2 + 40, "half of what is split, and small leaves that are not"
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


@pytest.mark.slow
def test_one_of_four_is_killed_while_it_writes_and_two_go_on_from_the_last_whole_checkpoint(tmp_path) -> None:
    run(tmp_path / "one", 1)
    run(tmp_path / "many", 4, KILLED="2")
    checkpoints = Checkpoints(tmp_path / "many" / "checkpoints")
    assert checkpoints.steps() == [2], "the second was never whole"
    run(tmp_path / "many", 2, READ=str(tmp_path))
    np.testing.assert_allclose(numbers(tmp_path / "many"), numbers(tmp_path / "one"), rtol=1e-6, atol=1e-6)
    assert writers(tmp_path / "many") == {"pieces-0", "pieces-1"}
    (first, second), whole = numbers_read(tmp_path, 2), sum(map(elements, checkpoints.verify(8)["leaves"].values()))
    assert max(first, second) < 0.6 * whole, "each reads two of four parts, and small leaves that are not split"


def test_a_population_over_processes_is_one_line(tmp_path, monkeypatch) -> None:
    members = Population(make=lambda seed: tiny.experiment(seed=seed), values={"seed": np.arange(2)})
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(UserError, match="a population runs in one process and there are 2; leave out --distributed"):
        train_population(members, tmp_path, log=None)
    assert not list(tmp_path.iterdir())


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
