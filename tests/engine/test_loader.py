import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fdl.data import Dataset
from fdl.data.dataset import LazySource, Spec, columns
from fdl.data.modalities.windows import windows
from fdl.data.validate import check_source, check_values
from fdl.engine import loader
from fdl.engine.program import Evaluation, training
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.parallel import executors
from fdl.tasks import classify


def lazy(source):
    """Return the same rows, as if each had to be decoded."""
    return LazySource(size=len(source), read=source.fetch, load=lambda: source, nbytes=source.nbytes)


def experiment(chosen, accumulate=1):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (50, 4, 4, 1), np.uint8), rng.integers(0, 3, 50)
    source = lazy(columns(images, labels))
    spec = Spec(
        inputs=jax.ShapeDtypeStruct((4, 4, 1), np.uint8),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes={"train": 50, "validation": 50, "test": 50},
        classes=3,
    )
    data = Dataset(
        name="made",
        spec=spec,
        load=lambda split: source,
        transform=lambda batch: batch._replace(inputs=batch.inputs.astype(jnp.float32) / 255),
    )
    return Experiment(
        model=MLP(3, (8,), dropout=0.2),
        dataset=data,
        task=classify(3),
        optimizer=optax.adam(1e-2),
        batch_size=16,
        steps=12,
        feed=chosen,
        accumulate=accumulate,
    )


def run(chosen, executor, cuts):
    """Return the losses of each step and the evaluation at the end."""
    made = experiment(chosen)
    program, state, losses, step = training(made, executor), executor.put_state(made.init()), [], 0
    assert program.feed.startswith(chosen)
    for count in cuts:
        state, sums = program.call(state, program.rows(step, count))
        losses.append(np.asarray(sums["loss"].total))
        step += count
    _, metrics = Evaluation(made, executor, "test")(state)
    return np.concatenate(losses), metrics


@pytest.mark.parametrize("make", [lambda: executors.jit(), lambda: executors.mesh(), lambda: executors.pmap()])
def test_resident_equals_streamed(make):
    executor = make()
    resident, streamed = (run(chosen, executor, (4, 4, 4)) for chosen in ("resident", "streamed"))
    assert np.array_equal(resident[0], streamed[0])
    assert resident[1] == streamed[1]
    assert resident[1]["n"] == 50


def test_a_stream_does_not_depend_on_how_it_is_asked():
    source = columns(np.arange(30.0)[:, None], np.arange(30))

    def rows(step, count):
        return loader.training_rows(0, step, count, batch_size=4, size=30)

    whole = loader.Stream(lazy(source), rows, 12)(0, 12)
    stream = loader.Stream(lazy(source), rows, 12)
    parts = [stream(0, 2), stream(2, 5), stream(7, 5)]
    again = loader.Stream(lazy(source), rows, 12)(7, 5)
    for leaf, *pieces in zip(*map(jax.tree.leaves, (whole, *parts)), strict=True):
        assert np.array_equal(leaf, np.concatenate(pieces))
    chex.assert_trees_all_equal(again, parts[2])


def test_a_stream_works_ahead_but_never_beyond_the_end(monkeypatch):
    asked = []

    def rows(step, count):
        asked.append(step)
        return loader.training_rows(0, step, count, batch_size=4, size=30)

    monkeypatch.setattr(loader, "_MOST", 1)
    stream = loader.Stream(columns(np.zeros((30, 1)), np.zeros(30)), rows, 6)
    for step in (0, 2, 4):
        stream(step, 2)
        stream.threads.submit(int).result()
        assert set(range(step + 2)) < set(asked) | {6}
    assert max(asked) < 6


def test_what_fits_is_resident_and_what_does_not_is_streamed():
    device = jax.devices()[0]
    source = columns(np.zeros((4, 2)), np.zeros(4))
    assert loader.choose_feed("auto", source, device)[0] == "resident"
    huge = LazySource(size=4, read=source.fetch, load=lambda: source, nbytes=2**60)
    chosen, why = loader.choose_feed("auto", huge, device)
    assert chosen == "streamed"
    assert "quarter" in why
    assert loader.choose_feed("resident", huge, device)[0] == "resident"


def spec(inputs, targets, **more):
    shapes = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in (inputs, targets)]
    return Spec(inputs=shapes[0], targets=shapes[1], sizes={"train": len(inputs)}, **more)


FINE = np.zeros((5, 2), np.float32)
BAD = {
    "label -1": (
        FINE,
        np.array([0, 1, -1, 0, 0], np.int32),
        {"classes": 2},
        r"example 2: target -1 is outside \[0, 2\)",
    ),
    "label C": (FINE, np.array([0, 1, 1, 2, 0], np.int32), {"classes": 2}, "example 3: target 2"),
    "token": (np.full((5, 3), 7, np.int32), np.zeros(5, np.int32), {"classes": 2, "vocabulary": 7}, "token 7"),
    "nan": (
        np.where(np.arange(5)[:, None] == 4, np.nan, FINE).astype(np.float32),
        np.zeros(5, np.float32),
        {},
        "example 4: inputs",
    ),
    "inf": (FINE, np.array([0, np.inf, 0, 0, 0], np.float32), {}, "example 1: targets are not finite"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("how", ["in memory", "streamed"])
def test_wrong_values_are_named_by_split_example_and_value(name, how):
    inputs, targets, more, said = BAD[name]
    source, expected = columns(inputs, targets), spec(inputs, targets, **more)
    if how == "in memory":

        def see():
            check_source(source, expected, "made", "train")
    else:

        def see():
            def look(batch, indices):
                check_values(batch, expected, "made", "train", indices)

            loader.Stream(lazy(source), lambda *_: loader.evaluation_rows(batch_size=5, size=5), 1, look)(0, 1)

    with pytest.raises(ValueError, match="made split 'train' .*" + said) as error:
        see()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "other", [np.zeros((5, 3), np.float32), np.zeros((5, 2), np.uint8), np.zeros((5, 2, 1), np.float32)]
)
def test_other_shapes_and_dtypes_than_the_spec_are_refused(other):
    targets = np.zeros(5, np.float32)
    with pytest.raises(ValueError, match="its spec says float32"):
        check_source(columns(other, targets), spec(FINE, targets), "made", "train")


def test_windows_are_checked_too():
    values = np.array([1, 2, 3, 9, 1, 2, 3, 4])
    expected = Spec(
        inputs=jax.ShapeDtypeStruct((3,), np.int32),
        targets=jax.ShapeDtypeStruct((3,), np.int32),
        sizes={"train": 5},
        classes=9,
        vocabulary=9,
    )
    with pytest.raises(ValueError, match="9 is outside"):
        check_source(windows(values, 3), expected, "made", "train")
