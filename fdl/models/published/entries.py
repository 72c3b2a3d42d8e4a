"""Entries of a layout: a published tensor, the leaves of the variables that it holds, and how each becomes the other.

Shape legend: I inputs, O outputs, H heads, K head width, C channels, S side.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
ATTENTION = ("query", "key", "value")


class Entry(NamedTuple):
    """A published tensor.

    name:     its name. paths: the leaves that it holds, such as "params/stem/kernel"; none of what only torch needs.
    read:     the tensor -> the leaves. write: the leaves -> the tensor.
    optional: a tensor of a head, which other weights of the same body lack.
    """

    name: str
    paths: tuple[str, ...]
    read: Callable[[Array], Sequence[Array]]
    write: Callable[..., Array]
    optional: bool = False


def leaf(name: str, path: str, turn: Callable[[Array], Array] | None = None, back: Any = None) -> Entry:
    """Return the entry of one parameter: as it is, or turned and turned back."""
    if turn is None:
        return Entry(name, (f"params/{path}",), lambda x: [x], lambda x: x)
    return Entry(name, (f"params/{path}",), lambda x: [turn(x)], back)


def dense(name: str, path: str, *, transposed: bool = True) -> list[Entry]:
    """Return a dense layer's entries; its tensor is [O, I] in torch, and [I, O] in GPT-2."""
    kernel = leaf(f"{name}.weight", f"{path}/kernel", *((np.transpose, np.transpose) if transposed else ()))
    return [kernel, leaf(f"{name}.bias", f"{path}/bias")]


def conv(name: str, path: str, *, bias: bool = True) -> list[Entry]:
    """Return a convolution's entries: the tensor is [O, I, S, S] and the kernel [S, S, I, O]."""
    kernel = leaf(
        f"{name}.weight",
        f"{path}/kernel",
        lambda x: x.transpose(2, 3, 1, 0),
        lambda x: x.transpose(3, 2, 0, 1),
    )
    return [kernel, leaf(f"{name}.bias", f"{path}/bias")] if bias else [kernel]


def norm(name: str, path: str) -> list[Entry]:
    """Return a layer norm's entries."""
    return [leaf(f"{name}.weight", f"{path}/scale"), leaf(f"{name}.bias", f"{path}/bias")]


def batch_norm(name: str, path: str) -> list[Entry]:
    """Return a batch norm's entries, and that of torch's count of batches, which nothing here needs."""

    def statistic(theirs: str, ours: str) -> Entry:
        return Entry(f"{name}.{theirs}", (f"batch_stats/{path}/{ours}",), lambda x: [x], lambda x: x)

    count = Entry(f"{name}.num_batches_tracked", (), lambda x: [], lambda: np.zeros((), np.int64), optional=True)
    return [*norm(name, path), statistic("running_mean", "mean"), statistic("running_var", "var"), count]


def flat_dense(name: str, path: str, channels: int, *, spatial: bool = False) -> list[Entry]:
    """Return the entries of a dense layer of flattened images, whose channels come first in torch and last here.

    spatial: the tensor is [O, C, S, S], as timm has it, not [O, C * S * S].
    """

    def read(x: Array) -> Array:
        side = round((x[0].size / channels) ** 0.5)
        return x.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, len(x))

    def write(x: Array) -> Array:
        side = round((x.shape[0] / channels) ** 0.5)
        back = x.reshape(side, side, channels, -1).transpose(3, 2, 0, 1)
        return back if spatial else back.reshape(len(back), -1)

    return [leaf(f"{name}.weight", f"{path}/kernel", read, write), leaf(f"{name}.bias", f"{path}/bias")]


def attention(names: Sequence[str], path: str, heads: int, *, out: str) -> list[Entry]:
    """Return the entries of an attention's query, key and value, of three layers of these names, and of its output."""
    entries: list[Entry] = []
    for name, part in zip(names, ATTENTION, strict=True):
        kernel = leaf(f"{name}.weight", f"{path}/{part}/kernel", lambda x: _split(x.T, heads), lambda x: _merged(x).T)
        bias = leaf(f"{name}.bias", f"{path}/{part}/bias", lambda x: x.reshape(heads, -1), lambda x: x.reshape(-1))
        entries += [kernel, bias]
    return [*entries, *_output(out, path, heads)]


def joint_attention(weight: str, bias: str, path: str, heads: int, *, out: str, transposed: bool = True) -> list[Entry]:
    """Return the entries of an attention whose query, key and value are one tensor.

    It is [3 * H * K, I], or [I, 3 * H * K] where it is not `transposed`.
    """

    def turned(x: Array) -> Array:
        return x.T if transposed else x

    kernels = Entry(
        weight,
        tuple(f"params/{path}/{part}/kernel" for part in ATTENTION),
        lambda x: [_split(part, heads) for part in np.split(turned(x), 3, axis=1)],
        lambda *parts: turned(np.concatenate([_merged(part) for part in parts], axis=1)),
    )
    biases = Entry(
        bias,
        tuple(f"params/{path}/{part}/bias" for part in ATTENTION),
        lambda x: [part.reshape(heads, -1) for part in np.split(x, 3)],
        lambda *parts: np.concatenate([part.reshape(-1) for part in parts]),
    )
    return [kernels, biases, *_output(out, path, heads, transposed=transposed)]


def _output(name: str, path: str, heads: int, *, transposed: bool = True) -> list[Entry]:
    def read(x: Array) -> Array:
        matrix = x.T if transposed else x
        return matrix.reshape(heads, -1, matrix.shape[1])

    def write(x: Array) -> Array:
        matrix = x.reshape(-1, x.shape[-1])
        return matrix.T if transposed else matrix

    kernel = leaf(f"{name}.weight", f"{path}/out/kernel", read, write)
    return [kernel, leaf(f"{name}.bias", f"{path}/out/bias")]


def _split(matrix: Array, heads: int) -> Array:
    """Return [I, H, K] of [I, H * K]."""
    return matrix.reshape(len(matrix), heads, -1)


def _merged(kernel: Array) -> Array:
    """Return [I, H * K] of [I, H, K]."""
    return kernel.reshape(len(kernel), -1)


def optional(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries of a head."""
    return [entry._replace(optional=True) for entry in entries]
