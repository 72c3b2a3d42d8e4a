"""Which kernels are used, by target platform, unless `FDL_KERNELS` (the flag `--kernels`) overrides it.

A reference kernel is plain JAX; a custom one computes the same function with another backward pass or memory layout,
and is the default where it was measured to be faster (docs/performance.md, docs/accelerators.md). A native one is C++
for the CPU, where a compiler is; on other platforms, and where it cannot be, the default takes its place. The target
platform need not be that of this process: executors set it with `compiling_for`.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fdl.core.errors import UserError

V = TypeVar("V")
VARIABLE = "FDL_KERNELS"
KERNELS = {
    "convolution": "backward convolutions in the layout that XLA:CPU runs fast",
    "max_pool": "non-overlapping windows store the index of their maximum for the backward pass",
    "lstm": "one weight gradient after the scan, instead of one per time step",
    "materialize": "residual sums and the inputs of convolutions are computed once, not recomputed by each consumer",
    "embedding": "the gradient of a small table is a matrix product, not a scatter",
    "attention": "fused (flash) attention: attention weights are computed tile by tile and never stored",
    "token_head": "the loss of a large vocabulary computes its logits a slice of positions at a time",
    "block_scan": "blocks of one kind are one loop, which compiles in a fraction of the time",
}
FORMS = ("custom", "reference", "native")
# The processors on which benchmarks/kernels.py measured a native form to be faster, by Linux's names.
ZEN_4 = {"vendor_id": "AuthenticAMD", "cpu family": "25", "flags": "avx512f"}  # Zen 3 has its family, without AVX-512
EMERALD_RAPIDS = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "207", "flags": "avx512f"}
NATIVE = {"convolution": (ZEN_4, EMERALD_RAPIDS), "lstm": (EMERALD_RAPIDS,)}  # the kernels that have a native form
EVERYWHERE = ("cpu", "gpu", "tpu")
# The platforms on which a kernel takes its custom form.
CUSTOM: dict[str, tuple[str, ...]] = dict.fromkeys(KERNELS, ("cpu",)) | {
    "lstm": EVERYWHERE,
    "embedding": ("cpu", "gpu"),
    "token_head": ("gpu", "tpu"),
    "attention": ("gpu", "tpu"),
    "block_scan": (),
}


@dataclass(frozen=True)
class Target:
    """What a program is compiled for: "cpu", "gpu" or "tpu", and the compute capability of an NVIDIA GPU."""

    platform: str
    capability: float = 0.0


_TARGET: ContextVar[Target | None] = ContextVar("target", default=None)
_PLAIN: ContextVar[bool] = ContextVar("reference forms", default=False)
_NATIVE: ContextVar[bool] = ContextVar("native forms", default=True)
_NOTES: ContextVar[dict[str, list[str]] | None] = ContextVar("notes", default=None)


def compiling_for(device: Any) -> AbstractContextManager[Target]:
    """Choose kernels for this device (`jax.Device`), not necessarily a local one, in what is traced inside."""
    try:
        capability = float(getattr(device, "compute_capability", 0.0))
    except ValueError:  # AMD GPUs report a name such as gfx90a
        capability = 0.0
    return _while(_TARGET, Target(device.platform, capability))


def reference_forms() -> AbstractContextManager[bool]:
    """Trace reference kernels alone in this block, whatever the target and the flag: the result runs anywhere."""
    return _while(_PLAIN, True)


def without_native() -> AbstractContextManager[bool]:
    """Trace no native kernel in this block: under `vmap` nothing would call it, and it is compiled once traced."""
    return _while(_NATIVE, False)


@contextmanager
def _while(variable: ContextVar[V], value: V) -> Iterator[Any]:
    """Give a variable this value in this block."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


def target() -> Target:
    """Return the compilation target where this is traced: by default the first local device."""
    import jax  # imported lazily: flags are checked before JAX is imported

    if (explicit := _TARGET.get()) is not None:
        return explicit
    with compiling_for(jax.local_devices(backend=jax.default_backend())[0]):
        return target()


def noting() -> AbstractContextManager[dict[str, list[str]]]:
    """Collect which form each kernel chose by shape or dtype during tracing, and why: kernel -> distinct lines."""
    return _while(_NOTES, {})


def note(kernel: str, line: str) -> None:
    """Record a kernel's choice and its reason, if notes are being collected."""
    notes = _NOTES.get()
    if notes is not None and line not in notes.setdefault(kernel, []):
        notes[kernel].append(line)


def custom(kernel: str) -> bool:
    """Return whether to trace the custom form of this kernel, or the native one where that can be."""
    return kernel_forms()[kernel] != "reference"


def kernel_forms() -> dict[str, str]:
    """Return the form of every kernel, "custom", "reference" or "native", for the current target."""
    if _PLAIN.get():
        return dict.fromkeys(KERNELS, "reference")
    platform = target().platform
    defaults = {name: "custom" if platform in platforms else "reference" for name, platforms in CUSTOM.items()}
    if platform == "cpu":
        defaults |= {name: "native" for name in NATIVE if faster_native(name)}
    forced = parse(os.environ.get(VARIABLE, ""))
    forms = defaults | {name: form for name, form in forced.items() if form != "native" or platform == "cpu"}
    return forms if _NATIVE.get() else {name: form.replace("native", "custom") for name, form in forms.items()}


def faster_native(kernel: str) -> bool:
    """Return whether the native form was measured to be faster on this processor, so that it is the default."""
    known = processor()
    return any(all(value in known.get(name, "").split() for name, value in one.items()) for one in NATIVE[kernel])


def forced_native(kernel: str) -> bool:
    """Return whether the flag asks for the native form, by name or for all: then without a gradient too."""
    return parse(os.environ.get(VARIABLE, "")).get(kernel) == "native"


@functools.cache
def processor() -> dict[str, str]:
    """Return what Linux tells of the first core by name, such as "model name" and "flags"; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").strip().split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def parse(text: str) -> dict[str, str]:
    """Parse an override: "reference", "custom", "native", or a list such as "lstm=reference,convolution=native"."""
    if text == "native":
        return dict.fromkeys(NATIVE, text)
    if text in FORMS:
        return dict.fromkeys(KERNELS, text)
    forced = {}
    for word in filter(None, text.split(",")):
        kernel, _, form = word.partition("=")
        if kernel not in KERNELS or form not in FORMS or (form == "native" and kernel not in NATIVE):
            raise UserError(
                f"--kernels={text}: {word!r} is no kernel=form; kernels are {', '.join(KERNELS)}; "
                f"forms are custom, reference and, of {', '.join(NATIVE)}, native"
            )
        forced[kernel] = form
    return forced
