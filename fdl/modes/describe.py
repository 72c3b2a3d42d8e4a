"""Describe an experiment: shapes, parameters, FLOPs and memory, without reading data or allocating parameters."""

from math import prod
from typing import Any

import jax

from fdl.core import kernel_choice, lora
from fdl.core.log import Log, logger
from fdl.engine.checks import check
from fdl.engine.placement import make_executor
from fdl.engine.program import step_of, steps_per_call, work_of
from fdl.experiment import Experiment
from fdl.parallel.executors import Executor
from fdl.profiling import hardware

MATMUL = {
    "default": "one bfloat16 pass on a TPU, TF32 on NVIDIA, float32 on the CPU (--matmul_precision=highest: float32)",
    "high": "three bfloat16 passes on a TPU, TF32 on NVIDIA, float32 on the CPU",
    "highest": "float32 everywhere",
}


def describe(experiment: Experiment, *, log: Log | None = print) -> dict[str, Any]:
    """Return and print shapes, the parameter table, FLOPs per step and the bytes of the state."""
    log, executor = logger(log), make_executor(experiment)
    outputs = check(experiment, executor.num_shards)
    kernels, notes = choices(experiment, executor)
    state, batch = experiment.abstract(), experiment.dataset.shapes(experiment.batch_size)
    table = [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves(state.params)]
    parameters = count(state.params)
    work = work_of(experiment, executor)
    held = (state.params, state.opt_state, state.model_state)
    bounds = hardware.floors(work.flops, 2 * nbytes(held))  # a step reads and writes the state
    result: dict[str, Any] = {
        "experiment": experiment.name,
        "inputs": batched(batch.inputs),
        "targets": batched(batch.targets),
        "outputs": batched(outputs),
        "parameters": parameters,
        "parameter_bytes": nbytes(state.params),
        "state_bytes": nbytes(held),
        "state_bytes_per_device": executor.bytes_per_device(held),
        "flops_per_step": work.flops,
        "steps": experiment.steps,
        "epochs": experiment.epochs(experiment.steps),
        "steps_per_call": steps_per_call(experiment, executor, work),
        "floors_seconds": {name: seconds for name, (seconds, _) in bounds.items()},
        "matmul_precision": jax.config.jax_default_matmul_precision or "default",  # type: ignore[attr-defined]
        "kernels": kernels,
        "kernel_notes": notes,
        "executor": executor.name,
        "devices": len(executor.devices),
    }
    width = max((len(name) for name, _ in table), default=0)
    log("\n".join(f"{name:{width}}  {shape(leaf):24} {prod(leaf.shape):>14,}" for name, leaf in table))
    for name, part in state.params.items():
        if any(len(path) > 1 for path, _ in leaves(part)):  # a module with submodules: also log its total
            log(f"{name:{width}}  {'':24} {count(part):>14,}")
    log(f"{'parameters':{width}}  {'':24} {parameters:>14,}\n")
    if adapters := lora.summary(state):
        log(f"{adapters}\n")
    for name in ("inputs", "targets", "outputs"):
        log(f"{name:16} {result[name]}")
    log(f"{'examples':16} {', '.join(f'{split} {n:,}' for split, n in experiment.dataset.spec.sizes.items())}")
    log(f"{'steps':16} {experiment.steps:,} of {experiment.batch_size} examples, {result['epochs']:.4g} epochs")
    log(f"{'work':16} {work.flops / 1e6:,.3f} MFLOP a step, {work.flops / experiment.batch_size / 1e6:,.3f} an example")
    mib = {name: result[f"{name}_bytes"] / 2**20 for name in ("state", "parameter")}
    log(
        f"{'state':16} {mib['state']:,.2f} MiB, of which parameters {mib['parameter']:,.2f}; "
        f"{result['state_bytes_per_device'] / 2**20:,.2f} MiB on each device"
    )
    log(f"{'place':16} {executor.name}, {len(executor.devices)} device(s), {result['steps_per_call']} step(s) a call")
    log(f"{'float32 products':16} {MATMUL.get(result['matmul_precision'], result['matmul_precision'])}")
    for kernel, lines in notes.items():
        log(f"{kernel:16} {'; '.join(lines)}")
    log(f"{'kernels':16} {', '.join(f'{kernel} {form}' for kernel, form in result['kernels'].items())}")
    log(
        "\na step takes no less than this on one chip, by its maker's peaks: all matrix products and convolutions in\n"
        "bfloat16, every attention score counted (masked ones too), and the state read and written once"
    )
    log("\n".join(f"{name:16} {seconds * 1e3:12,.4f} ms  {roof}" for name, (seconds, roof) in bounds.items()))
    return result


def choices(experiment: Experiment, executor: Executor) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the form of every kernel on these devices, and the choices that depend on shapes, with reasons."""
    step, batch = step_of(experiment), experiment.dataset.raw_shapes(experiment.batch_size)
    with executor.tracing(), kernel_choice.noting() as kernels:
        jax.eval_shape(step, experiment.abstract(), batch)
        return kernel_choice.kernel_forms(), kernels


def leaves(tree: Any) -> list[tuple[Any, Any]]:
    """Return the leaves of a tree with their paths."""
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def count(tree: Any) -> int:
    """Return the number of elements of arrays of these shapes."""
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def nbytes(tree: Any) -> int:
    """Return the bytes of arrays of these shapes."""
    return sum(prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def shape(leaf: Any) -> str:
    """Return a dtype and shape such as `float32[128, 10]`."""
    return f"{leaf.dtype.name}[{', '.join(map(str, leaf.shape))}]"


def batched(tree: Any) -> str:
    """Return the shapes of a batch's tree in one line, with the leading dimension as B."""
    return ", ".join(
        f"{jax.tree_util.keystr(path, simple=True, separator='/')} "
        f"{leaf.dtype.name}[{', '.join(('B', *map(str, leaf.shape[1:])))}]".strip()
        for path, leaf in leaves(tree)
    )
