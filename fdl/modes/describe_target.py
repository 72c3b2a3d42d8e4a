"""Describe an experiment on a chip that is not available, by compiling for it: memory, time and largest batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fdl.core import kernel_choice, out_of_memory
from fdl.engine import ahead_of_time
from fdl.engine.ahead_of_time import Footprint
from fdl.engine.checks import check
from fdl.engine.placement import make_executor
from fdl.engine.program import work_of
from fdl.experiment import Experiment
from fdl.parallel import targets
from fdl.profiling import hardware

CLOCK = {"TPU v5 lite": 1.5e9}  # cycles per second, for chips with cycle estimates
GIB = 2**30
TRIES = 4  # batch sizes compiled to find the largest


def describe_target(experiment: Experiment, target: str, *, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Return and print whether an experiment compiles and fits, its memory use, and the largest batch."""
    devices, memory = targets.devices(target), targets.TARGETS[target].memory
    kind = devices[0].device_kind
    check(experiment, make_executor(experiment, devices).num_shards)
    log(f"{'target':16} {target}: {len(devices)} x {kind}, {amount(memory)} each")
    result: dict[str, Any] = {"target": target, "kind": kind, "devices": len(devices), "memory": memory}
    footprint, notes = compiled(experiment, devices, memory, log)
    result["fits"] = footprint is not None and footprint.total <= memory
    if footprint is not None:
        result |= footprint.as_json()
        for line in lines(experiment, footprint, memory, kind, len(devices)):
            log(line)
        for op, text in notes.items():
            log(f"{op:16} {'; '.join(text)}")
    result["largest_batch"] = largest_batch(experiment, devices, memory, footprint, log)
    if not result["fits"]:
        log(f"{'to change':16} {remedies(experiment, len(devices))}")
    return result


def compiled(
    experiment: Experiment, devices: Sequence[Any], memory: int, log: Callable[[str], None]
) -> tuple[Footprint | None, dict[str, list[str]]]:
    """Return the training program's memory footprint, None if it does not fit, and its kernel choices."""
    with kernel_choice.noting() as notes:
        lowered = ahead_of_time.lower(experiment, devices, memory)
    try:
        footprint, _ = lowered.compile()
    except Exception as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        log(f"{'batch':16} {experiment.batch_size} does not fit: {out_of_memory.summary(str(error))}")
        return None, notes
    fits = "fits" if footprint.total <= memory else "does not fit"
    log(
        f"{'batch':16} {experiment.batch_size} {fits}: {amount(footprint.total)} of {amount(memory)}, "
        f"compiled in {footprint.compile_seconds:,.0f} s ({lowered.feed} data, {lowered.steps_per_call} step(s) a call)"
    )
    return footprint, notes


def lines(experiment: Experiment, footprint: Footprint, memory: int, kind: str, devices: int) -> list[str]:
    """Return lines on memory and time."""
    chip, work = hardware.chip_of(kind), work_of(experiment).flops / devices
    parts = {
        "state and data": footprint.arguments,
        "outputs beside them": footprint.outputs - footprint.aliased,
        "temporaries": footprint.temporaries,
        "code": footprint.code,
    }
    text = [
        f"{'memory':16} {', '.join(f'{name} {amount(size)}' for name, size in parts.items() if size)}",
        f"{'largest':16} {'; '.join(footprint.largest)}",
    ]
    if chip is not None:
        compute, moved = work / chip.flops, footprint.moved / chip.bandwidth
        bound = "compute" if compute > moved else "memory"
        text.append(
            f"{'time':16} at least {max(compute, moved) * 1e3:,.3f} ms a step by the chip's peaks: bound by {bound} "
            f"({compute * 1e3:,.3f} ms of products, {moved * 1e3:,.3f} ms of traffic)"
        )
    if footprint.cycles and kind in CLOCK:
        text.append(
            f"{'estimate':16} {footprint.cycles / CLOCK[kind] * 1e3:,.3f} ms a step by the compiler, which leaves out "
            "fused attention, gathers, sorts and exchanges"
        )
    for name, (count, size) in footprint.collectives.items():
        text.append(f"{name:16} {count} a step, {amount(size)}")
    return text


def largest_batch(
    experiment: Experiment,
    devices: Sequence[Any],
    memory: int,
    footprint: Footprint | None,
    log: Callable[[str], None],
) -> int | None:
    """Return the estimated largest batch size, by a linear fit of memory through two batch sizes that compile.

    None if even a sixteenth of the batch does not fit.
    """
    shards = make_executor(experiment, devices).num_shards * experiment.accumulate
    known: dict[int, Footprint] = {experiment.batch_size: footprint} if footprint else {}
    size = experiment.batch_size
    for _ in range(TRIES):
        if len(known) == 2:
            break
        size = size * 2 if known and size * 2 <= experiment.dataset.spec.sizes["train"] else size // 2
        size = max(shards, size // shards * shards)
        if size in known:
            break
        found, _ = compiled(replace(experiment, batch_size=size), devices, memory, log)
        if found is not None:
            known[size] = found
        elif known:
            break
    if not known:
        return None
    (small, least), (large, most) = min(known.items()), max(known.items())
    each = (most.total - least.total) / (large - small) if large > small else least.total / small
    fits = small + (memory - least.total) / max(each, 1)
    best = min(max(0, math.floor(fits)), experiment.dataset.spec.sizes["train"]) // shards * shards
    log(f"{'largest batch':16} about {best:,} ({amount(each)} an example on each device)")
    return best


def amount(size: float) -> str:
    """Format bytes in GiB, MiB or KiB."""
    unit = next((unit for unit in ((GIB, "GiB"), (2**20, "MiB")) if size >= unit[0]), (2**10, "KiB"))
    return f"{size / unit[0]:,.2f} {unit[1]}"


def remedies(experiment: Experiment, devices: int) -> str:
    """Return the flags to change if it does not fit."""
    ways = ["lower --batch_size to the largest batch", f"--accumulate={2 * experiment.accumulate}"]
    if getattr(experiment.model, "dtype", None) is None:
        ways.append("--precision=bfloat16")
    if devices > 1 and not experiment.mesh:
        ways.append(f"--mesh=fsdp:{devices}")
    return ", or ".join(ways)
