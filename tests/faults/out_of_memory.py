"""Memory that runs out: a run is left with little more than it holds, and goes on once it may have more."""

import os
import random
import resource
import shutil
import time
from pathlib import Path

import kills
import runs
from runs import Row

MEGABYTES = 128  # at most so many more than it holds


def starve(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Limit the address space of runs at a random moment; whatever that ends, the same command finishes as if not."""
    wholes: dict[str, tuple[Path, float]] = {}
    ends = {"to their end": 0, "in one line": 0, "by an abort of XLA's or TensorStore's own threads": 0}
    while not row.over(tries):
        family = rng.choice(["mlp", "cnn", "lstm", "transformer"])
        if family not in wholes:
            wholes[family] = kills.reference(folder, family, "jit")
        whole, seconds = wholes[family]
        workdir, log = folder / "run", folder / "log"
        shutil.rmtree(workdir, ignore_errors=True)
        argv = runs.command(workdir, family, "jit")
        starved = limited(argv, log, rng.uniform(0.05, seconds), rng.randrange(MEGABYTES << 20))
        steps = sorted(runs.committed(workdir)) if workdir.exists() else []
        problem = None
        if starved.hung:
            problem = f"it hangs: {starved.said[-300:]}"
        elif starved.code == 0:
            ends["to their end"] += 1
        elif starved.code == 1 and "error: " in starved.said and "Traceback" not in starved.said:
            ends["in one line"] += 1
        elif starved.code in (-6, -11, 127):
            ends["by an abort of XLA's or TensorStore's own threads"] += 1
        else:
            problem = f"exit {starved.code}: {starved.said[-600:]}"
        again = runs.run(argv, log)
        if steps and starved.code and f"goes on from step {steps[-1]}" not in again.said:
            problem = problem or f"did not go on from {steps}: {again.said[-300:]}"
        problem = problem or (f"exit {again.code}: {again.said[-300:]}" if again.code else None)
        problem = problem or kills.compare(workdir, whole)
        row.attempt(problem and f"{family}: {problem}")
    row.note = "; ".join(f"{count} ended {how}" for how, count in ends.items())


def limited(argv: list[str], log: Path, after: float, more: int) -> runs.Ended:
    """Start a run, leave it so many more bytes than it holds after some seconds, and wait for its end."""
    watch, pid = runs.Awake(), runs.start(argv, log)
    while watch() < after and not runs.ended(pid):
        time.sleep(0.01)
    held = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    if held:  # it has not ended
        resource.prlimit(pid, resource.RLIMIT_AS, (held + more, held + more))
    return runs.finish(pid, log, 120, watch)
