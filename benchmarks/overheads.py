"""What fdl costs besides the steps, and how soon it starts: measures and writes its section of docs/benchmarks.md.

    python -m benchmarks.overheads

The costs of the loop, of logging and of saving are measured by themselves, since one percent of a step drowns in the
noise of the step. They are given as shares of a step of 5 ms. Starts are the commands a reader would type.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import page

STEP = 5e-3  # seconds: the bars hold for steps that take at least so long
TOGETHER = 10  # steps of 5 ms that fdl makes one call where the machine does 2e11 operations a second (CALL_WORK)
OFTEN = 50  # steps between log lines where nothing else is said
REPEATS = 5


def costs() -> dict[str, Any]:
    """Return the seconds that a step's round through the loop takes, that a log line takes, and a checkpoint.

    Of a checkpoint: those that the loop waits, those of processor time beside it, and those until it lies on the disk.
    """
    import jax

    from benchmarks import inputs
    from benchmarks.contenders.fdl import experiment
    from benchmarks.workloads import WORKLOADS
    from fdl.core.types import Sum, add_up
    from fdl.engine.cadence import cadence_of
    from fdl.engine.measures import Feeding
    from fdl.engine.program import train_until_due, training
    from fdl.parallel.executors import fetch, jit
    from fdl.runs.checkpoints.manager import Checkpoints
    from fdl.runs.progress_bar import bar, brief
    from fdl.runs.writers.record import Record

    work = WORKLOADS["W1"]
    made, executor = experiment(work, inputs.weights(work), *inputs.data(work)), jit()
    program = training(made, executor)
    state = executor.put_state(made.init())
    state, sums = program.call(state, program.rows(0, 1))
    fetched = fetch(sums)
    due, by_ten, task = cadence_of(10**9, 1000, 0, 0, 1), cadence_of(10**9, 1000, 0, 0, TOGETHER), made.task

    @jax.jit
    def zeros(rows: Any) -> Any:
        return {name: Sum(*jax.numpy.zeros((2, len(rows.weights)))) for name in sums}

    def nothing(state: Any, rows: Any) -> Any:
        return state, zeros(executor.put_chunk(rows))

    placed = [jax.device_put(program.rows(0, steps)) for steps in (1, TOGETHER)]

    def bare(steps: int) -> None:
        for _ in range(0, 1000, steps):
            last = zeros(placed[steps > 1])
        jax.block_until_ready(last)

    with tempfile.TemporaryDirectory() as folder, bar(10**9, 0, "step", "loop") as shown:

        def loop() -> None:
            train_until_due(nothing, program.rows, state, 1000, due, shown.update, lambda: False)

        def loop_by_ten() -> None:
            train_until_due(nothing, program.rows, state, 1000, by_ten, shown.update, lambda: False)

        timing = Feeding(dataclasses.replace(program, call=nothing))

        def loop_timed() -> None:
            train_until_due(timing.call, timing.rows, state, 1000, due, shown.update, lambda: False)

        with Record(Path(folder), 0) as record:

            def log() -> None:
                for step in range(100):
                    values = task.finish(add_up([fetched]))
                    record.write("train", step, 0.5, {**values, "seconds": 1.0})
                    shown.set_postfix_str(brief(values), refresh=False)

            values = {**task.finish(add_up([fetched])), **extras(made, executor)(), "seconds": 1.0}

            def write() -> None:
                for step in range(100):
                    record.write("train", step, 0.5, values)

            looping = (timed(loop) - timed(lambda: bare(1))) / 1000
            ten = (timed(loop_by_ten) - timed(lambda: bare(TOGETHER))) / 1000
            waiting = (timed(loop_timed) - timed(loop)) / 1000
            logging, writing = timed(log) / 100, timed(write) / 100
        checkpoints = Checkpoints(Path(folder, "checkpoints"))
        steps = count(1)

        def save() -> tuple[float, float, float]:
            step = jax.numpy.asarray(next(steps))
            begun, used = time.perf_counter(), time.process_time()
            checkpoints.save(state._replace(step=step), {"score": None})
            waited, own = time.perf_counter() - begun, time.process_time() - used
            checkpoints.wait()
            return waited, time.process_time() - used - own, time.perf_counter() - begun

        waited, beside, whole = (median(seen) for seen in zip(*[save() for _ in range(REPEATS + 1)][1:], strict=True))
        saving = {"waited": waited, "beside": beside, "whole": whole}
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((state.params, state.opt_state)))
    line = extras(made, executor)

    def measure() -> None:
        for _ in range(100):
            line()

    measuring = timed(measure) / 100
    lines = {"log": logging, "extras": measuring, "writers": writing, "tracker": tracking(), "waiting": waiting}
    return {"loop": looping, "ten": ten, **lines, "save": saving, "bytes": size}


def extras(made: Any, executor: Any) -> Callable[[], dict[str, float]]:
    """Return what computes the values of a log line besides the means of its metrics."""
    from fdl.core.types import Sum
    from fdl.engine.measures import Measures, gradient_norm
    from fdl.runs.progress import Progress

    measure, window, progress = Measures(made, executor), {"gradient_norm": Sum(1.0, 1.0)}, Progress()
    state = executor.put_state(made.init())

    def values() -> dict[str, float]:
        nonlocal state
        progress.lap = 50, 0.25, 0.0
        state, measured = measure(state, 7)
        return {**measured, **progress.speed(made.batch_size), **gradient_norm(window)}

    return values


def tracking() -> float:
    """Return the seconds that training waits for a tracker for each line: its thread does the rest."""
    from fdl.runs.writers.tracker import Tracker
    from fdl.runs.writers.writer import RunInfo

    class Nowhere(Tracker):
        package = "nowhere"

        def make(self, run: Any) -> Any:
            return {}

        def open(self, run: Any, kept: Any, new: bool) -> None:
            pass

        def known(self, run: Any) -> Any:
            return ()

        def send(self, rows: Any) -> None:
            pass

        def end(self, status: str) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder:
        tracker = Nowhere()
        tracker.start(RunInfo(workdir=Path(folder)))
        values = {"loss": 0.1, "accuracy": 0.9, "learning_rate": 0.1, "gradient_norm": 0.2, "seconds": 1.0}

        def write() -> None:
            for step in range(1000):
                tracker.write("train", step, 0.5, values)

        seen = timed(write) / 1000
        tracker.close(None)
    return seen


def timed(run: Callable[[], None]) -> float:
    """Return the median seconds of a few runs, after one that warms up."""
    run()
    seen = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        run()
        seen.append(time.perf_counter() - begun)
    return median(seen)


def start(cache: Path) -> float:
    """Return the seconds from the start of the process to the first finished step of digits_mlp."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "run", "metrics.jsonl")
        flags = ["--experiment=digits_mlp", "--log_every=1", f"--workdir={lines.parent}"]
        begun = time.perf_counter()
        running = subprocess.Popen(
            [sys.executable, "launch.py", *flags],
            cwd=page.ROOT,
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (lines.exists() and lines.stat().st_size):
            assert running.poll() is None, "it ended before its first step"
            time.sleep(0.005)
        seen = time.perf_counter() - begun
        running.kill()
        running.wait()
    return seen


def starts() -> dict[str, list[float]]:
    """Return the seconds of cold and warm starts, and of the answers that need no JAX."""
    found: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            found["cold"].append(start(Path(cache)))
            found["warm"].append(start(Path(cache)))
    for flag in ("--help", "--list", "--widht=3"):
        found[flag] = []
        for _ in range(3):
            begun = time.perf_counter()
            command = [sys.executable, "-X", "importtime", "launch.py", flag]
            done = subprocess.run(command, cwd=page.ROOT, capture_output=True, text=True, check=False)
            found[flag].append(time.perf_counter() - begun)
            assert not any(line.split("|")[-1].strip() == "jax" for line in done.stderr.splitlines()), "imports jax"
    return found


def section(record: page.Record) -> list[str]:
    """Return the lines of the overheads."""
    costs, starts = record["costs"], record["starts"]
    save, mib = costs["save"], costs["bytes"] / 2**20

    def row(what: str, cost: str, seen: float, bar: float, form: str) -> str:
        says = "holds" if seen <= bar else f"**misses by {seen / bar - 1:.0%}**"
        return f"| {what} | {cost} | {form.format(seen)} | {form.format(bar)} | {says} |"

    def each(what: str, name: str) -> str:
        return row(what, f"{costs[name] * 1e6:.0f} µs", costs[name] / STEP, 0.01, "{:.2%}")

    lines = [
        "## Overheads and start",
        "",
        "Written by `python -m benchmarks.overheads`. What the loop, a log line and a checkpoint cost is measured by",
        f"itself and given as a share of a step of {STEP * 1e3:g} ms: the loop with a program that does nothing, less",
        f"a bare Python loop over that program (fdl makes some {TOGETHER} such steps one call; one a call is the worst",
        f"case, and what a log line every step needs), a checkpoint of {mib:.1f} MiB as what the loop waits for it",
        "and an even share of the cores for what is done beside the steps. Starts are medians of three, from the start",
        "of the process to the first finished step of `digits_mlp`, with an empty compile cache and with a full one.",
        "",
        page.where(record["machine"]) + f" Others: {record['others']:.0%} of the cores.",
        "",
        "| | cost | seen | bar | |",
        "|---|---|---|---|---|",
        row(
            f"loop, {TOGETHER} steps a call", f"{costs['ten'] * 1e6:.0f} µs a step",
            costs["ten"] / STEP, 0.01, "{:.2%}",
        ),
        row("loop, one step a call", f"{costs['loop'] * 1e6:.0f} µs a step", costs["loop"] / STEP, 0.01, "{:.2%}"),
        each("a log line every step", "log"),
        each("of it writing, to `metrics.jsonl` and TensorBoard", "writers"),
        row(
            f"its learning rate, norms, speed and input wait, every {OFTEN} steps (the default)",
            f"{costs['extras'] * 1e6:.0f} µs", costs["extras"] / (OFTEN * STEP), 0.01, "{:.2%}",
        ),
        each("timing the wait for input, one step a call", "waiting"),
        each("a tracker (`--track`) of a log line every step", "tracker"),
        row(
            "a checkpoint every 100 steps",
            f"{save['waited'] * 1e3:.1f} ms, {save['beside'] * 1e3:.1f} ms of a core beside, "
            f"on the disk after {save['whole'] * 1e3:.0f} ms",
            (save["waited"] + save["beside"] / record["machine"]["cores"]) / (100 * STEP), 0.02, "{:.2%}",
        ),
    ]  # fmt: skip
    bars = {"cold": 6.0, "warm": 3.0}
    for name, seen in starts.items():
        what = f"{name} start" if name in bars else f"`launch.py {name}`, without importing jax"
        spread = f"{min(seen):.2f} to {max(seen):.2f} s"
        lines.append(row(what, spread, median(seen), bars.get(name, 1.0), "{:.2f} s"))
    return lines


def main() -> None:
    """Measure and write."""
    with page.Others() as others:
        begun = os.times()
        record: page.Record = {"costs": costs(), "starts": starts()}
        ended = os.times()
        others.own = sum(ended[:4]) - sum(begun[:4])
    record |= {"others": others.share, "machine": page.machine()}
    lines = section(record)
    page.keep("overheads", record, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
