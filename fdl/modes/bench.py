"""Benchmark: how fast an experiment trains here, what bounds it, and how far from that bound it is."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core import kernel_choice
from fdl.engine.checks import check
from fdl.engine.placement import first_state, make_executor
from fdl.engine.program import step_of, training
from fdl.experiment import Experiment
from fdl.parallel.devices import describe
from fdl.profiling import flops, hardware
from fdl.profiling.hardware import calibrate, peak_memory
from fdl.profiling.timing import Clock, compare, steady, summary, window
from fdl.profiling.trace import COMPILE, LOWER, TRACE, listening, origins, refuse_profilers, top_ops, traffic
from fdl.runs import atomic_files, provenance
from fdl.runs.atomic_files import write_text


def bench(
    experiment: Experiment,
    *,
    seconds: float = 2.0,
    windows: int = 5,
    baseline: Path | None = None,
    profile: Path | None = None,
    out: Path | None = None,
    log: Callable[[str], None] = print,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Return and print the speed of an experiment, and write it as JSON where `out` says.

    seconds: length of a window. baseline: an earlier JSON to compare with. profile: a folder for a trace of one call.
    Raises a ValueError under a profiler, whose own cost would be what is measured.
    """
    refuse_profilers()
    before = earlier(baseline) if baseline else None
    executor = make_executor(experiment)
    check(experiment, executor.shares)
    state = first_state(experiment, executor)
    program = training(experiment, executor)
    count, batch_size, devices = program.steps_per_call, experiment.batch_size, len(executor.devices)
    step, last = 0, None

    def feed() -> Any:
        nonlocal step
        step += count
        return program.rows(step - count, count)

    def send(rows: Any) -> Any:
        nonlocal state, last
        state, last = program.call(state, rows)
        return last

    with listening() as events:
        jax.block_until_ready(send(feed()))
    warm = steady(lambda: window(send, feed, jax.block_until_ready, clock, seconds / 4))
    with listening() as inside:
        seen = [window(send, feed, jax.block_until_ready, clock, seconds) for _ in range(windows)]
    speed = summary(seen, count)
    peaks = calibrate(executor, clock)
    with executor.tracing():
        kernels = kernel_choice.kernel_forms()
    work = flops.count(step_of(experiment), experiment.abstract(), experiment.dataset.raw_shapes(batch_size))
    compiled: Any = program.call.compiled[count]
    moved, estimate = traffic(compiled)
    rate = speed["steps_per_second"]
    floors = {
        "compute": work / devices / peaks["flops"],
        "memory": moved / peaks["bytes"],
        "launch": peaks["launch_seconds"] / count,
        "input": speed["input_fraction"] / rate,  # never above the time itself
    }
    # Where more is "moved" than memory could, caches serve it, and memory is no floor.
    roof = max((name for name in floors if floors[name] <= 1 / rate), key=lambda name: floors[name])
    chip = hardware.known(executor.devices[0].device_kind)
    result: dict[str, Any] = {
        "experiment": experiment.name,
        "devices": describe(executor.devices),
        "executor": executor.name,
        "dtype": str(getattr(experiment.model, "dtype", None) or "float32"),
        "kernels": kernels,
        "feed": program.feed,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(experiment.abstract().params)),
        "batch_size": batch_size,
        "steps_per_call": count,
        "warm_up_windows": warm,
        **speed,
        "examples_per_second": rate * batch_size,
        "examples_per_second_per_device": rate * batch_size / devices,
        **tokens(experiment, last, rate),
        **{name: sum(events.get(event, [])) for name, event in
           (("trace_seconds", TRACE), ("lower_seconds", LOWER), ("compile_seconds", COMPILE))},
        "cache_hit": bool(events.get("cache_hits")),
        "recompiled": len(inside.get(COMPILE, [])),
        "flops_per_step": work,
        "flops_per_second": work * rate,
        "measured_peak": peaks,
        "peak_fraction": work * rate / devices / peaks["flops"],
        "mfu": work * rate / devices / chip.flops if chip else None,
        "bytes_per_step": moved,
        "bandwidth_fraction": moved * rate / peaks["bytes"],
        "floors_seconds": floors,
        "roof": roof,
        "times_the_roof": 1 / rate / floors[roof],
        "memory_estimate_bytes": estimate,
        "memory_peak_bytes": peak_memory(executor),
        "versions": provenance.environment(executor.devices)["versions"],
    }  # fmt: skip
    if before:
        result["against_baseline"] = compare(speed, before)
    if profile:
        spent = top_ops(lambda: jax.block_until_ready(send(feed())), profile)
        places = origins(compiled.as_text())
        result["top_ops"] = [{"ms": ms, "op": op, "from": places.get(op, "")} for op, ms in spent.items()]
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps(result, indent=1, default=float))
    report(result, log)
    return result


def earlier(file: Path) -> dict[str, Any]:
    """Return what an earlier bench wrote; raise a ValueError where it is something else."""
    found = atomic_files.read_json(file)
    if not isinstance(found, dict) or not {"steps_per_second", "lowest", "highest"} <= found.keys():
        raise ValueError(f"{file} holds no steps/s to compare with; give a JSON that --mode=bench wrote")
    return found


def report(result: dict[str, Any], log: Callable[[str], None]) -> None:
    """Print the result for a reader."""
    log(
        f"{result['experiment']} on {result['devices']} by {result['executor']}, {result['dtype']}, "
        f"data {result['feed']}"
    )
    log("kernels " + ", ".join(f"{kernel} {form}" for kernel, form in result["kernels"].items()))
    log(
        f"{result['steps_per_second']:,.4g} steps/s [{result['lowest']:,.4g}, {result['highest']:,.4g}], "
        f"{result['examples_per_second']:,.4g} examples/s, {result['steps_per_call']} steps a call; "
        f"a step {result['ms_p50']:.4g} ms (p50), {result['ms_p95']:.4g} ms (p95)"
    )
    if "tokens_per_second" in result:
        log(
            f"{result['tokens_per_second']:,.4g} tokens/s, {result['tokens_per_second_with_padding']:,.4g} with padding"
        )
    log(
        f"trace {result['trace_seconds']:.2f} s, lower {result['lower_seconds']:.2f} s, compile "
        f"{result['compile_seconds']:.2f} s{' (from the cache)' if result['cache_hit'] else ''}"
    )
    if result["recompiled"]:
        log(f"warning: {result['recompiled']} programs were compiled inside the windows; these numbers hold that too")
    log(
        f"{result['flops_per_step'] / 1e6:,.4g} MFLOP a step (every attention score counted, masked ones too), "
        f"{result['flops_per_second'] / 1e9:,.4g} GFLOP/s, {result['peak_fraction']:.0%} of the matmul peak measured "
        "in this run" + (f", MFU {result['mfu']:.1%} of the nominal bfloat16 peak" if result["mfu"] else "")
    )
    log(
        f"{result['bytes_per_step'] / 1e6:,.4g} MB a step by the compiler's count, "
        f"{result['bandwidth_fraction']:.0%} of the measured copy bandwidth"
        + (" (so caches serve it)" if result["bandwidth_fraction"] > 1 else "")
    )
    log(
        f"bound by {result['roof']}: {result['times_the_roof']:.3g} times that floor; "
        f"input {result['input_fraction']:.1%}"
    )
    estimate, peak = result["memory_estimate_bytes"] / 2**20, result["memory_peak_bytes"] / 2**20
    log(f"memory {peak:,.0f} MiB at its peak, {estimate:,.0f} MiB by the compiler's estimate for one call")
    if "top_ops" in result:
        log(f"the longest operations of one call ({result['steps_per_call']} steps); the trace has them all")
    for one in result.get("top_ops", ()):
        log(f"{one['ms']:10.3f} ms  {one['op']:32} {one['from']}")
    if "against_baseline" in result:
        log(result["against_baseline"])


def peak(experiment: Experiment, *, log: Callable[[str], None] = print, clock: Clock = time.perf_counter) -> dict:
    """Measure and print what this device can do, without any model."""
    executor = make_executor(experiment)
    found = calibrate(executor, clock)
    log(
        f"{describe(executor.devices)}: {found['flops'] / 1e9:,.1f} GFLOP/s in a float32 matrix product, "
        f"{found['bytes'] / 1e9:,.1f} GB/s in a copy, {found['launch_seconds'] * 1e6:,.0f} us for an empty call"
    )
    return found


def tokens(experiment: Experiment, sums: Any, rate: float) -> dict[str, float]:
    """Return tokens/s with and without padding where an example is a sequence, else nothing."""
    length = int(np.prod(experiment.dataset.spec.weights)) if experiment.dataset.spec.weights else 0
    if not length:
        return {}
    whole = rate * experiment.batch_size * length
    counted = float(np.mean(jax.device_get(sums["loss"].weight)))
    return {"tokens_per_second": rate * counted, "tokens_per_second_with_padding": whole}
