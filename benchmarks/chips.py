"""The gate of chips that are not here: compile fdl's programs for TPUs or GPUs and hold each to what it must keep to.

    nox -s tpu                                          on what Colab's TPU runtime has, with libtpu
    nox -s gpu                                          with jax[cuda12]; no driver and no GPU are needed
    python -m benchmarks.chips tpu --only=digits_cnn    some programs, in an environment that has the compiler

What a program takes is kept by the program's digest in docs/accelerators.json, so a gate that was cut short goes on,
and one on an unchanged tree takes as long as lowering does. The table of docs/accelerators.md is drawn from it.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.chip_programs import PROGRAMS, Program
from benchmarks.page import put_between
from fdl.core import kernel_choice
from fdl.parallel import targets

ROOT = Path(__file__).resolve().parent.parent
PAGE, BOOK = ROOT / "docs" / "accelerators.md", ROOT / "docs" / "accelerators.json"
BEGIN, END = "<!-- written by benchmarks.chips -->", "<!-- end -->"
CPU_SECONDS = 20 * 60  # of one compilation
LARGE = 2**20  # numbers of a resident array, below which a copy is nothing
SLACK = 1.25  # of the operations that a device's share of the step has: recomputation, input work
Row = dict[str, Any]


def compile_one(program: Program, chip: str, digest: str) -> Row:
    """Compile one program in this process, whose environment is ready; only its digest where that is the one given."""
    from fdl.engine import ahead_of_time
    from fdl.profiling import hardware, hlo

    made, devices = program.make(), targets.devices(chip)
    with kernel_choice.noting() as notes:
        lowered = ahead_of_time.lower(made, devices, targets.TARGETS[chip].memory, evaluation=program.evaluation)
    if lowered.digest == digest:
        return {"digest": digest}
    footprint, text = lowered.compile()
    found = hlo.operations(text)
    work = share_of(made, len(devices)) / (3 if program.evaluation else 1)
    peaks = hardware.chip_of(devices[0].device_kind)
    row: Row = {
        "digest": lowered.digest,
        "kind": devices[0].device_kind,
        "devices": len(devices),
        "feed": lowered.feed,
        "steps_per_call": lowered.steps_per_call,
        "cpu_seconds": round(sum(os.times()[:2]), 1),
        "work": work,
        "ideal_ms": work / peaks.flops * 1e3 if peaks else None,
        "traffic_ms": footprint.moved / peaks.bandwidth * 1e3 if peaks and footprint.moved else None,
        "notes": notes,
        **footprint.as_json(),
    }
    return row | {"faults": faults(program, chip, row, lowered, found)}


def share_of(made: Any, devices: int) -> float:
    """Return the FLOPs of one device in a training step: of its rows, and of the update of the parameters it holds.

    Where parameters are replicated so is their update, and Muon's is matrix products.
    """
    from fdl.engine.program import work_of
    from fdl.profiling import flops

    state = made.abstract()
    update = flops.count(made.optimizer.update, state.params, state.opt_state, state.params)
    held = math.prod(size for axis, size in made.mesh.items() if axis != "data")
    return (work_of(made).flops - update) / devices + update / held


def faults(program: Program, chip: str, row: Row, lowered: Any, found: list[Any]) -> list[str]:
    """Return what a compiled program does not keep to."""
    from fdl.profiling import hlo

    wrong = []
    if row["total"] > program.chips[chip]:
        wrong.append(f"takes {row['total']:,} bytes, more than {program.chips[chip]:,}")
    images = [shape for shape in lowered.resident if len(shape) > 1 and math.prod(shape) >= LARGE]
    wrong += [f"copies the resident {shape}" for shape in images if hlo.copies(found, shape)]
    if row["wide_numbers"]:
        wrong.append(f"has {row['wide_numbers']} arrays of 64-bit numbers")
    if not program.evaluation and row["aliased"] < lowered.state_bytes:
        wrong.append(f"donates {row['aliased']:,} of the state's {lowered.state_bytes:,} bytes")
    if row["flops"] > SLACK * row["work"] and row["devices"] > 1:
        wrong.append(f"computes {row['flops'] / row['work']:.2f} times a device's share of the batch")
    wrong += [f"does not call {one}" for one in program.kernels.get(chip, ()) if one not in row["custom_calls"]]
    return wrong


def in_subprocess(program: Program, chip: str, kept: Row) -> Row:
    """Compile one program in a process of its own, which a compiler may end without a word."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.chips", "one", program.name, chip]
    command.append(kept.get("digest", ""))
    environment = {**os.environ, **targets.environment(chip), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    environment[kernel_choice.VARIABLE] = program.forms

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))

    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and lines:
        row = json.loads(lines[-1])
        return kept if row.keys() == {"digest"} else row
    used = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
    killed = f"was ended by signal {-done.returncode}, {CPU_SECONDS} CPU seconds at most" if done.returncode < 0 else ""
    return {"faults": [killed or f"does not compile: {used[0][:300]}"]}


def table(book: dict[str, Row]) -> list[str]:
    """Return the rows of everything that was compiled."""
    lines = [
        "| program | chip | compiled in CPU s | state and data | temporaries | in all | products, ideal ms | "
        "traffic, ms | compiler's estimate, ms | between devices | fused kernels | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|---|---|",
    ]

    def mib(size: float) -> str:
        return f"{size / 2**20:,.0f} MiB"

    def ms(value: float | None) -> str:
        return f"{value:,.3f}" if value else "–"

    for program in PROGRAMS:
        for chip in program.chips:
            row = book.get(f"{program.name} @ {chip}")
            if row is None:
                continue
            says = "; ".join(row["faults"]) or "holds"
            if "total" not in row:
                lines.append(f"| {program.name} | {chip} |{' – |' * 9} {says} |")
                continue
            exchanged = "; ".join(f"{n} {kind} {mib(size)}" for kind, (n, size) in row["collectives"].items())
            fused = sorted(name for name in row["custom_calls"] if "fmha" in name or name == "tpu_custom_call")
            estimate = row["cycles"] / 1.5e6 if row["kind"] == "TPU v5 lite" else None
            cells = [
                program.name, chip, f"{row['cpu_seconds']:,.0f}", mib(row["arguments"]), mib(row["temporaries"]),
                mib(row["total"]), ms(row["ideal_ms"]), ms(row["traffic_ms"]), ms(estimate), exchanged or "–",
                ", ".join(fused) or "–", says,
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def write(book: dict[str, Row]) -> None:
    """Keep the record and draw its table."""
    BOOK.write_text(json.dumps(book, indent=1) + "\n", encoding="utf-8")
    put_between(PAGE, BEGIN, END, ["", *table(book), ""])


def main() -> int:
    """Compile what is asked for and return 1 where a program does not keep to something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platform", choices=("tpu", "gpu", "one"))
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="names of programs, or their beginnings")
    asked = parser.parse_args()
    if asked.platform == "one":
        name, chip, digest = asked.words
        program = next(program for program in PROGRAMS if program.name == name)
        print(json.dumps(compile_one(program, chip, digest)), flush=True)
        return 0
    book: dict[str, Row] = json.loads(BOOK.read_text(encoding="utf-8")) if BOOK.exists() else {}
    wrong = 0
    for program in PROGRAMS:
        for chip in program.chips:
            if targets.TARGETS[chip].platform != {"tpu": "tpu", "gpu": "cuda"}[asked.platform]:
                continue
            if asked.only and not program.name.startswith(tuple(asked.only.split(","))):
                continue
            key = f"{program.name} @ {chip}"
            kept = book.get(key, {})
            book[key] = in_subprocess(program, chip, {} if kept.get("faults") else kept)
            wrong += bool(book[key]["faults"])
            print(f"{key}: {'; '.join(book[key]['faults']) or 'holds'}", flush=True)
            write(book)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
