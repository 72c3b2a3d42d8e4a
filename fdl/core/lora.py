"""LoRA: kernels stay as they are but for a product of two thin matrices, which alone are trained (Hu et al., 2021).

An adapted kernel is W + (alpha / rank) A B, with A: [inputs, rank] drawn and B: [rank, outputs] zero at first. The
parameters hold this sum at every step, so whatever reads them (evaluation, prediction, generation, export, another run)
knows nothing of adapters; A and B are in the optimizer's state. By the chain rule their gradients are products with the
gradient of the sum, which is what differentiating the sum would compute as well.

Shape legend: I inputs, O outputs of a kernel as a matrix, R rank.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fdl.core.differences import first_few
from fdl.core.errors import UserError
from fdl.core.optimizer_state import FrozenState, frozen, has_ema
from fdl.core.recorded import recorded
from fdl.core.types import Array, PyTree, TrainState

KERNELS = ("kernel", "embedding")


class Adapter(NamedTuple):
    """The matrices f32[I, R] and f32[R, O] whose scaled product is added to a kernel."""

    lora_a: Array
    lora_b: Array


class LoraState(NamedTuple):
    """The state of `lora`.

    adapters: an Adapter in the place of each adapted kernel, `optax.MaskedNode` in that of other parameters.
    frozen:   the paths of modules that do not change at all, which keep their batch statistics as well.
    inner:    the state of the optimizer of what is trained.
    """

    adapters: PyTree
    frozen: dict[str, FrozenState]
    inner: optax.OptState


@recorded
def lora(
    optimizer: optax.GradientTransformation,
    rank: int,
    modules: Sequence[str] = (),
    *,
    fresh: Sequence[str] = (),
    alpha: float | None = None,
    seed: int | Array = 0,
) -> optax.GradientTransformation:
    """Train adapters of this rank for the kernels of some modules, and the modules `fresh`; all else is frozen.

    modules: names or paths, such as "attention" or "Block_0/attention/query"; every kernel below them is meant, and
        without any every kernel but embeddings and those too small to gain.
    fresh: paths that train whole, such as a new head. alpha: rank times the scale of the product; the rank by default.
    seed: of A. A convolution's kernel is the matrix nearest to square.
    Raises a UserError where a name matches no kernel, or one whose rank is no higher.
    """
    if rank < 1:
        raise UserError(f"lora rank {rank} is no rank; give 1 or more, such as 8")
    scale = (rank if alpha is None else alpha) / rank

    def init(params: PyTree) -> LoraState:
        chosen = _matching(params, rank, modules, fresh)
        key = jax.random.key(seed)

        def adapter(path: tuple[Any, ...], leaf: Array) -> Adapter | optax.MaskedNode:
            name = _name(path)
            if name not in chosen:
                return optax.MaskedNode()
            inputs, outputs = _as_matrix(leaf.shape)
            mine = jax.random.fold_in(key, zlib.crc32(name.encode()))
            drawn = jax.random.normal(mine, (inputs, rank), leaf.dtype) / math.sqrt(inputs)
            return Adapter(drawn, jnp.zeros((rank, outputs), leaf.dtype))

        adapters = jax.tree_util.tree_map_with_path(adapter, params)
        inner = optimizer.init(_trained(params, adapters, fresh))
        _refuse_averages_and_frozen(inner, chosen)
        return LoraState(adapters, dict.fromkeys(_frozen_modules(params, chosen, fresh), FrozenState()), inner)

    def update(grads: PyTree, state: LoraState, params: PyTree = None) -> tuple[PyTree, LoraState]:
        # The gradients of the adapters, from those of their sums; what is frozen needs none.
        adapters = state.adapters
        towards = jax.tree.map(lambda grad, held: _towards(grad, held, scale), grads, adapters)
        trained = _trained(params, adapters, fresh)
        updates, inner = optimizer.update(_trained(towards, adapters, fresh), state.inner, trained)
        after = optax.apply_updates(trained, updates)

        # The change of each parameter: of a sum with its adapter, its own, or none.
        def change(param: Array, update: PyTree, old: PyTree, new: PyTree) -> Array:
            if isinstance(update, optax.MaskedNode):
                return jnp.zeros_like(param)
            return _moved(param, old, new, scale) if isinstance(old, Adapter) else update

        changes = jax.tree.map(change, params, updates, adapters, after)
        kept = jax.tree.map(lambda _, old, new: new if isinstance(old, Adapter) else old, params, adapters, after)
        return changes, LoraState(kept, state.frozen, inner)

    return optax.GradientTransformation(init, update)


def matrix_split(shape: Sequence[int]) -> int:
    """Return how many leading dimensions of a kernel are the rows of the matrix that is nearest to square.

    >>> matrix_split((3, 3, 64, 64)), matrix_split((768, 12, 64)), matrix_split((12, 64, 768))
    (3, 1, 2)
    """
    places = range(1, len(shape))
    return min(places, key=lambda at: abs(math.log(math.prod(shape[:at]) / math.prod(shape[at:]))))


def _as_matrix(shape: Sequence[int]) -> tuple[int, int]:
    at = matrix_split(shape)
    return math.prod(shape[:at]), math.prod(shape[at:])


def summary(state: TrainState) -> str:
    """Say in one line what LoRA trains of a state, arrays or shapes; "" where it has no adapters."""
    states = [x for x in jax.tree.leaves(state.opt_state, is_leaf=_is_lora) if _is_lora(x)]
    if not states:
        return ""
    adapters = jax.tree.leaves([one.adapters for one in states], is_leaf=lambda x: isinstance(x, Adapter))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(adapters))
    frozen = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    rank = adapters[0].lora_a.shape[-1]
    return f"LoRA: {len(adapters)} adapters of rank {rank} train {count:,} parameters, beside a model of {frozen:,}"


# ── What is adapted, trained and frozen ─────────────────────────────────────────────────────────────────────────────


def _matching(params: PyTree, rank: int, modules: Sequence[str], fresh: Sequence[str]) -> set[str]:
    """Return the paths of the kernels to adapt; raise a UserError where there are none, or too small ones."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    shapes = {
        _name(path): leaf.shape
        for path, leaf in leaves
        if leaf.ndim > 1 and _name(path[-1:]) in KERNELS and not _is_below(_name(path), fresh)
    }
    ranks = {name: min(_as_matrix(shape)) for name, shape in shapes.items()}
    chosen: set[str] = set()
    if not modules:
        chosen = {name for name in shapes if name.endswith("/kernel") and rank < ranks[name]}
        if not chosen:
            raise UserError(f"lora rank {rank} is no less than that of any kernel; give a lower rank")
    for module in modules:
        matched = {name for name in shapes if f"/{module}/" in f"/{name}"}
        if not matched:
            known = first_few(sorted({part for name in shapes for part in name.split("/")[:-1]}), 12)
            raise UserError(f"lora: no module with a kernel is named {module!r}; there are {known or 'none'}")
        chosen |= matched
    for name in sorted(chosen):
        if rank >= ranks[name]:
            raise UserError(
                f"lora rank {rank} is no less than the {ranks[name]} of {name} {list(shapes[name])}; give a lower rank "
                "or other modules"
            )
    return chosen


def _refuse_averages_and_frozen(inner: optax.OptState, chosen: set[str]) -> None:
    """Raise a UserError where the optimizer of the adapters would average them, or leave them at zero."""
    if has_ema(inner):
        raise UserError("lora around an optimizer that averages would average adapters; put ema around lora")
    if held := sorted(name for name in chosen if _is_below(name, frozen(inner))):
        raise UserError(f"lora adapts {held[0]}, which the optimizer freezes; adapt other modules, or freeze none")


def _trained(params: PyTree, adapters: PyTree, fresh: Sequence[str]) -> PyTree:
    """Return what is trained in the place of each parameter: its adapter, itself, or nothing."""

    def one(path: tuple[Any, ...], leaf: PyTree, adapter: PyTree) -> PyTree:
        if isinstance(adapter, Adapter):
            return leaf if isinstance(leaf, Adapter) else adapter
        return leaf if _is_below(_name(path), fresh) else optax.MaskedNode()

    return jax.tree_util.tree_map_with_path(one, params, adapters, is_leaf=lambda x: isinstance(x, Adapter))


def _frozen_modules(params: PyTree, chosen: set[str], fresh: Sequence[str]) -> list[str]:
    """Return the paths of modules below which nothing is trained."""
    names = [_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    moving = [name for name in names if name in chosen or _is_below(name, fresh)]
    modules = sorted({name.rpartition("/")[0] for name in names} - {""})
    return [module for module in modules if not any(_is_below(name, [module]) for name in moving)]


def _is_below(name: str, modules: Sequence[str]) -> bool:
    return any(f"{name}/".startswith(f"{module}/") for module in modules)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_lora(x: Any) -> bool:
    return isinstance(x, LoraState)


# ── The arithmetic ──────────────────────────────────────────────────────────────────────────────────────────────────


def _product(left: Array, right: Array) -> jax.Array:
    """Multiply thin matrices in float32 on any device: it costs little, and weights are made of it."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _towards(grad: Array, adapter: Adapter | optax.MaskedNode, scale: float) -> PyTree:
    """Return the gradient of an adapter from that of its kernel, and any other as it is."""
    if not isinstance(adapter, Adapter):
        return grad
    matrix = jnp.reshape(grad, (adapter.lora_a.shape[0], adapter.lora_b.shape[1]))
    return Adapter(scale * _product(matrix, adapter.lora_b.T), scale * _product(adapter.lora_a.T, matrix))


def _moved(param: Array, old: Adapter, new: Adapter, scale: float) -> jax.Array:
    """Return the change of a kernel, without the difference of two nearly equal products."""
    moved_a, moved_b = new.lora_a - old.lora_a, new.lora_b - old.lora_b
    change = _product(moved_a, new.lora_b) + _product(old.lora_a, moved_b)
    return scale * change.reshape(param.shape)
