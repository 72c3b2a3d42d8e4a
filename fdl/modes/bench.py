"""Benchmark: an experiment's training speed on this machine, its bound (roofline), and the distance to it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core import kernel_choice
from fdl.core.errors import UserError
from fdl.engine.placement import initial_state, prepare
from fdl.engine.program import Training, training, work_of
from fdl.experiment import Experiment
from fdl.models.kernels.native import library as native
from fdl.parallel.devices import describe
from fdl.parallel.executors import Executor
from fdl.profiling import hardware
from fdl.profiling.hardware import calibrate, multiply_add_peak, peak_memory
from fdl.profiling.timing import Clock, compare, steady, summary, window
from fdl.profiling.trace import COMPILE, LOWER, TRACE, listening, origins, refuse_profilers, top_ops, traffic
from fdl.runs import atomic_files, provenance


def bench(
    experiment: Experiment,
    *,
    seconds: float = 2.0,
    windows: int = 5,
    baseline: Path | None = None,
    profile: Path | None = None,
    log: Callable[[str], None] = print,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Return and print the training speed of an experiment.

    seconds: length of a window. baseline: an earlier JSON to compare with. profile: a folder for a trace of one call.
    Raises a ValueError under a profiler, whose overhead would be measured.
    """
    refuse_profilers()
    before = earlier(baseline) if baseline else None
    executor = prepare(experiment, trains=True)
    calls = Calls(experiment, executor)
    count = calls.program.steps_per_call

    # Compile, warm up until the speed is steady, and only then measure.
    with listening() as events:
        jax.block_until_ready(calls.send(calls.feed()))
    warm = steady(lambda: window(calls.send, calls.feed, jax.block_until_ready, clock, seconds / 4))
    with listening() as inside:
        measured = [window(calls.send, calls.feed, jax.block_until_ready, clock, seconds) for _ in range(windows)]
    speed = summary(measured, count)
    compiled: Any = calls.program.call.compiled[count]

    # Compare the program with the peaks of the device, measured in the same run.
    result: dict[str, Any] = {
        **setting(experiment, executor, calls.program),
        "warm_up_windows": warm,
        **speed,
        **rates(experiment, executor, calls.last, speed["steps_per_second"]),
        "trace_seconds": sum(events.get(TRACE, [])),
        "lower_seconds": sum(events.get(LOWER, [])),
        "compile_seconds": sum(events.get(COMPILE, [])),
        "cache_hit": bool(events.get("cache_hits")),
        "recompiled": len(inside.get(COMPILE, [])),
        **roofline(experiment, executor, compiled, speed, calibrate(executor, clock), count),
        "memory_peak_bytes": peak_memory(executor),
        "versions": provenance.environment(executor.devices)["versions"],
    }
    if before:
        result["against_baseline"] = compare(speed, before)
    if profile:
        spent = top_ops(lambda: jax.block_until_ready(calls.send(calls.feed())), profile)
        places = origins(compiled.as_text())
        result["top_ops"] = [{"ms": ms, "op": op, "from": places.get(op, "")} for op, ms in spent.items()]
    report(result, log)
    return result


class Calls:
    """Successive calls of a training program.

    last: the sums of the last call.
    """

    def __init__(self, experiment: Experiment, executor: Executor):
        self.state = initial_state(experiment, executor)
        self.program = training(experiment, executor)
        self.step = 0
        self.last: Any = None

    def feed(self) -> Any:
        """Return the rows of the next call."""
        count, before = self.program.steps_per_call, self.step
        self.step += count
        return self.program.rows(before, count)

    def send(self, rows: Any) -> Any:
        """Dispatch a call and return its sums, which may still be computing."""
        self.state, self.last = self.program.call(self.state, rows)
        return self.last


def setting(experiment: Experiment, executor: Executor, program: Training) -> dict[str, Any]:
    """Return the setting: the experiment, the devices, the kernels and the feed."""
    with executor.tracing():
        kernels = kernel_choice.kernel_forms()
    return {
        "experiment": experiment.name,
        "devices": describe(executor.devices),
        "device_count": len(executor.devices),
        "platform": executor.devices[0].platform,
        "executor": executor.name,
        "dtype": str(getattr(experiment.model, "dtype", None) or "float32"),
        "kernels": kernels,
        "feed": program.feed,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(experiment.abstract().params)),
        "batch_size": experiment.batch_size,
        "steps_per_call": program.steps_per_call,
    }


def rates(experiment: Experiment, executor: Executor, sums: Any, steps_per_second: float) -> dict[str, float]:
    """Return examples/s and, for sequences, tokens/s with and without padding."""
    examples = steps_per_second * experiment.batch_size
    found = {
        "examples_per_second": examples,
        "examples_per_second_per_device": examples / len(executor.devices),
    }
    if experiment.dataset.spec.weights:
        length = int(np.prod(experiment.dataset.spec.weights))
        counted = float(np.mean(jax.device_get(sums["loss"].weight)))
        found["tokens_per_second"] = steps_per_second * counted
        found["tokens_per_second_with_padding"] = examples * length
    return found


def roofline(
    experiment: Experiment,
    executor: Executor,
    compiled: Any,
    speed: Mapping[str, float],
    peaks: Mapping[str, float],
    steps_per_call: int,
) -> dict[str, Any]:
    """Return the FLOPs and bytes of a step, the lower bounds they give, and the ratio to the highest of them.

    peaks: measured FLOP/s, bytes/s and seconds of an empty call. Model: Williams et al., Roofline, 2009.
    """
    devices, rate = len(executor.devices), speed["steps_per_second"]
    work = work_of(experiment, executor).flops
    moved, estimate = traffic(compiled)
    floors = {
        "compute": work / devices / peaks["flops"],
        "memory": moved / peaks["bytes"],
        "launch": peaks["launch_seconds"] / steps_per_call,
        "input": speed["input_fraction"] / rate,  # never above the time itself
    }
    # A bound above the measured time (bytes served by caches) does not apply.
    roof = max((name for name in floors if floors[name] <= 1 / rate), key=lambda name: floors[name])
    chip = hardware.chip_of(executor.devices[0].device_kind)
    return {
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
    }


def earlier(file: Path) -> dict[str, Any]:
    """Return the result of an earlier bench; raise a ValueError for any other file."""
    found = atomic_files.read_json(file)
    if not isinstance(found, dict) or not {"steps_per_second", "lowest", "highest"} <= found.keys():
        raise UserError(f"{file} holds no steps/s to compare with; give a JSON that --mode=bench wrote")
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


def peak(
    experiment: Experiment,
    *,
    seconds: float = 0.5,
    windows: int = 3,
    log: Callable[[str], None] = print,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Measure and print the peak performance of the device, and what share of it a training step reaches.

    seconds, windows: of the training that is timed. Returns FLOP/s, bytes/s and seconds of an empty call; on a CPU
    multiply_add is the FLOP/s of fused multiply-adds on all its cores, 0 without a C++ compiler.
    """
    result = bench(experiment, seconds=seconds, windows=windows, log=lambda line: None, clock=clock)
    found, reached = dict(result["measured_peak"]), result["flops_per_second"] / result["device_count"]
    log(f"{result['devices']}, measured now; other programs on it lower all of these")
    log(f"{found['flops'] / 1e9:10,.1f} GFLOP/s in a float32 matrix product, the fastest of some sizes")
    if result["platform"] == "cpu":
        found["multiply_add"] = multiply_add_peak(clock)
        log(
            f"{found['multiply_add'] / 1e9:10,.1f} GFLOP/s in fused multiply-adds on all cores, in native code"
            if found["multiply_add"]
            else f"{'–':>10} GFLOP/s in fused multiply-adds: {native.library().line}"
        )
    log(f"{found['bytes'] / 1e9:10,.1f} GB/s in a copy")
    log(f"{found['launch_seconds'] * 1e6:10,.0f} us for an empty call")
    shares = [f"{reached / found['flops']:.0%} of the product"]
    if found.get("multiply_add"):
        shares.append(f"{reached / found['multiply_add']:.0%} of the multiply-adds")
    log(
        f"{reached / 1e9:10,.1f} GFLOP/s in a step of {result['experiment']}: {', '.join(shares)}; "
        f"{result['flops_per_step'] / 1e6:,.4g} MFLOP in {1e3 / result['steps_per_second']:,.4g} ms"
    )
    return found | {"step": reached}
