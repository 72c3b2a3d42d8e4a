"""Two processes as one run, one of them killed or frozen: the other ends by itself, and the same commands go on."""

import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import runs
from runs import Row

BAR = 15.0


def killed(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Kill one of two processes at a random moment."""
    hurt(row, tries, rng, folder, signal.SIGKILL)


def frozen(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Freeze one of two processes at a random moment."""
    hurt(row, tries, rng, folder, signal.SIGSTOP)


def hurt(row: Row, tries: int, rng: random.Random, folder: Path, number: signal.Signals) -> None:
    """Take one of two away, wait for the other, look at what is kept, and go on."""
    while not row.over(tries):
        workdir, index = folder / "run", row.tries % 2
        shutil.rmtree(workdir, ignore_errors=True)
        row.attempt(*attempt(workdir, index, number, rng.uniform(0, 3)))
    row.note = (
        "the first and the second in turn; worst: until the other has ended; then both go on from the last commit"
    )


def pair(workdir: Path, steps: int) -> list[subprocess.Popen[bytes]]:
    """Start two processes of one run on the loopback address; what each says goes to a file, for a pipe may fill up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [*runs.command(workdir, "mlp", "jit"), f"--steps={steps}", "--executor=mesh"]
    joined = ["--distributed", f"--coordinator=127.0.0.1:{port}", "--processes=2"]
    both = []
    for index in range(2):
        with log(workdir, index).open("w") as told:
            both.append(
                subprocess.Popen(
                    [sys.executable, str(runs.ROOT / "launch.py"), *argv, *joined, f"--process={index}"],
                    stdout=told,
                    stderr=told,
                )
            )
    return both


def log(workdir: Path, index: int) -> Path:
    """Return where one of two writes what it says."""
    return workdir.with_name(f"log{index}")


def ends(process: subprocess.Popen[bytes], limit: float) -> float | None:
    """Wait for a process and return the seconds until its end, None where it takes longer than the limit."""
    watch = runs.Awake()
    while process.poll() is None:
        if watch() > limit:
            return None
        time.sleep(0.01)
    return watch()


def attempt(workdir: Path, index: int, number: signal.Signals, after: float) -> tuple[str | None, float | None]:
    """Return what went wrong when one of two was taken away, if anything did, and how long the other took to end."""
    both, other = pair(workdir, 1_000_000), 1 - index
    try:
        while len(steps := runs.listed(workdir)) < 2:
            if both[0].poll() is not None or both[1].poll() is not None:
                return f"did not start: {log(workdir, 0).read_text()} {log(workdir, 1).read_text()}", None
            time.sleep(0.1)
        time.sleep(after)
        both[index].send_signal(number)
        seconds = ends(both[other], 60)
    finally:
        for process in both:
            process.kill()
            process.wait()
    said, left = log(workdir, other).read_text(), sorted(runs.committed(workdir))
    if seconds is None:
        return f"the other of {index} hangs: {said[-600:]}", None
    if both[other].returncode != 1 or not ("another has ended or is frozen" in said or "another task died" in said):
        return f"the other of {index}: exit {both[other].returncode}: {said[-600:]}", seconds
    if left[-1] < steps[-1]:
        return f"step {steps[-1]} was lost, {left} are left", seconds
    if seconds > BAR:
        return f"the other of {index} took {seconds:.1f} s", seconds
    return go_on(workdir, left[-1]), seconds


def go_on(workdir: Path, step: int) -> str | None:
    """Start both again, ask them to stop, and say what went wrong, if anything did."""
    both = pair(workdir, 1_000_000)
    try:
        while max(runs.listed(workdir)) <= step:
            if both[0].poll() is not None or both[1].poll() is not None:
                break
            time.sleep(0.1)
        both[0].send_signal(signal.SIGTERM)
        stopped = [ends(process, 60) for process in both]
    finally:
        for process in both:
            process.kill()
            process.wait()
    said = [log(workdir, index).read_text() for index in range(2)]
    codes = [process.returncode for process in both]
    fine = codes == [75, 75] and None not in stopped and f"goes on from step {step}" in said[0]
    return None if fine else f"going on: {codes}: {[text[-600:] for text in said]}"
