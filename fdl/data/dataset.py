"""Datasets: a spec known before any data is read, and random-access sources of batches.

Shape legend: B batch, T time (the length of a window).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.exact import as_written
from fdl.core.narrow import narrow
from fdl.core.types import Array, Batch, PyTree
from fdl.data.records import Records
from fdl.data.tokenizer import Tokenizer

Augment = Callable[[Array, Batch], Batch]
_LANES = 128  # of a TPU vector register


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The shapes of one example and the sizes of the splits, known without reading data.

    inputs, targets: pytrees of `jax.ShapeDtypeStruct` of one example of a source; targets may be None.
    weights:    () for one weight per example, (T,) for one per position.
    sizes:      split -> number of examples.
    epoch:      training examples per epoch if windows overlap: the number of disjoint windows; 0: all examples.
    classes:    number of target classes, None for other targets.
    names:      class names by index, if any.
    vocabulary: vocabulary size of token inputs, None for other inputs.
    center, scale: mean and standard deviation of numeric targets over train, or with `logs` of their logarithms.
    offset:     subtracted from the targets in float64 where float32 lacks precision; add it back to show a value.
    categories: cardinality of each categorical column, in the order of the input `categories`.
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
    logs: bool = False

    @property
    def epoch_size(self) -> int:
        """The number of training examples per epoch."""
        return self.epoch or self.sizes["train"]

    @property
    def outputs(self) -> int:
        """The output size of a model: one per class, or one per value to predict."""
        return self.classes or math.prod(self.targets.shape)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Random access to examples in memory: arrays, and how rows of them become a batch.

    take: pure, `(arrays, indices: int[B]) -> Batch`; works on NumPy arrays and in a JAX program.
    """

    arrays: PyTree
    size: int
    take: Callable[[PyTree, Array], Batch]

    def __len__(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        """The bytes of the arrays."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.arrays))

    def fetch(self, indices: np.ndarray) -> Batch:
        """Return the batch of these rows, as NumPy arrays."""
        return self.take(self.arrays, indices)

    def resident(self) -> "Source":
        """Return the same source in memory: itself."""
        return self

    def flat(self) -> "Source":
        """Return the same source with narrow rows, such as colour images, flattened: f32[N, H, W, 3] is f32[N, H·W·3].

        A TPU pads the last dimension of an array to 128 lanes, so a program that gathers rows of [N, H, W, 3] copies
        the whole array into another layout in every call. Of flat rows only the batch is reshaped.
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
    """An array of flattened rows that restores their shape on indexing: `rows[i32[B]]` is [B, *shape].

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
        """Return the whole array, for operations other than indexing."""
        return jnp.asarray(self.values).reshape(-1, *self.shape)


def _narrow(row: jax.ShapeDtypeStruct) -> bool:
    """Return whether a TPU would pad rows of this shape; a single channel has a good layout already."""
    return len(row.shape) >= 2 and 1 < row.shape[-1] < _LANES


@dataclass(frozen=True, kw_only=True)
class LazySource:
    """Random access to examples that are decoded on demand.

    read:   `(indices: i64[B]) -> Batch` of NumPy arrays; thread-safe.
    load:   decodes everything into a `Source` with the same rows.
    nbytes: the bytes of all decoded examples.
    on_disk: whether rows are read from disk about as fast as they are needed.
    in_subprocess: makes another `read` that decodes in a separate process; None if that is not supported.
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
class Places:
    """The places that windows of a series forecast, H by each of n.

    name:    of the column that is forecast.
    naive:   f64[n, H], the seasonal naive forecast: targets and predictions are the change against it.
    given:   f64[n, H], what came; NaN where that is not known, or belongs to another split.
    carried: what tells the places, such as their time: name -> [n, H].
    """

    name: str
    naive: np.ndarray
    given: np.ndarray
    carried: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A name, a spec, and how to load each split.

    transform: pure JAX, `batch -> batch`, runs on the device in training and evaluation (casts, scales, log-mel).
    augment:   pure JAX, `(key, batch) -> batch`, runs on the device in training only, after `transform`.
    tokenizer: of token inputs, None for others.
    fitted:    values fitted on train (scales, vocabularies), in JSON's types; saved in the run folder.
    contents:  a quick fingerprint of the files; empty for shipped datasets.
    notes:     how the data was read and the inferred type of each column, logged before training.
    modality, columns: the name of the function that made it of records, and their columns with the kind of each; kept
               in the run folder (`fdl.data.modalities.kept`).
    parsing:   how new rows of a series are read as these were, in JSON's types: their season, gaps and columns' types;
               kept with the columns, and no part of a run's identity.
    places:    split -> what the windows of a series forecast, whose targets are changes; None for other data.
    whole:     of a fold, the dataset whose rows it takes.
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
    modality: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    parsing: Mapping[str, Any] = field(default_factory=dict)
    whole: "Dataset | None" = None
    places: Callable[[str], Places] | None = None

    def augmented(self, augment: Augment | None) -> "Dataset":
        """Return the same dataset with this augmentation of its training batches."""
        return replace(self, augment=augment)

    def examples(self, split: str, most: int = 50_000) -> Batch:
        """Return the examples of a split as its source gives them, of more than `most` some that are evenly spread."""
        source = self.load(split)
        return source.fetch(np.arange(0, len(source), math.ceil(len(source) / most)))

    def steps(self, epochs: float, batch_size: int) -> int:
        """Return the number of steps for at least this many epochs (passes over all examples, or tokens)."""
        if not 0 < epochs < math.inf or batch_size <= 0:
            raise UserError(
                f"epochs {epochs:g} and batch_size {batch_size} must be positive and finite; give more than 0 of each"
            )
        # Decimal arithmetic: 1.1 epochs of 50 examples are 55, not 55.000000000000007 rounded up to 56.
        return max(1, math.ceil(as_written(epochs) * self.spec.epoch_size / batch_size))

    def shapes(self, batch_size: int) -> Batch:
        """Return the `jax.ShapeDtypeStruct`s of a batch as the model and the task receive it, without reading data."""
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
    """Return a dataset with the records' name, fingerprint and notes."""
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

    inputs, targets: pytrees of [n, ...]; 64-bit numbers are converted to 32 bits, without loss of precision.
    weights: f32[n, ...], per-target weights; None: weight 1 per example.
    """
    arrays = jax.tree.map(narrow, (inputs, targets) if weights is None else (inputs, targets, weights))
    lengths = {len(leaf) for leaf in jax.tree.leaves(arrays)}
    if len(lengths) != 1:
        raise UserError(f"columns have {sorted(lengths)} rows; all must have the same number")
    return Source(arrays=arrays, size=lengths.pop(), take=take_columns)


def take_columns(arrays: PyTree, indices: Array) -> Batch:
    """Return the rows `indices: int[B]` of `(inputs, targets)` or `(inputs, targets, weights)`; default weight 1."""
    inputs, targets, *weights = jax.tree.map(lambda leaf: leaf[indices], arrays)
    return Batch(inputs, targets, weights[0] if weights else _numpy_of(indices).ones(indices.shape, np.float32))


def shape_of(values: np.ndarray) -> jax.ShapeDtypeStruct:
    """Return the shape and dtype of one example of a column."""
    return jax.ShapeDtypeStruct(values.shape[1:], values.dtype)


def _numpy_of(array: Array) -> Any:
    """Return the array module: NumPy on the host, jax.numpy inside a program."""
    return jnp if isinstance(array, jax.Array) else np
