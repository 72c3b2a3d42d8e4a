"""Pure step functions and their combinators, independent of devices, files and clocks.

A Gradient maps `(state, batch)` to totals; a Step maps `(state, batch, *constants)` to `(state, sums)`. Both are plain
functions, so they compose: `fuse(take_rows(train_step(accumulate(total_gradient(model, task), 4), optimizer), take))`.

Shapes: B batch, S steps per call, A micro-batches.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from fdl.core import data_axis, kernel_choice, optimizer_state
from fdl.core.forward import arguments, forward
from fdl.core.last_update import norm_of
from fdl.core.types import Array, Batch, PyTree, Rows, Step, Sum, Sums, Task, TrainState

Gradient = Callable[[TrainState, Batch], tuple[PyTree, PyTree, Sums]]

DROPOUT, AUGMENT = range(2)


def step_key(state: TrainState, purpose: int) -> jax.Array:
    """Return this step's key for one purpose: folded from the state's key, which is never advanced."""
    return jax.random.fold_in(jax.random.fold_in(state.key, state.step), purpose)


def init(model: nn.Module, optimizer: optax.GradientTransformation, batch: Batch, seed: int) -> TrainState:
    """Return the state at step 0, a pure function of the seed; only the shapes and dtypes of `batch` matter."""
    init_key, key = jax.random.split(jax.random.key(seed))
    positional, named = arguments(model, batch)
    variables = dict(model.init({"params": init_key}, *positional, **named, train=False))
    params = variables.pop("params", {})
    opt_state = optimizer.init(params)
    optimizer_state.check(opt_state, params)
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, variables, key)


def scalars(sums: Sums) -> dict[str, Sum]:
    """Return the scalar sums; tables and histograms are accumulated only in evaluation."""
    return {name: s for name, s in sums.items() if isinstance(s, Sum) and jnp.ndim(s.total) == 0}


def total_gradient(model: nn.Module, task: Task) -> Gradient:
    """Return the gradient function of the *total* loss of a batch (totals, unlike means, add over micro-batches).

    With `dynamic_loss_scale` the mean loss is scaled, up to a power of two, so that float16 holds its gradients at any
    batch size; the gradients returned are those of the plain total again.
    """

    def gradient(state: TrainState, batch: Batch) -> tuple[PyTree, PyTree, Sums]:
        scale, frozen = optimizer_state.loss_scale(state.opt_state), optimizer_state.frozen(state.opt_state)

        def total(params: PyTree) -> tuple[Array, tuple[PyTree, Sums, Array | None]]:
            key = step_key(state, DROPOUT)
            outputs, model_state = forward(
                model, params, state.model_state, batch, key, factored=task.factored, frozen=frozen
            )
            sums = scalars(task(outputs, batch))
            loss = sums["loss"]
            factor = None if scale is None else scale * _inverse_power_of_two(lax.stop_gradient(loss.weight))
            return loss.total if factor is None else loss.total * factor, (model_state, sums, factor)

        grads, (model_state, sums, factor) = jax.grad(total, has_aux=True)(state.params)
        if factor is not None:
            grads = jax.tree.map(lambda g: (g.astype(jnp.float32) / factor).astype(g.dtype), grads)
        return grads, model_state, sums

    return gradient


def _inverse_power_of_two(weight: Array) -> jax.Array:
    """Return f32[]: the power of two whose product with the weight, f32[], is in [0.5, 1); 1 for a weight of 0."""
    return jnp.ldexp(jnp.float32(1), -jnp.frexp(weight.astype(jnp.float32))[1])


def accumulate(gradient: Gradient, parts: int) -> Gradient:
    """Return a Gradient with gradient accumulation: `parts` micro-batches in sequence, their totals added.

    Equals the full batch whatever the weights, since the division comes after the sum. Batch statistics and dropout
    masks are those of the micro-batches.
    """
    if parts == 1:
        return gradient

    def accumulated(state: TrainState, batch: Batch) -> tuple[PyTree, PyTree, Sums]:
        micro = jax.tree.map(lambda x: x.reshape(parts, x.shape[0] // parts, *x.shape[1:]), batch)
        micro = data_axis.split_rows(micro, at=1)

        def body(carry: tuple[PyTree, PyTree], part: tuple[Array, Batch]) -> tuple[tuple[PyTree, PyTree], Sums]:
            grads, model_state = carry
            index, micro_batch = part
            here = state._replace(model_state=model_state, key=jax.random.fold_in(state.key, index))
            more, model_state, sums = gradient(here, micro_batch)
            return (jax.tree.map(jnp.add, grads, more), model_state), sums

        start = (jax.tree.map(jnp.zeros_like, state.params), state.model_state)
        (grads, model_state), sums = lax.scan(body, start, (jnp.arange(parts), micro))
        return grads, model_state, jax.tree.map(lambda x: x.sum(0), sums)

    return accumulated


def train_step(gradient: Gradient, optimizer: optax.GradientTransformation, *, norm: bool = False) -> Step:
    """Return the Step that updates the parameters once.

    Totals are summed over the data axis and only then divided by the total weight, so a shard that is all padding
    changes nothing. A batch of total weight 0 has a zero gradient. With `dynamic_loss_scale` an update that is not
    finite is skipped, and the sum "skipped" counts it.
    norm: the sum "gradient_norm" is that of each step, before clipping. An optimizer that clips by it computes the very
    same first, so that the compiled step reduces no more; in any other it would cost a pass over the gradients.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        grads, model_state, sums = gradient(state, batch)
        grads, sums = data_axis.add((grads, sums))
        inverse_weight = 1 / jnp.maximum(sums["loss"].weight, jnp.finfo(jnp.float32).tiny)
        # XLA fuses a product into each use but not a quotient, which would allocate another array per gradient.
        grads = jax.tree.map(lambda g: g * inverse_weight.astype(g.dtype), grads)
        if norm:
            sums = {**sums, "gradient_norm": norm_of(grads)}
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        opt_state = optimizer_state.update_ema(opt_state, params)
        new = TrainState(state.step + 1, params, opt_state, model_state, state.key)
        if optimizer_state.loss_scale(opt_state) is None:
            return new, sums
        return _skip_unless(jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)]).all(), new, state, sums)

    return step


def _skip_unless(finite: Array, new: TrainState, old: TrainState, sums: Sums) -> tuple[TrainState, Sums]:
    """Return the new state if finite: bool[], else the old one but for its step counter; "skipped" counts that."""

    def select(updated: Array, fallback: Array) -> jax.Array:
        return jnp.where(finite, updated, fallback)

    params, model_state = jax.tree.map(select, (new.params, new.model_state), (old.params, old.model_state))
    opt_state = optimizer_state.select(finite, new.opt_state, old.opt_state)
    skipped = 1.0 - finite.astype(jnp.float32)
    if "skipped" in sums:
        skipped = jnp.maximum(skipped, sums["skipped"].total)
    new = TrainState(new.step, params, opt_state, model_state, old.key)
    return new, {**sums, "skipped": Sum(skipped, jnp.ones(()))}


def all_finite(state: TrainState, sums: Sums) -> jax.Array:
    """Return bool[]: whether the loss and every array of the state are finite.

    Scalars of the optimizer state are ignored: some start at infinity, such as the best loss so far.
    """
    arrays = [leaf for leaf in jax.tree.leaves((state.params, state.opt_state, state.model_state)) if jnp.ndim(leaf)]
    numbers = [x for x in (*arrays, sums["loss"].total) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(x).all() for x in numbers]).all()


def skip_nonfinite(step: Step) -> Step:
    """Return the Step that skips updates that are not finite: only the step counter advances.

    The sums of a skipped step have weight 0; the sum "skipped" counts it.
    """

    def skipped(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        new, sums = step(state, batch)
        finite = all_finite(new, sums)
        return _skip_unless(finite, new, state, jax.tree.map(lambda x: jnp.where(finite, x, 0), dict(sums)))

    return skipped


def eval_step(model: nn.Module, task: Task) -> Step:
    """Return the evaluation Step, which leaves the state unchanged; "n" counts examples of non-zero weight."""

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        outputs, _ = forward(
            model,
            optimizer_state.evaluated(state.params, state.opt_state),
            state.model_state,
            batch,
            factored=task.factored,
        )
        return state, data_axis.add({**task(outputs, batch), "n": count(batch.weights)})

    return step


def predict_step(model: nn.Module, task: Task) -> Step:
    """Return the prediction Step: the state unchanged and, instead of sums, the task's columns array[B, ...]."""

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, PyTree]:
        outputs, _ = forward(model, optimizer_state.evaluated(state.params, state.opt_state), state.model_state, batch)
        return state, data_axis.all_gather(predictions(task, outputs))

    return step


def inspect_step(model: nn.Module, task: Task) -> Step:
    """Return `predict_step` whose outputs also hold what modules sowed as "intermediates", and the batch."""

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, PyTree]:
        positional, named = arguments(model, batch)
        variables = {"params": optimizer_state.evaluated(state.params, state.opt_state), **state.model_state}
        outputs, sown = model.apply(variables, *positional, **named, train=False, mutable=["intermediates"])
        return state, data_axis.all_gather((predictions(task, outputs), sown.get("intermediates", {}), batch))

    return step


def predictions(task: Task, outputs: PyTree) -> Mapping[str, Array]:
    """Return the task's predictions from a model's outputs, array[B, ...] by name."""
    return {"output": outputs} if task.predict is None else task.predict(outputs)


def count(weights: Array) -> Sum:
    """Count the examples of non-zero weight: the total is that count, the weight 1 per shard."""
    present = (weights.reshape(weights.shape[0], -1) > 0).any(1)
    return Sum(present.sum().astype(jnp.float32), jnp.ones(()))


def prepare(
    step: Step,
    transform: Callable[[Batch], Batch] | None = None,
    augment: Callable[[Array, Batch], Batch] | None = None,
) -> Step:
    """Return the Step that preprocesses its batch on the device.

    transform: pure, for training and evaluation alike (bytes to floats, waveform to spectrogram).
    augment:   pure given its key, `(key, batch) -> batch`, for training only; applied after `transform`.
    """
    if transform is None and augment is None:
        return step

    def prepared(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        if transform is not None:
            batch = transform(batch)
        if augment is not None:
            batch = augment(step_key(state, AUGMENT), batch)
        return step(state, batch)

    return prepared


def take_rows(step: Step, take: Callable[[PyTree, Array], Batch]) -> Step:
    """Return the Step that gathers its batch, given as Rows, from device-resident arrays: `(state, rows, arrays)`.

    take: pure, `(arrays, indices i32[B]) -> Batch`. Rows of weight 0 are padding, whatever their index.
    """

    def gathered(state: TrainState, rows: Rows, arrays: PyTree) -> tuple[TrainState, Sums]:
        return step(state, data_axis.split_rows(weigh(take(arrays, rows.indices), rows.weights)))

    return gathered


def weigh(batch: Batch, weights: Array) -> Batch:
    """Multiply the weights of a batch, f32[B] or f32[B, T], by per-example weights f32[B]."""
    return batch._replace(weights=batch.weights * weights.reshape(-1, *(1,) * (batch.weights.ndim - 1)))


def fuse(step: Step) -> Step:
    """Return S steps as one program: `(state, chunk)`, each leaf of the chunk [S, B, ...] and each of the sums [S].

    A chunk of one step is not a scan: XLA compiles some bodies, convolutions above all, far worse inside a loop.
    """

    def fused(state: TrainState, chunk: PyTree, *constants: PyTree) -> tuple[TrainState, Sums]:
        if jax.tree.leaves(chunk)[0].shape[0] == 1:
            state, sums = step(state, jax.tree.map(lambda x: x[0], chunk), *constants)
            return state, jax.tree.map(lambda x: x[None], sums)
        return lax.scan(lambda s, batch: step(s, batch, *constants), state, chunk)

    return fused


# vmap axes of a population's state: all members share one step counter; every other leaf has a leading P.
MEMBERS = TrainState(None, 0, 0, 0, 0)  # type: ignore[arg-type]


def population(step_of: Callable[[Mapping[str, Array]], Step]) -> Step:
    """Return the Step of P members at once (vmap): `(states, batches, values, *constants)`, sums [P].

    step_of: makes one member's Step from its hyperparameters, traced scalars by name. The leaves of the states (except
    `step`), of the batches and of the values have a leading P; the constants are shared.
    """

    def stepped(
        states: TrainState, batches: PyTree, values: Mapping[str, Array], *constants: PyTree
    ) -> tuple[TrainState, Sums]:
        def one(state: TrainState, batch: PyTree, member_values: Mapping[str, Array]) -> tuple[TrainState, Sums]:
            return step_of(member_values)(state, batch, *constants)

        with kernel_choice.without_native():
            return jax.vmap(one, (MEMBERS, 0, 0), (MEMBERS, 0))(states, batches, values)

    return stepped
