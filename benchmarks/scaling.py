"""What docs/scaling.md says in numbers, measured: populations against runs one after another, memory against devices.

    python -m benchmarks.scaling                 measures and rewrites the tables of docs/scaling.md
    python -m benchmarks.scaling --members=8     with smaller populations

Every run is the command a reader would type, in a process and folder of its own.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.page import put_between

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scaling.md"
FAMILIES = (
    ("MLP, 16 units a layer", ["--experiment=digits_mlp", "--width=16", "--epochs=20"]),
    ("MLP, 128 units a layer", ["--experiment=digits_mlp", "--width=128", "--epochs=20"]),
    ("CNN", ["--experiment=digits_cnn", "--epochs=2"]),
)
MESHES = ("data:8", "fsdp:8", "model:8", "data:2,model:4", "data:2,fsdp:2,model:2")


def launch(*flags: str) -> tuple[float, str]:
    """Return the wall time of one command, in seconds, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "launch.py", *flags], cwd=ROOT, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def population(flags: list[str], members: int, runs: int) -> dict[str, Any]:
    """Measure `members` seeds as one program, and `runs` of them one after another."""
    with tempfile.TemporaryDirectory() as folder:
        together, _ = launch(*flags, f"--seeds={members}", f"--workdir={folder}/all")
        report = json.loads(Path(folder, "all", "report.json").read_text())
        alone = [launch(*flags, f"--seed={seed}", f"--workdir={folder}/{seed}")[0] for seed in range(runs)]
        rates = [json.loads(Path(folder, str(s), "report.json").read_text())["steps_per_second"] for s in range(runs)]
    return {
        "together": together,
        "alone": sum(alone) / runs,
        "rate_together": report["member_steps_per_second"],
        "rate_alone": sum(rates) / runs,
        "steps": report["step"],
    }


def populations(members: int, runs: int) -> list[str]:
    """Return the table of populations."""
    rows = [
        f"| family | {members} seeds as one command | one run, mean of {runs} | {members} times that |"
        " pays | steps/s together | alone | pays |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, flags in FAMILIES:
        seen = population(flags, members, runs)
        after, speed = members * seen["alone"], seen["rate_together"] / seen["rate_alone"]
        rows.append(
            f"| {name}, {seen['steps']} steps | {seen['together']:.1f} s | {seen['alone']:.1f} s | {after:.0f} s |"
            f" **{after / seen['together']:.1f}x** | {seen['rate_together']:,.0f} | {seen['rate_alone']:,.0f} |"
            f" {speed:.1f}x |"
        )
        print(rows[-1], flush=True)
    return rows


def memory() -> list[str]:
    """Return the table of what each of eight devices holds of a state, measured after placing it."""
    script = """
import sys, jax, numpy as np
from dataclasses import replace
from fdl.engine.placement import make_executor
    from fdl.experiment import load
made = replace(load("pydoc_gpt"), accelerator="cpu")
state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tuple(made.abstract())[1:3])
for shape in sys.argv[1:]:
    axes = {a: int(n) for a, n in (pair.split(":") for pair in shape.split(","))}
    placed = make_executor(replace(made, mesh=axes)).put_state(state)
    print(sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(placed)))
"""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *MESHES], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    held = [int(line) for line in done.stdout.split()]
    rows = ["| `--mesh` | parameters and optimizer on each device | of the whole |", "|---|---:|---:|"]
    rows += [f"| `{shape}` | {n / 2**20:.2f} MiB | {n / held[0]:.0%} |" for shape, n in zip(MESHES, held, strict=True)]
    return rows


def write(name: str, rows: list[str]) -> None:
    """Put a table between its marks in docs/scaling.md."""
    measured = f"Measured by `benchmarks/scaling.py` on {platform.machine()}, {os.cpu_count()} cores."
    put_between(PAGE, f"<!-- {name} -->", f"<!-- end of {name} -->", [*rows, "", measured])


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--runs", type=int, default=4)
    chosen = parser.parse_args()
    write("memory", memory())
    write("populations", populations(chosen.members, chosen.runs))


if __name__ == "__main__":
    main()
