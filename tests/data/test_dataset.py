import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, Source, Spec, columns, narrow
from fdl.data.modalities.windows import window_count, windows
from fdl.engine.loader import evaluation_rows, training_rows


@pytest.fixture(params=["columns", "windows"])
def source(request):
    if request.param == "columns":
        return columns({"a": np.arange(12.0).reshape(6, 2), "b": np.arange(6)}, np.arange(6) % 3)
    return windows(np.arange(23, dtype=np.uint8), 5, stride=5)


def test_host_and_device_take_the_same(source):
    indices = np.array([2, 0, 3], np.int32)
    device = jax.jit(source.take)(jax.tree.map(jnp.asarray, source.arrays), jnp.asarray(indices))
    host = source.fetch(indices)
    assert jax.tree.structure(host) == jax.tree.structure(device)
    for a, b in zip(jax.tree.leaves(host), jax.tree.leaves(device), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


@pytest.mark.parametrize("count", [2, 5, 6, 7, 11, 23])
def test_evaluation_windows_cover_each_target_once(count):
    source = windows(np.arange(count), 5, stride=5)
    batch = source.fetch(np.arange(len(source)))
    assert sorted(batch.targets[batch.weights > 0].tolist()) == list(range(1, count))
    assert len(source) == window_count(count, 5, 5)


def test_training_windows_are_whole():
    source = windows(np.arange(9), 4)
    batch = source.fetch(np.arange(len(source)))
    assert batch.weights.min() == 1
    assert np.array_equal(batch.targets, batch.inputs + 1)
    assert batch.targets.max() == 8
    assert len(source) == window_count(9, 4, 1) == 5


def test_windows_longer_than_the_data_are_refused():
    with pytest.raises(ValueError, match="no window of length 9"):
        windows(np.arange(9), 9)


@pytest.mark.parametrize(("epochs", "batch_size"), [(0, 1), (float("inf"), 1), (float("nan"), 1), (1, 0)])
def test_epochs_that_are_no_number_of_steps_are_refused(epochs, batch_size):
    with pytest.raises(ValueError, match="must be positive and finite"):
        tiny.dataset().steps(epochs, batch_size)


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="same number"):
        columns(np.zeros((3, 1)), np.zeros(4))


def test_integers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        narrow(np.array([2**31]))
    assert narrow(np.array([2**31 - 1])).dtype == np.int32


def test_evaluation_rows_count_each_example_once():
    rows = evaluation_rows(batch_size=4, size=10)
    assert rows.indices.shape == rows.weights.shape == (3, 4)
    assert sorted(rows.indices[rows.weights > 0].tolist()) == list(range(10))


def test_training_rows_do_not_depend_on_how_they_are_cut_into_calls():
    whole = training_rows(0, 0, 6, batch_size=4, size=10)
    parts = [training_rows(0, first, 2, batch_size=4, size=10) for first in (0, 2, 4)]
    assert np.array_equal(whole.indices, np.concatenate([p.indices for p in parts]))
    assert whole.indices.dtype == np.int32


@pytest.mark.parametrize("shape", [(4, 5, 3), (7, 3), (4, 5, 1), (4, 200), (6,), ()])
def test_flat_rows_are_the_rows(shape):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, *shape)).astype(np.uint8)
    source = columns({"image": images, "number": np.arange(6)}, np.arange(6) % 3)
    flat, indices = source.flat(), np.array([5, 0, 5], np.int32)
    kept = flat.arrays[0]["image"]
    assert kept.ndim == (2 if len(shape) > 1 and 1 < shape[-1] < 128 else images.ndim)
    assert np.shares_memory(kept, images) or not images.size
    device = jax.jit(flat.take)(jax.tree.map(jnp.asarray, flat.arrays), jnp.asarray(indices))
    for a, b, c in zip(*map(jax.tree.leaves, (source.fetch(indices), flat.fetch(indices), device)), strict=True):
        assert a.dtype == b.dtype == c.dtype
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_flat_rows_serve_a_take_of_the_users_own():
    def take(arrays, indices):
        return Batch(jnp.take(jnp.asarray(arrays), indices, axis=0) + 1, None, np.ones(len(indices), np.float32))

    images = np.arange(60, dtype=np.float32).reshape(5, 2, 2, 3)
    flat = Source(arrays=images, size=5, take=take).flat()
    batch = jax.jit(flat.take)(jnp.asarray(flat.arrays), jnp.array([3, 1]))
    assert np.array_equal(batch.inputs, images[[3, 1]] + 1)


def test_windows_of_narrow_rows_stay_windows():
    clips = np.arange(9 * 4 * 3, dtype=np.float32).reshape(9, 4, 3)
    source = windows(clips, 3)
    for a, b in zip(
        *map(jax.tree.leaves, (source.fetch(np.arange(4)), source.flat().fetch(np.arange(4)))), strict=True
    ):
        assert np.array_equal(a, b)


def test_digits_that_32_bits_do_not_hold_are_said():
    x = np.random.default_rng(0).normal(size=(320, 2))
    rounded = np.array([0.3, 0.1 + 0.2])
    for fine in (x, 1e6 + 3 * x, np.linspace(1.6e9, 1.7e9), np.full(5, 1.7e9), 1e30 * x, x[:0], rounded, x * np.nan):
        assert narrow(fine).dtype == np.float32
    with pytest.raises(ValueError, match=r"keep 1 of 320 different values in 32 bits; take their mean off first"):
        columns(x, 1.7e9 + 3 * x[:, 0])
    with pytest.raises(ValueError, match=r"keep \d of 320 different values"):
        columns(np.stack([x[:, 0], 1e8 + 3 * x[:, 1]], 1))


def test_epochs_are_what_is_written_and_not_the_binary_fraction_beside_it():
    for size in (50, 100, 1000):
        whole = Dataset(name="x", spec=Spec(inputs=None, targets=None, sizes={"train": size}), load=lambda split: None)
        for tenths in range(1, 400):
            for batch_size in (1, 5, 20):
                assert whole.steps(tenths / 10, batch_size) == max(1, -(-tenths * size // (10 * batch_size)))
