"""The features of a TFDS set as columns: nested features are flattened, each with how its bytes are read."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fdl.data.pixels import decode_image
from fdl.data.readers.array_layout import Layout, layout
from fdl.data.records import Field


def _flatten(prefix: str, features: Any) -> dict[str, Any]:
    """Return every feature by its path, sorted: a prepared folder keeps them in a map without an order of its own."""
    import tensorflow_datasets

    if isinstance(features, tensorflow_datasets.features.FeaturesDict):
        nested = (_flatten(f"{prefix}{name}/", feature) for name, feature in sorted(features.items()))
        return {name: feature for part in nested for name, feature in part.items()}
    return {prefix.rstrip("/"): features}


def _tensor(feature: Any, page: str) -> Layout | None:
    """Return how a feature that is a plain array of numbers is read: as the same arrays of a file are."""
    import tensorflow_datasets

    dtype = np.dtype(feature.np_dtype) if type(feature) is tensorflow_datasets.features.Tensor else np.dtype(object)
    return layout(feature.shape, dtype, page) if dtype.kind in "iuf" and feature.shape else None


def _field(feature: Any, page: str = "") -> Field:
    """Return what a TFDS feature holds. page: what is wanted of it, as `layout` takes it."""
    import tensorflow_datasets

    kinds = tensorflow_datasets.features
    if isinstance(feature, kinds.Image):
        return Field(kind="image", shape=feature.shape, dtype=np.dtype(feature.np_dtype))
    if isinstance(feature, kinds.Video):
        return Field(kind="video", shape=feature.shape, dtype=np.dtype(np.uint8))
    if isinstance(feature, kinds.Audio):
        return Field(kind="audio", shape=feature.shape, dtype=np.dtype(feature.np_dtype), rate=feature.sample_rate)
    if isinstance(feature, kinds.ClassLabel):
        names = tuple(feature.names) if feature.num_classes else None
        return Field(kind="label", dtype=np.dtype(np.int32), classes=feature.num_classes, names=names)
    if isinstance(feature, kinds.Text):
        return Field(kind="text", dtype=np.dtype(object))
    if tensor := _tensor(feature, page):
        return tensor.field
    if type(feature) in (kinds.Tensor, kinds.Scalar):
        dtype = np.dtype(feature.np_dtype)
        if dtype.kind == "O" or dtype.kind in "SU":
            return Field(kind="text" if feature.shape == () else "other", dtype=np.dtype(object))
        return Field(kind="array" if feature.shape else "number", shape=feature.shape, dtype=dtype)
    if isinstance(feature, kinds.Sequence) and isinstance(feature.feature, kinds.ClassLabel | kinds.Text):
        return Field(kind="list", names=_field(feature.feature).names, dtype=np.dtype(object))
    if (
        isinstance(feature, kinds.Sequence)
        and np.dtype(feature.feature.np_dtype).kind == "O"
        and not feature.feature.shape
    ):
        return Field(kind="list", dtype=np.dtype(object))
    return Field(kind="other")


def _example(row: bytes) -> Any:
    from tensorflow_datasets.core.example_parser import tf_example_pb2

    return tf_example_pb2.Example.FromString(row).features.feature


def _reader(name: str, feature: Any, page: str = "") -> Callable[[Any, bytes], Any]:
    """Return `(parsed example, its bytes) -> value`: straight from the proto where TFDS stores one plain value."""
    import tensorflow_datasets

    kinds = tensorflow_datasets.features
    if isinstance(feature, kinds.Image):
        shape, dtype = feature.shape, np.dtype(feature.np_dtype)
        return lambda parsed, _: decode_image(parsed[name].bytes_list.value[0], shape[-1], dtype)
    if isinstance(feature, kinds.ClassLabel):
        return lambda parsed, _: parsed[name].int64_list.value[0]
    if isinstance(feature, kinds.Text):
        return lambda parsed, _: parsed[name].bytes_list.value[0].decode("utf-8", "replace")
    if type(feature) in (kinds.Tensor, kinds.Scalar) and feature.shape == ():
        dtype = np.dtype(feature.np_dtype)
        if dtype.kind == "f":
            return lambda parsed, _: parsed[name].float_list.value[0]
        if dtype.kind in "iub" and dtype != np.uint64:
            return lambda parsed, _: parsed[name].int64_list.value[0]
        if dtype.kind == "O":
            return lambda parsed, _: parsed[name].bytes_list.value[0].decode("utf-8", "replace")
    nest, tensor = feature, _tensor(feature, page)
    for part in reversed(name.split("/")):
        nest = tensorflow_datasets.features.FeaturesDict({part: nest})

    def read(_: Any, row: bytes) -> Any:
        value = nest.deserialize_example_np(row)
        for part in name.split("/"):
            value = value[part]
        if tensor is not None:
            return tensor.rows(value[None])[0]
        return np.stack(value) if isinstance(value, list) and value and isinstance(value[0], np.ndarray) else value

    return read
