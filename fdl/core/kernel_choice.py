"""Which form each op takes: by the platform it is compiled for, unless `FDL_OPS` (the flag `--ops`) says otherwise.

The own forms stand where they were measured to be faster (docs/performance.md, docs/accelerators.md); elsewhere ops are
plain. A program may be compiled for another platform than the one that this process runs on: executors say for which.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

OPS = {
    "convolution": "backward convolutions in the form that XLA:CPU is fast at",
    "max_pool": "windows side by side remember their winner",
    "lstm": "one weight gradient after the loop, not one in every step",
    "keep": "what blocks add up and convolutions read is computed once, not again for every consumer",
    "embedding": "rows of a small table are added up by a matrix product",
    "attention": "a fused kernel makes the weights of attention a tile at a time and keeps none",
    "token_head": "the loss of a large vocabulary takes its logits a slice of positions at a time",
}
FORMS = ("own", "plain")
EVERYWHERE = ("cpu", "gpu", "tpu")
# The platforms on which an op takes its own form.
OWN: dict[str, tuple[str, ...]] = dict.fromkeys(OPS, ("cpu",)) | {
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
    """Return what is compiled for where this is traced: this process's own default device if nobody said."""
    import jax  # not above: flags are checked before JAX is imported

    if (told := _TARGET.get()) is not None:
        return told
    with compiling_for(jax.local_devices(backend=jax.default_backend())[0]):
        return target()


@contextmanager
def noting() -> Iterator[dict[str, list[str]]]:
    """Collect what ops chose by shape or dtype while this was traced, and why: op -> each different line."""
    notes: dict[str, list[str]] = {}
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def note(op: str, line: str) -> None:
    """Tell whoever collects it what an op chose, and why."""
    notes = _NOTES.get()
    if notes is not None and line not in notes.setdefault(op, []):
        notes[op].append(line)


def own(op: str) -> bool:
    """Say whether an op takes its own form where this is traced."""
    return chosen()[op] == "own"


def chosen() -> dict[str, str]:
    """Return the form of every op, "own" or "plain", for what is compiled for."""
    platform = target().platform
    usual = {op: "own" if platform in platforms else "plain" for op, platforms in OWN.items()}
    return usual | parse(os.environ.get("FDL_OPS", ""))


def parse(text: str) -> dict[str, str]:
    """Return the forms that `text` forces: "plain", "own", or some of them such as "lstm=plain,keep=own"."""
    if text in FORMS:
        return dict.fromkeys(OPS, text)
    forced = {}
    for word in filter(None, text.split(",")):
        op, _, form = word.partition("=")
        if op not in OPS or form not in FORMS:
            raise ValueError(f"--ops={text}: {word!r} is no op=form; ops are {', '.join(OPS)}; forms own and plain")
        forced[op] = form
    return forced
