"""The structure of a train state: leaves by name, and comparison with a checkpoint's."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fdl.core.differences import THERE_AND_HERE, differences, first_few
from fdl.core.errors import UserError
from fdl.core.types import Array, PyTree, TrainState
from fdl.models.leaf_names import nested


class TrainState01(NamedTuple):
    """The fields of a train state as checkpoints of fdl 0.1 name them."""

    step: Array
    params: PyTree
    opt_state: PyTree
    extras: PyTree
    key: Array


_NAMES_OF_01 = {"extras/": "model_state/", "/Averaged.": "/EmaState.", "/Scaled.": "/LossScaleState."}


def name_now(name: str) -> str:
    """Translate a leaf name of fdl 0.1 to the current one; current names are unchanged.

    >>> name_now("opt_state/Averaged.average/Dense_0/bias")
    'opt_state/EmaState.average/Dense_0/bias'
    """
    for then, now in _NAMES_OF_01.items():
        if then.startswith("/"):
            name = name.replace(then, now)
        elif name.startswith(then):
            name = now + name.removeprefix(then)
    return name


def plain(state: TrainState) -> TrainState:
    """Return the state with its typed PRNG key as key data."""
    return state._replace(key=jax.random.key_data(state.key))


def leaves(state: TrainState) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a state, such as `opt_state/1/0/ScaleByAdamState.mu/Dense_0/kernel`.

    Names include the node types: AdaBelief's state has the same shapes as Adam's.
    """
    yield from _named(state._asdict(), "")


def _named(tree: PyTree, name: str) -> Iterator[tuple[str, Any]]:
    for path, child in jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)[0]:
        if not path:
            yield name, child
            continue
        kind = "" if isinstance(tree, dict | list) or type(tree) is tuple else f"{type(tree).__name__}."
        key = jax.tree_util.keystr(path, simple=True, separator="/")
        yield from _named(child, f"{name}/{kind}{key}".lstrip("/"))


def refuse_other_structure(folder: Path, saved: Mapping[str, Mapping[str, Any]], want: TrainState, by: str) -> None:
    """Raise a ValueError if a checkpoint and the state to restore differ in names, shapes or dtypes.

    by: the version of fdl that wrote the checkpoint.
    """
    ours = {name: f"{leaf.dtype.name}{list(leaf.shape)}" for name, leaf in leaves(want)}
    theirs = {name: f"{leaf['dtype']}{leaf['shape']}" for name, leaf in saved.items()}
    if differing := differences(theirs, ours, THERE_AND_HERE):
        raise UserError(f"{folder} of fdl {by} holds another state: {first_few(differing)}; choose another run folder")


def averaged_params(state: Mapping[str, Any], names: Iterable[str]) -> PyTree:
    """Return the parameters of a raw state, each replaced by its moving average where the optimizer kept one.

    state: as Orbax reads it without a structure, nested dictionaries and lists; names: those of its leaves.
    """
    params = jax.tree.map(lambda leaf: leaf, state["params"])  # the dictionaries are new, the arrays the same
    for name in names:
        if found := re.fullmatch(r"(.*\b(?:EmaState|Averaged)\.average)/(.+)", name):
            average = _at(state, map(_key, found[1].split("/")))
            *modules, last = found[2].split("/")
            _at(params, modules)[last] = _at(average, [*modules, last])
    return params


def by_name(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return leaves by name as nested dictionaries, as Orbax reads a state without a structure."""
    return nested({"/".join(map(_key, name.split("/"))): array for name, array in arrays.items()})


def _key(part: str) -> str:
    """Return a part of a leaf's name without the type of its node."""
    return part.rpartition(".")[2]


def _at(tree: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        tree = tree[int(key)] if isinstance(tree, list | tuple) else tree[key]
    return tree
