"""Which kernels run, by the platform that is compiled for, unless `FDL_KERNELS` (the flag `--kernels`) says otherwise.

A reference kernel is plain JAX; a custom one computes the same with another backward pass or memory layout, and stands
where it was measured to be faster (docs/performance.md, docs/accelerators.md). A program may be compiled for another
platform than the one that this process runs on: executors say for which.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

VARIABLE = "FDL_KERNELS"
KERNELS = {
    "convolution": "backward convolutions in the form that XLA:CPU is fast at",
    "max_pool": "windows side by side remember their winner",
    "lstm": "one weight gradient after the loop, not one in every step",
    "materialize": "what blocks add up and convolutions read is computed once, not again for every consumer",
    "embedding": "rows of a small table are added up by a matrix product",
    "attention": "a fused kernel makes the weights of attention a tile at a time and keeps none",
    "token_head": "the loss of a large vocabulary takes its logits a slice of positions at a time",
}
FORMS = ("custom", "reference")
EVERYWHERE = ("cpu", "gpu", "tpu")
# The platforms on which a kernel takes its custom form.
CUSTOM: dict[str, tuple[str, ...]] = dict.fromkeys(KERNELS, ("cpu",)) | {
    "lstm": EVERYWHERE,
    "token_head": ("gpu", "tpu"),
    "attention": ("gpu", "tpu"),
}


@dataclass(frozen=True)
class Target:
    """What a program is compiled for: "cpu", "gpu" or "tpu", and of an NVIDIA GPU the compute capability."""

    platform: str
    capability: float = 0.0


_TARGET: ContextVar[Target | None] = ContextVar("target", default=None)
_NOTES: ContextVar[dict[str, list[str]] | None] = ContextVar("notes", default=None)


@contextmanager
def compiling_for(device: Any) -> Iterator[None]:
    """Let what is traced here choose for this device (`jax.Device`), which need not be one of this process."""
    try:
        capability = float(getattr(device, "compute_capability", 0.0))
    except ValueError:  # AMD's have names
        capability = 0.0
    token = _TARGET.set(Target(device.platform, capability))
    try:
        yield
    finally:
        _TARGET.reset(token)


def target() -> Target:
    """Return what is compiled for where this is traced: by default the first device of this process."""
    import jax  # not above: flags are checked before JAX is imported

    if (stated := _TARGET.get()) is not None:
        return stated
    with compiling_for(jax.local_devices(backend=jax.default_backend())[0]):
        return target()


@contextmanager
def noting() -> Iterator[dict[str, list[str]]]:
    """Collect what kernels chose by shape or dtype while this was traced, and why: kernel -> each different line."""
    notes: dict[str, list[str]] = {}
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def note(kernel: str, line: str) -> None:
    """Note what a kernel chose, and why, where notes are collected."""
    notes = _NOTES.get()
    if notes is not None and line not in notes.setdefault(kernel, []):
        notes[kernel].append(line)


def custom(kernel: str) -> bool:
    """Return whether the custom form of a kernel is the one to trace."""
    return chosen()[kernel] == "custom"


def chosen() -> dict[str, str]:
    """Return the form of every kernel, "custom" or "reference", for what is compiled for."""
    platform = target().platform
    usual = {name: "custom" if platform in platforms else "reference" for name, platforms in CUSTOM.items()}
    return usual | parse(os.environ.get(VARIABLE, ""))


def parse(text: str) -> dict[str, str]:
    """Return the forms that `text` forces: "reference", "custom", or some such as "lstm=reference,embedding=custom"."""
    if text in FORMS:
        return dict.fromkeys(KERNELS, text)
    forced = {}
    for word in filter(None, text.split(",")):
        kernel, _, form = word.partition("=")
        if kernel not in KERNELS or form not in FORMS:
            raise ValueError(
                f"--kernels={text}: {word!r} is no kernel=form; kernels are {', '.join(KERNELS)}; "
                f"forms are {' and '.join(FORMS)}"
            )
        forced[kernel] = form
    return forced
