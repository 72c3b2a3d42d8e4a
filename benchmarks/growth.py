"""How cost grows: time of a step and memory against one size after another; writes its section of docs/benchmarks.md.

    python -m benchmarks.growth                    measures everything and draws the plots of docs/
    python -m benchmarks.growth --only=batch,time  these, and keeps the record of the others

Every point is a process of its own, measured by the bench that `--mode=bench` runs. Data are made up and resident.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks import page


@dataclass(frozen=True)
class Point:
    """What one process measures: an MLP of `depth` hidden layers, or with `time` a causal Transformer of 128 units."""

    batch: int = 128
    width: int = 512
    depth: int = 2
    examples: int = 10_000
    devices: int = 1
    time: int = 0


@dataclass(frozen=True)
class Sweep:
    """One size that grows. what: on the plot's axis; expect: how the time should grow, in words."""

    what: str
    field: str
    values: tuple[int, ...]
    expect: str
    base: Point = Point()


SWEEPS = {
    "batch": Sweep("examples in a batch", "batch", (8, 32, 128, 512, 2048), "in proportion once cores are full"),
    "width": Sweep("width of the hidden layers", "width", (64, 256, 1024, 2048), "with its square once it leads"),
    "depth": Sweep("hidden layers", "depth", (1, 2, 4, 8, 16), "in proportion"),
    "time": Sweep(
        "tokens in a sequence", "time", (32, 64, 128, 256, 512), "in proportion, then with attention's square",
        Point(batch=8),
    ),
    "devices": Sweep(
        "simulated devices that share two cores", "devices", (1, 2, 4, 8), "not at all, but for what sharing costs"
    ),
    "examples": Sweep(
        "examples in the training split", "examples", (10**3, 10**4, 10**5, 10**6, 10**7), "not at all",
        Point(batch=32, width=64),
    ),
}  # fmt: skip
FEATURES = 16


def measure(point: Point) -> dict[str, float]:
    """Return what one point costs; called in a process of its own."""
    from fdl.parallel import jax_startup

    jax_startup.prepare_jax({"fake_devices": point.devices if point.devices > 1 else None, "accelerator": "cpu"}, None)
    import time

    import jax
    import numpy as np
    import optax

    from fdl import models, tasks
    from fdl.data.dataset import Dataset, Spec, columns
    from fdl.engine.shuffle import orders
    from fdl.experiment import Experiment
    from fdl.modes.bench import bench

    random = np.random.default_rng(0)
    model: Any
    if point.time:
        x = random.integers(0, 128, (point.examples, point.time), np.int32)
        y, classes = x[:, 0] % 10, 10
        model = models.Transformer(10, 128, 128, 2, 4, context=point.time, causal=True)
    else:
        x = random.random((point.examples, FEATURES), np.float32)
        y, classes = (x[:, 0] * 10).astype(np.int32), 10
        model = models.MLP(classes, (point.width,) * point.depth)
    source = columns(x, y)
    spec = Spec(
        inputs=jax.ShapeDtypeStruct(x.shape[1:], x.dtype),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=dict.fromkeys(("train", "validation", "test"), point.examples),
        classes=classes,
        vocabulary=128 if point.time else None,
    )
    made = Experiment(
        model=model,
        dataset=Dataset(name="made up", spec=spec, load=lambda split: source),
        task=tasks.classify(classes),
        optimizer=optax.adam(1e-3),
        batch_size=point.batch,
        steps=10**9,
        log_every=100,
        feed="resident",
        executor="mesh" if point.devices > 1 else "jit",
    )
    seen = bench(made, seconds=0.4, windows=3, log=lambda line: None)
    begun = time.perf_counter()
    for step in range(10**6, 10**6 + 100):
        orders(0, step, 1, batch_size=point.batch, size=point.examples)
    order = (time.perf_counter() - begun) / 100
    return {
        "ms": 1e3 / seen["steps_per_second"],
        "low": 1e3 / seen["highest"],
        "high": 1e3 / seen["lowest"],
        "mib": seen["memory_estimate_bytes"] / 2**20,
        "peak_mib": seen["memory_peak_bytes"] / 2**20,
        "data_mib": (x.nbytes + y.nbytes) / 2**20,
        "order_us": order * 1e6,
    }


def sweep(one: Sweep) -> list[dict[str, float]]:
    """Return what each value costs."""
    found = []
    for value in one.values:
        point = json.dumps(asdict(replace(one.base, **{one.field: value})))
        command = [sys.executable, "-m", "benchmarks.growth", f"--point={point}"]
        done = subprocess.run(command, cwd=page.ROOT, capture_output=True, text=True, check=True)
        seen = json.loads(done.stdout.splitlines()[-1])
        found.append({"value": value, **seen})
        print(f"{one.field} {value}: {seen['ms']:.4g} ms, {seen['mib']:.4g} MiB", flush=True)
    return found


def section(record: page.Record) -> list[str]:
    """Return the lines of the growth."""
    lines = [
        "## How cost grows",
        "",
        "Written by `python -m benchmarks.growth`. An MLP of two hidden layers of 512 units, batch 128, on 10,000",
        "made-up examples of 16 numbers; one size grows at a time. (Tokens: a causal Transformer of two blocks of 128",
        "units, batch 8. Examples: 64 units, batch 32.) Milliseconds a step, median [fastest, slowest of three",
        "windows]; memory that the compiled call holds by the compiler's count, data included, and the process's peak.",
        "",
        page.where(record["machine"]),
    ]
    for name, one in SWEEPS.items():
        if name not in record["sweeps"]:
            continue
        points = record["sweeps"][name]
        lines += [
            "",
            f"### {one.what.capitalize()}",
            "",
            f"Expected to grow {one.expect}." if one.expect != "not at all" else "Expected not to grow.",
            "",
            f"![milliseconds a step against {one.what}](growth-{name}.svg)",
            "",
            f"| {one.what} | ms a step | times the one before | call holds | process peak |",
            "|---:|---:|---:|---:|---:|",
        ]
        for before, here in zip([None, *points], points, strict=False):
            times = "" if before is None else f"{here['ms'] / before['ms']:.2f}"
            lines.append(
                f"| {here['value']:,} | {here['ms']:.4g} [{here['low']:.4g}, {here['high']:.4g}] | {times} "
                f"| {here['mib']:,.1f} MiB | {here['peak_mib']:,.0f} MiB |"
            )
        if name == "examples":
            said = ", ".join(f"{here['order_us']:.0f} µs at {here['value']:,}" for here in points)
            lines += ["", f"The rows of a batch a million steps on, which is all that a resume computes: {said}."]
    return lines


def draw(record: page.Record) -> None:
    """Write the plots."""
    from fdl.runs.report import svg_plot

    for name, points in record["sweeps"].items():
        xs, ys = ([here[key] for here in points] for key in ("value", "ms"))
        svg = svg_plot.growth(xs, ys, x=SWEEPS[name].what, y="ms a step")
        (page.ROOT / "docs" / f"growth-{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Parse the words, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SWEEPS))
    parser.add_argument("--point", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(measure(Point(**json.loads(asked.point)))))
        return
    record = page.kept("growth") or {"sweeps": {}}
    for name in asked.only.split(","):
        record["sweeps"][name] = sweep(SWEEPS[name])
        record["machine"] = page.machine()
        page.keep("growth", record, section(record))
        draw(record)


if __name__ == "__main__":
    main()
