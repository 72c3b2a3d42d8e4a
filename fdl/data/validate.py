"""Checks of what data holds against what its spec says: JAX itself accepts most mistakes and trains on something else.

A label of -1 is the last class to an indexing program, a label beyond the classes is NaN, NaN spreads silently. Sources
in memory are checked once and wholly; what is streamed is checked batch by batch, in the threads that decode it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch, PyTree, Task
from fdl.data.dataset import Dataset, LazySource, Source, Spec, take_columns

_BLOCK = 2**24  # bytes looked at together
_MOST = 2**28  # bytes of rows that are made only to be looked at


Check = Callable[[PyTree], tuple[int, str] | None]


def check_source(source: Source | LazySource, spec: Spec, name: str, split: str, task: Check | None = None) -> None:
    """Raise a ValueError that names split, example and value where a source breaks its spec or the rule of the task.

    Columns are looked at where they lie; of other sources, as windows are, the first 256 MiB of rows.
    task: what the task says its targets may be (`Task.check`).
    """
    if len(source) < 1:
        raise UserError(f"{name} split {split!r} is empty; give it examples")
    first = source.fetch(np.arange(min(2, len(source))))
    check_shapes(first, spec, name, split)
    row_bytes = max(1, sum(leaf.nbytes for leaf in jax.tree.leaves(first)) // len(first.weights))
    block = max(1, _BLOCK // row_bytes)
    if isinstance(source, LazySource):
        return
    whole = source.take is take_columns
    for start in range(0, source.size if whole else min(source.size, _MOST // row_bytes), block):
        index = np.arange(start, min(start + block, source.size))
        if whole:
            rows = jax.tree.map(lambda leaf, at=start: leaf[at : at + block], source.arrays)
            weights = rows[2] if len(rows) > 2 else first.weights
            check_values(Batch(rows[0], rows[1], weights), spec, name, split, index, task)
        else:
            check_values(source.fetch(index), spec, name, split, index, task)


def check_shapes(batch: Batch, spec: Spec, name: str, split: str) -> None:
    """Raise a ValueError where a batch has other columns, shapes or dtypes than the spec."""
    for part, leaves, expected in (("inputs", batch.inputs, spec.inputs), ("targets", batch.targets, spec.targets)):
        seen = jax.tree.map(lambda leaf: _brief(leaf.shape[1:], leaf.dtype), leaves)
        said = jax.tree.map(lambda leaf: _brief(leaf.shape, leaf.dtype), expected)
        if seen != said:
            raise UserError(f"{name} split {split!r}: {part} are {seen}, its spec says {said}; mend one of them")


def check_values(
    batch: Batch, spec: Spec, name: str, split: str, indices: np.ndarray, task: Check | None = None
) -> None:
    """Raise a ValueError where a target is no class, a token no word, a number not finite or a weight below 0.

    indices: the examples' numbers in the split, for the message. task: what the task says its targets may be.
    """
    where = f"{name} split {split!r} example"
    _in_range(batch.targets, spec.classes, "target", "classes", where, indices)
    inputs: Any = batch.inputs
    if spec.vocabulary:
        read = {**inputs} if isinstance(inputs, Mapping) else {"": inputs}
        for counts in ("lengths", "source_lengths"):  # numbers of tokens, which are no tokens
            read.pop(counts, ())
        _in_range(read.pop("decoder_inputs", ()), spec.classes, "token", "vocabulary of the targets", where, indices)
        _in_range(read, spec.vocabulary, "token", "vocabulary", where, indices)
    for path, leaf in jax.tree_util.tree_leaves_with_path((inputs, batch.targets)):
        leaf = np.asarray(leaf)
        # One sum instead of a mask of everything: only where it is not finite is the culprit looked for.
        if leaf.dtype.kind == "f" and not np.isfinite(np.sum(leaf, dtype=np.float64)):
            bad = np.flatnonzero(~np.isfinite(leaf.reshape(len(leaf), -1)).all(1))
            if len(bad):
                part = "inputs" if path[0].idx == 0 else "targets"
                raise UserError(f"{where} {indices[bad[0]]}: {part} are not finite; mend them or leave the example out")
    weights = np.asarray(batch.weights)
    if weights.size and not (weights.min() >= 0 and weights.max() < np.inf):
        flat = weights.reshape(len(weights), -1)
        row, column = np.argwhere(~((flat >= 0) & (flat < np.inf)))[0]
        raise UserError(f"{where} {indices[row]}: weight {flat[row, column]:g} is not 0 or more; mend it")
    if task is not None and batch.targets is not None and (wrong := task(batch.targets)):
        row, what = wrong
        raise UserError(f"{where} {indices[row]}: {what}")


def rule_of(task: Task, dataset: Dataset) -> Check | None:
    """Return what a task says its targets may be, None where the dataset's transform makes them on the device."""
    if task.check is None or dataset.transform is None:
        return task.check
    made = jax.make_jaxpr(dataset.transform)(dataset.raw_shapes(1)).jaxpr
    counts = [len(jax.tree.leaves(part)) for part in (dataset.spec.inputs, dataset.spec.targets)]
    targets = slice(counts[0], sum(counts))
    before, after = made.invars[targets], made.outvars[len(made.outvars) - 1 - counts[1] : -1]
    return task.check if all(a is b for a, b in zip(before, after, strict=True)) else None


def _in_range(values: PyTree, count: int | None, what: str, rule: str, where: str, indices: np.ndarray) -> None:
    for leaf in jax.tree.leaves(values) if count else ():
        leaf = np.asarray(leaf)
        if leaf.dtype.kind not in "iu" or not leaf.size or (leaf.min() >= 0 and leaf.max() < count):
            continue
        flat = leaf.reshape(len(leaf), -1)
        row, column = np.argwhere((flat < 0) | (flat >= count))[0]
        raise UserError(f"{where} {indices[row]}: {what} {flat[row, column]} is outside [0, {count}), the {rule}")


def _brief(shape: tuple[int, ...], dtype: Any) -> str:
    return f"{np.dtype(dtype).name}[{', '.join(map(str, shape))}]"
