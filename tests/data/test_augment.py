import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core import data_axis
from fdl.core.types import Batch
from fdl.data import augment
from fdl.parallel import compiled, executors

KEY = jax.random.key(3)
AUGMENTS = {
    "crop": augment.random_shift(0.25),
    "mirror": augment.random_flip(),
    "cut_out": augment.random_cutout(0.5),
    "recolour": augment.color_jitter(0.3),
    "mask": augment.spec_augment(time=0.4, frequency=0.4),
    "warp": augment.vtlp(0.3),
    "mixup": augment.mixup(4),
    "cutmix": augment.cutmix(4),
    "all": augment.chain(
        augment.random_shift(0.25), augment.random_flip(), augment.spec_augment(time=0.4), augment.cutmix(4)
    ),
}


def batch(rows=8):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(rows, 8, 6, 3)).astype(np.float32)
    return Batch(jnp.asarray(images), jnp.arange(rows) % 4, jnp.ones(rows))


def same(a, b):
    return all(np.allclose(x, y, atol=1e-6) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_one_device_and_eight_see_the_same():
    change, chunk = AUGMENTS["all"], jax.tree.map(lambda x: x[None], batch())

    def step(state, whole):
        return state, data_axis.all_gather(change(KEY, jax.tree.map(lambda x: x[0], whole)))

    one, *many = (compiled.Call(make(), step)({}, chunk)[1] for make in executors.EXECUTORS.values())
    assert all(same(one, other) for other in many)


@pytest.mark.parametrize("name", AUGMENTS)
def test_the_key_decides_and_every_example_has_its_own_draw(name):
    change, whole = jax.jit(AUGMENTS[name]), batch()
    alike = whole._replace(inputs=jnp.broadcast_to(whole.inputs[:1], whole.inputs.shape))
    once, again, other = change(KEY, whole), change(KEY, whole), change(jax.random.key(4), whole)
    assert same(once, again)
    assert not same(once, other)
    if name not in ("mixup", "cutmix"):
        drawn = np.asarray(change(KEY, alike).inputs)
        assert any(not np.array_equal(drawn[0], row) for row in drawn[1:])
    assert once.inputs.shape == whole.inputs.shape
    assert once.inputs.dtype == whole.inputs.dtype


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_targets_are_shares_that_add_to_one(name):
    mixed = AUGMENTS[name](KEY, batch())
    assert mixed.targets.shape == (8, 4)
    assert np.allclose(mixed.targets.sum(1), 1, atol=1e-6)
    assert (np.asarray(mixed.targets) > 0).sum() > 8


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_padding_is_never_mixed_in(name):
    padded = batch()
    padded = padded._replace(inputs=padded.inputs.at[4:].set(jnp.nan), weights=jnp.array([1.0] * 4 + [0.0] * 4))
    for number in range(8):
        assert np.isfinite(AUGMENTS[name](jax.random.key(number), padded).inputs[:4]).all()


def test_a_crop_only_moves_and_a_mirror_only_turns():
    x = batch().inputs
    turned = augment.random_flip()(KEY, batch()).inputs
    for row, was in zip(turned, x, strict=True):
        assert np.array_equal(row, was) or np.array_equal(row, was[:, ::-1])
    assert set(np.unique(augment.random_shift(0.25)(KEY, batch()).inputs)) <= set(np.unique(x))


def test_videos_are_changed_alike_in_every_frame():
    frames = jnp.broadcast_to(batch().inputs[:, None], (8, 5, 8, 6, 3))
    moved = augment.augment_images(shift=0.25, flip=True, cutout=0.5)(KEY, batch()._replace(inputs=frames)).inputs
    assert np.array_equal(moved[:, 0], moved[:, 4])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize("name", ["mixup", "cutmix", "warp"])
def test_integers_are_blended_as_the_numbers_that_they_are(name, dtype):
    whole = batch()._replace(inputs=jnp.asarray(np.random.default_rng(1).integers(0, 256, (8, 8, 6, 3)).astype(dtype)))
    floats = whole._replace(inputs=whole.inputs.astype(jnp.float32))
    ours, theirs = (AUGMENTS[name](KEY, each) for each in (whole, floats))
    np.testing.assert_array_equal(ours.inputs.astype(jnp.float32), theirs.inputs)
    np.testing.assert_array_equal(ours.targets, theirs.targets)


def test_what_is_mixed_twice_is_shares_of_shares():
    once = augment.mixup(4)(KEY, batch())
    twice = augment.cutmix(4)(KEY, once)
    assert twice.targets.shape == (8, 4)
    np.testing.assert_allclose(twice.targets.sum(1), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="are not labels of 3 classes"):
        augment.mixup(3)(KEY, once)


def test_a_crop_moves_by_the_share_as_it_is_written():
    """29 % of 100 pixels are 29, though 0.29 * 100 is 28.999999999999996."""
    image = jnp.arange(100, dtype=jnp.float32).reshape(1, 100, 1, 1)
    keys = jax.random.split(KEY, 400)
    moved = jax.vmap(lambda key: augment.random_shift(0.29)(key, Batch(image, None, jnp.ones(1))).inputs[0, 50, 0, 0])(
        keys
    )
    assert (float(moved.min()), float(moved.max())) == (21.0, 79.0)


def test_names_of_the_last_release_still_work_and_name_the_new_one():
    with pytest.warns(FutureWarning, match="crop is now random_shift"):
        assert augment.crop is augment.random_shift
