"""Time the kernels of the race one by one, native, custom and plain, and write their table in docs/performance.md.

    python -m benchmarks.kernels                  all of them, and the table of this processor
    python -m benchmarks.kernels --only=W2 --try  those of one workload, printed only

The process pins itself to one core and counts CPU time; the forms take turns. The roof is a loop of fused multiply-adds
in native code, measured in every round beside them. Other programs on the machine still share its caches.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks import page

FORMS = ("native", "custom", "plain")
PASSES = ("forward", "by the input", "by the kernel")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
END = "<!-- end of kernels -->"
SPLIT = 20  # calls of the shortest kernels in one measurement take so many milliseconds


class Row(NamedTuple):
    """One kernel: how many of them a step has, its FLOPs, and its forms as functions of the arrays."""

    workload: str
    what: str
    times: int
    flops: float
    forms: dict[str, Callable[..., Any]]
    arrays: tuple[Any, ...]


# workload, side of the image, channels, features, stride, how many in a step; batch 128, 3x3, padded by one
CONVOLUTIONS = (
    ("W2", 28, 1, 32, 1, 1),
    ("W2", 14, 32, 64, 1, 1),
    ("W2b", 32, 3, 16, 1, 1),
    ("W2b", 32, 16, 16, 1, 6),
    ("W2b", 32, 16, 32, 2, 1),
    ("W2b", 16, 32, 32, 1, 5),
    ("W2b", 16, 32, 64, 2, 1),
    ("W2b", 8, 64, 64, 1, 5),
    ("larger", 56, 64, 64, 1, 1),
    ("larger", 28, 128, 128, 1, 1),
    ("larger", 14, 256, 256, 1, 1),
    ("larger", 7, 512, 512, 1, 1),
)
# workload, rows, inputs, outputs, how many in a step: the dense layers that take most of it
DENSE = (
    ("W2", 128, 3136, 256, 1),
    ("W3", 2048, 256, 2048, 1),
    ("W3", 2048, 512, 128, 1),
    ("W3b", 2048, 512, 2048, 1),
    ("W4", 2048, 256, 256, 24),
    ("W4", 2048, 256, 1024, 6),
    ("W4", 2048, 1024, 256, 6),
)


def convolutions() -> list[Row]:
    """Return the rows of the convolutions: forward and both gradients."""
    import jax

    from fdl.models.kernels import convolution as one

    rows = []
    for workload, side, channels, features, stride, times in CONVOLUTIONS:
        batch = 128 if workload != "larger" else 32
        strides, pads = (stride, stride), ((1, 1), (1, 1)) if stride == 1 else ((0, 1), (0, 1))
        out = side // stride
        x, k, g = draw((batch, side, side, channels), (3, 3, channels, features), (batch, out, out, features))
        plain = partial(one._reference, strides=strides, pads=pads)
        flops = 2.0 * batch * out * out * 9 * channels * features
        shape = f"{side}x{side}, {channels} to {features}" + (f", stride {stride}" if stride > 1 else "")

        def forms(result: Any, plain: Any, strides: Any = strides, pads: Any = pads, **others: Any) -> dict[str, Any]:
            setting = (strides, pads, result.shape)
            return {name: partial(_last, function, setting) for name, function in others.items()} | {"plain": plain}

        def by_input(g: Any, k: Any, x: Any = x, plain: Any = plain) -> Any:
            return jax.vjp(lambda x: plain(x, k), x)[1](g)

        def by_kernel(x: Any, g: Any, k: Any = k, plain: Any = plain) -> Any:
            return jax.vjp(lambda k: plain(x, k), k)[1](g)

        passes: tuple[Any, ...] = (
            ((x, k), forms(g, plain, native=one._native_forward)),
            ((g, k), forms(x, by_input, native=one._native_input_gradient, custom=one._input_gradient)),
            ((x, g), forms(k, by_kernel, native=one._native_kernel_gradient, custom=one._kernel_gradient)),
        )
        for name, (arrays, forms) in zip(PASSES, passes, strict=True):
            if name != "by the input" or channels > 3:  # no step computes that of pictures
                rows.append(Row(workload, f"convolution {shape}: {name}", times, flops, forms, arrays))
    return rows


def _last(function: Callable[..., Any], setting: Any, *arrays: Any) -> Any:
    return function(*arrays, setting)


def dense() -> list[Row]:
    """Return the rows of the matrix products, which have no other form."""
    rows = []
    for workload, count, inputs, outputs, times in DENSE:
        x, w, g = draw((count, inputs), (inputs, outputs), (count, outputs))
        forms: tuple[Any, ...] = (
            ((x, w), lambda x, w: x @ w),
            ((g, w), lambda g, w: g @ w.T),
            ((x, g), lambda x, g: x.T @ g),
        )
        rows += [
            Row(workload, f"dense {count}x{inputs}x{outputs}: {name}", times, 2.0 * count * inputs * outputs,
                {"plain": form}, arrays)
            for name, (arrays, form) in zip(PASSES, forms, strict=True)
        ]  # fmt: skip
    return rows


def recurrences() -> list[Row]:
    """Return the rows of the LSTM's scan over time, without the products of its inputs: forward, and with gradients."""
    import jax
    from jax import lax

    from fdl.models import rnn
    from fdl.models.kernels import lstm

    time, batch, width = 64, 32, 512
    projections, kernel, state, cell = draw(
        (time, batch, 4 * width), (width, 4 * width), (batch, width), (batch, width)
    )

    def scan(projections: Any, kernel: Any, state: Any, cell: Any) -> Any:
        return lstm.scan_lstm(projections, kernel, (state, cell), None, False)[1]

    def plain(projections: Any, kernel: Any, state: Any, cell: Any) -> Any:
        def step(carry: Any, projection: Any) -> Any:
            carry = rnn._lstm(projection, carry[0] @ kernel, carry)
            return carry, carry[0]

        return lax.scan(step, (state, cell), projections)[1]

    def with_gradients(function: Any) -> Any:
        return jax.value_and_grad(lambda *arrays: function(*arrays).sum(), argnums=(0, 1))

    def forms(of: Callable[[Any], Any]) -> dict[str, Any]:
        return {"native": traced("native", of(scan)), "custom": traced("custom", of(scan)), "plain": of(plain)}

    flops, arrays = 2.0 * time * batch * width * 4 * width, (projections, kernel, state, cell)
    rows = []
    for workload, times in (("W3", 1), ("W3b", 2)):
        rows.append(Row(workload, "LSTM 64x32x512: forward", times, flops, forms(lambda f: f), arrays))
        rows.append(
            Row(workload, "LSTM 64x32x512: with its gradients", times, 3 * flops, forms(with_gradients), arrays)
        )
    return rows


def traced(form: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its kernels in this form, which is chosen where it is traced."""
    from fdl.core import kernel_choice

    def run(*arrays: Any) -> Any:
        with patch.dict(os.environ, {kernel_choice.VARIABLE: form}):
            return function(*arrays)

    return run


def draw(*shapes: tuple[int, ...]) -> list[Any]:
    """Return arrays of these shapes."""
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape, np.float32) / shape[-1] ** 0.5) for shape in shapes]


def seconds(function: Callable[..., Any], arrays: tuple[Any, ...], calls: int) -> float:
    """Return the CPU seconds of a call."""
    import jax

    begun = time.process_time()
    for _ in range(calls):
        result = function(*arrays)
    jax.block_until_ready(result)
    return (time.process_time() - begun) / calls


def measure(row: Row, rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each round of each form, and the FLOP/s of the roof in each."""
    import jax

    from fdl.models.kernels.native import library

    forms = {name: jax.jit(lambda *arrays, form=form: form(*arrays)) for name, form in row.forms.items()}
    calls = {}
    for name, form in forms.items():
        jax.block_until_ready(form(*row.arrays))
        calls[name] = max(1, round(SPLIT / 1e3 / max(1e-5, seconds(form, row.arrays, 2))))
    found: dict[str, list[float]] = {name: [] for name in (*forms, "roof")}
    for _ in range(rounds):
        for name, form in forms.items():
            found[name].append(seconds(form, row.arrays, calls[name]))
        begun = time.process_time()
        work = library.multiply_add(2_000_000)
        found["roof"].append(work / (time.process_time() - begun))
    return found


def lines(measured: list[tuple[Row, dict[str, list[float]]]]) -> list[str]:
    """Return the table: of each kernel the milliseconds of each form, and the share of the roof of the fastest."""
    out = [
        "| | a step has | kernel | native, ms | custom, ms | plain, ms | native against custom | of the roof |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, found in measured:
        times = {name: median(found[name]) for name in FORMS if name in found}
        other = times.get("custom", times.get("plain"))
        gain = f"{other / times['native']:.2f}" if "native" in times and other else "–"
        first = next(iter(times.values()))
        cells = [f"{times[name] * 1e3:.2f}" if name in times else "–" for name in FORMS]
        if "native" in times and "custom" not in times:
            cells[1] = "as plain"
        share = row.flops / first / median(found["roof"])
        out.append(f"| {row.workload} | {row.times} | {row.what} | {' | '.join(cells)} | {gain} | {share:.0%} |")
    return out


def write(processor: str, text: list[str]) -> None:
    """Replace this processor's table in the page, or add it after the others."""
    whole, begin, end = PAGE.read_text(encoding="utf-8"), f"<!-- kernels on {processor} -->", "<!-- -->"
    if begin not in whole:
        PAGE.write_text(whole.replace(END, f"{begin}\n{end}\n\n{END}"), encoding="utf-8")
    page.put_between(PAGE, begin, end, ["", *text, ""])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="workloads, separated by commas")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--try", dest="trial", action="store_true", help="print and write nothing")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {asked.core})
    os.environ["JAX_PLATFORMS"] = "cpu"
    from fdl.models.kernels.native import library
    from fdl.parallel import jax_startup

    jax_startup.prepare_jax({"accelerator": "cpu", "keep_memory": True}, None)
    state = library.library()
    measured = []
    with page.Others() as others:
        for row in [*convolutions(), *dense(), *recurrences()]:
            if not asked.only or row.workload in asked.only.split(","):
                if not state.available:
                    row.forms.pop("native", None)
                begun = time.process_time()
                measured.append((row, measure(row, asked.rounds)))
                others.own += time.process_time() - begun
                print(lines(measured)[-1], flush=True)
    machine = page.machine()
    roof = median(value for _, found in measured for value in found["roof"]) / 1e9
    text = [
        page.where(machine),
        f"One core of it, CPU time, medians of {asked.rounds} turns; the roof is {roof:.0f} GFLOP/s; others kept "
        f"{others.share:.0%} of the cores busy. Native kernels: {state.line}.",
        "",
        *lines(measured),
    ]
    print("\n".join(text))
    if not asked.trial:
        write(machine["cpu"], text)


if __name__ == "__main__":
    main()
