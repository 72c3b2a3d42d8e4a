"""What a dataset is: a spec known before any data is read, and random-access sources of batches.

Shape legend: B batch, T time (the length of a window).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.exact import as_written
from fdl.core.types import Array, Batch, PyTree
from fdl.data.narrow import narrow
from fdl.data.records import Records
from fdl.data.tokenizer import Tokenizer

Augment = Callable[[Array, Batch], Batch]
_LANES = 128  # of a TPU's vector registers


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The shapes of one example and the sizes of the splits, known without reading data.

    inputs, targets: pytrees of `jax.ShapeDtypeStruct` of one example as a source gives it; targets may be None.
    weights:    () for one weight per example, (T,) for one per position.
    sizes:      split -> number of examples.
    epoch:      how many training examples show all data once: of overlapping windows those side by side; 0: all.
    classes:    how many classes the targets have, None where they are not classes.
    names:      the classes by number, where they have names.
    vocabulary: how many tokens the inputs have, None where they are not tokens.
    center, scale: mean and standard deviation over train of targets that are numbers, as a source gives them.
    offset:     what was taken from them in 64 bits, where 32 hold too few digits: a number to show is one plus offset.
    categories: how many values each categorical column has, in the order of the input `categories`.
    """

    inputs: PyTree
    targets: PyTree
    sizes: Mapping[str, int]
    weights: tuple[int, ...] = ()
    epoch: int = 0
    classes: int | None = None
    names: tuple[str, ...] | None = None
    vocabulary: int | None = None
    categories: tuple[int, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    offset: float = 0.0

    @property
    def epoch_size(self) -> int:
        """How many training examples are one epoch."""
        return self.epoch or self.sizes["train"]

    @property
    def outputs(self) -> int:
        """How many numbers a model answers with: one per class, or one per number to predict."""
        return self.classes or math.prod(self.targets.shape)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Random access to examples that are in memory: arrays, and how rows of them become a batch.

    take: pure, `(arrays, indices: int[B]) -> Batch`; runs the same on NumPy and inside a JAX program.
    """

    arrays: PyTree
    size: int
    take: Callable[[PyTree, Array], Batch]

    def __len__(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        """The memory that the arrays take."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.arrays))

    def fetch(self, indices: np.ndarray) -> Batch:
        """Return the batch of these rows, as NumPy arrays."""
        return self.take(self.arrays, indices)

    def resident(self) -> "Source":
        """Return the same source in memory: itself."""
        return self

    def flat(self) -> "Source":
        """Return the same source with narrow rows, such as colour images, flattened: f32[N, H, W, 3] is f32[N, H·W·3].

        A TPU pads the last dimension of an array to 128 lanes, so a program that gathers rows of [N, H, W, 3] first
        copies all of it into another layout, in every call. Flat rows are gathered as they lie, and only those of the
        batch take their shape.
        """
        like = jax.tree.map(shape_of, self.arrays)

        def take(arrays: PyTree, indices: Array) -> Batch:
            return self.take(
                jax.tree.map(lambda x, one: FlatRows(x, one.shape) if _narrow(one) else x, arrays, like), indices
            )

        arrays = jax.tree.map(lambda x, one: x.reshape(len(x), -1) if _narrow(one) else x, self.arrays, like)
        return replace(self, arrays=arrays, take=take)


@dataclass(frozen=True)
class FlatRows:
    """An array of flattened rows that gives them in their own shape: `rows[i32[B]]` is [B, *shape].

    values: [N, prod(shape)], on the host or inside a program.
    """

    values: Array
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, indices: Any) -> Array:
        rows = self.values[indices]
        return rows.reshape(*rows.shape[:-1], *self.shape)

    def __jax_array__(self) -> jax.Array:
        """Be the whole array where something else than rows is asked for."""
        return jnp.asarray(self.values).reshape(-1, *self.shape)


def _narrow(row: jax.ShapeDtypeStruct) -> bool:
    """Say whether a TPU would pad rows of this shape; one channel it lays out well by itself."""
    return len(row.shape) >= 2 and 1 < row.shape[-1] < _LANES


@dataclass(frozen=True, kw_only=True)
class LazySource:
    """Random access to examples that are decoded when asked for.

    read:   `(indices: i64[B]) -> Batch` of NumPy arrays; safe to call from several threads.
    load:   decodes everything into a `Source` with the same rows.
    nbytes: what that would take in memory.
    on_disk: whether rows are read from disk about as fast as they are wanted.
    apart:  makes another `read`, which has a process of its own do the work; None where there is no such thing.
    """

    size: int
    read: Callable[[np.ndarray], Batch]
    load: Callable[[], Source]
    nbytes: int
    on_disk: bool = False
    in_subprocess: Callable[[], Callable[[np.ndarray], Batch]] | None = None

    def __len__(self) -> int:
        return self.size

    def fetch(self, indices: np.ndarray) -> Batch:
        """Return the batch of these rows, as NumPy arrays."""
        return self.read(indices)

    def resident(self) -> Source:
        """Return the same source in memory."""
        return self.load()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A name, a spec, and how to load each split.

    transform: pure JAX, `batch -> batch`, runs on the device in training and evaluation (casts, scales, log-mel).
    augment:   pure JAX, `(key, batch) -> batch`, runs on the device in training only, after `transform`.
    tokenizer: how text becomes the tokens of the inputs and tokens text, where they are that.
    fitted:    what was learned from the training split (scales, vocabularies), in JSON's types; kept in the run folder.
    contents:  changes with the files, as far as can be seen at once; empty where the data is not a user's.
    notes:     how the data was read and what each column is taken for: said before anything trains.
    """

    name: str
    spec: Spec
    load: Callable[[str], Source | LazySource]
    transform: Callable[[Batch], Batch] | None = None
    augment: Augment | None = None
    tokenizer: Tokenizer | None = None
    fitted: Mapping[str, Any] = field(default_factory=dict)
    contents: Callable[[], str] = lambda: ""
    notes: tuple[str, ...] = ()

    def steps(self, epochs: float, batch_size: int) -> int:
        """Return how many steps are at least this many epochs: each shows every example, or every token, once."""
        if not 0 < epochs < math.inf or batch_size <= 0:
            raise ValueError(
                f"epochs {epochs:g} and batch_size {batch_size} must be positive and finite; give more than 0 of each"
            )
        # As it is written: 1.1 epochs of 50 examples are 55, and not the 55.000000000000007 of binary fractions.
        return max(1, math.ceil(as_written(epochs) * self.spec.epoch_size / batch_size))

    def shapes(self, batch_size: int) -> Batch:
        """Return the `jax.ShapeDtypeStruct`s of a batch as the model and the task see it, without reading data."""

        batch = self.raw_shapes(batch_size)
        return batch if self.transform is None else jax.eval_shape(self.transform, batch)

    def raw_shapes(self, batch_size: int) -> Batch:
        """Return the `jax.ShapeDtypeStruct`s of a batch as a source gives it, before `transform`."""

        def batched(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((batch_size, *leaf.shape), leaf.dtype)

        weights: Any = jax.ShapeDtypeStruct((batch_size, *self.spec.weights), jnp.float32)
        return Batch(jax.tree.map(batched, self.spec.inputs), jax.tree.map(batched, self.spec.targets), weights)


def dataset_of(
    records: Records,
    spec: Spec,
    load: Callable[[str], Source | LazySource],
    fitted: Mapping[str, Any],
    *,
    transform: Callable[[Batch], Batch] | None = None,
    augment: Augment | None = None,
    tokenizer: Tokenizer | None = None,
) -> Dataset:
    """Return the dataset that is made of records: it has their name, and changes with their files."""
    return Dataset(
        name=records.name,
        spec=spec,
        load=load,
        transform=transform,
        augment=augment,
        tokenizer=tokenizer,
        fitted=fitted,
        contents=records.contents,
        notes=records.notes,
    )


def columns(inputs: PyTree, targets: PyTree = None, weights: np.ndarray | None = None) -> Source:
    """Return a source over arrays whose first dimension counts the examples.

    inputs, targets: pytrees of [n, ...]; 64-bit numbers are narrowed to 32 bits and must survive it.
    weights: f32[n, ...], where some of an example's targets count less than others; one for each example if None.
    """
    arrays = jax.tree.map(narrow, (inputs, targets) if weights is None else (inputs, targets, weights))
    lengths = {len(leaf) for leaf in jax.tree.leaves(arrays)}
    if len(lengths) != 1:
        raise ValueError(f"columns have {sorted(lengths)} rows; all must have the same number")
    return Source(arrays=arrays, size=lengths.pop(), take=take_columns)


def take_columns(arrays: PyTree, indices: Array) -> Batch:
    """Return the rows `indices: int[B]` of `(inputs, targets)`, each weighing one unless weights stand beside them."""
    inputs, targets, *weights = jax.tree.map(lambda leaf: leaf[indices], arrays)
    return Batch(inputs, targets, weights[0] if weights else _numpy_of(indices).ones(indices.shape, np.float32))


def windows(values: np.ndarray, length: int, *, stride: int = 1) -> Source:
    """Return a source of windows of a long array, each with the same window one place later as targets.

    values: [n, ...], at least two places. Windows begin `stride` places apart: 1 gives every whole window (training),
    `length` each predicted place exactly once, the last window padded with weight 0 (evaluation).
    """
    values, places = narrow(values), len(values) - 1
    if places < length and stride == 1:
        raise ValueError(f"{len(values)} values hold no window of length {length}; give a length below {len(values)}")
    if places < 1:
        raise ValueError(f"{len(values)} values predict nothing; give at least two")
    return Source(arrays=values, size=window_count(len(values), length, stride), take=take_windows(length, stride))


def window_count(count: int, length: int, stride: int) -> int:
    """Return how many windows `windows` gives over `count` values."""
    return count - length if stride == 1 else math.ceil((count - 1) / stride)


def windows_side_by_side(count: int, length: int) -> int:
    """Return how many windows show each of `count` values once: an epoch, though training windows overlap."""
    return max(1, math.ceil((count - 1) / length))


def take_windows(length: int, stride: int) -> Callable[[Array, Array], Batch]:
    """Return a take that gives inputs [B, T, ...], the targets one place later, and weights f32[B, T]."""

    def take(values: Array, indices: Array) -> Batch:
        numpy = _numpy_of(indices)
        places = indices[:, None] * stride + numpy.arange(length, dtype=indices.dtype)[None]
        last = len(values) - 2
        weights = (places <= last).astype(np.float32)
        places = numpy.minimum(places, last)
        return Batch(values[places], values[places + 1], weights)

    return take


def shape_of(values: np.ndarray) -> jax.ShapeDtypeStruct:
    """Return the shape and dtype of one example of a column."""
    return jax.ShapeDtypeStruct(values.shape[1:], values.dtype)


def _numpy_of(array: Array) -> Any:
    """Return the NumPy that computes with this array: the host's, or JAX's inside a program."""
    return jnp if isinstance(array, jax.Array) else np
