"""Every page as a value: no data is read, since a dataset's spec says all that the parts must agree on."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import pages
from fdl.core import steps
from fdl.core.types import Batch
from fdl.engine.checks import check
from fdl.engine.program import step_of
from fdl.experiment import Experiment, load
from fdl.parallel.compiled import Call
from fdl.parallel.executors import jit, mesh

# Pages that are a kind of data rather than a set need a `--dataset`; their own tests bring one.
GENERIC = {"image", "table", "text", "audio", "video", "series", "pairs", "tagging"}
# These download their set when they are made; their own tests mock it.
DOWNLOADED = {
    *("cifar10_alexnet", "cifar10_resnet", "cifar10_vgg", "faces", "fashion_mnist_cnn", "imdb_transformer"),
    *("shakespeare", "wmt_transformer"),
}
# The published sizes are described, never trained, in a test.
HUGE = {"imagenet_alexnet", "imagenet_vgg", "imagenet_resnet", "gpt2", "bert", "finetune_image", "finetune_text"}
NAMES = [name for name in pages.names() if name not in GENERIC | DOWNLOADED]
SMALL = [name for name in NAMES if name not in HUGE]


# What is checked is how the parts meet, not their size.
TINY = {"width": 16, "depth": 1, "heads": 2, "hidden": 16, "channels": (4, 8), "length": 16, "side": 8}


def made(name: str, tiny: bool = False) -> Experiment:
    """The experiment of a page, or a skip where it needs a package that is not here."""
    kinds = {knob.name: (knob.kind, knob.many) for knob in pages.read(name).knobs}
    fits = {k: v for k, v in TINY.items() if kinds.get(k) == (int, isinstance(v, tuple))}
    try:
        return load(name, **(fits if tiny else {}))
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    except ValueError as error:
        if "not installed" not in str(error):
            raise
        pytest.skip(str(error))


def drawn(experiment: Experiment, batch_size: int) -> Batch:
    """A batch in the shapes of the dataset: integers are all class or token 1."""
    shapes = experiment.dataset.shapes(batch_size)
    random = np.random.default_rng(0)

    def leaf(x: jax.ShapeDtypeStruct) -> np.ndarray:
        whole = not jnp.issubdtype(x.dtype, jnp.floating)
        return np.ones(x.shape, x.dtype) if whole else random.normal(size=x.shape).astype(x.dtype)

    weights = np.ones(shapes.weights.shape, np.float32)
    return Batch(jax.tree.map(leaf, shapes.inputs), jax.tree.map(leaf, shapes.targets), weights)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_fits_together(name):
    experiment = made(name)
    check(experiment, 1)
    assert experiment.seed == 0
    assert experiment.knobs["batch_size"] == experiment.batch_size
    assert set(experiment.dataset.spec.sizes) >= {"train", "validation", "test"}


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", SMALL)
def test_every_experiment_takes_two_steps(name, count):
    experiment = made(name, tiny=True)
    plain = replace(experiment.dataset, transform=None)  # what is drawn here is what `transform` gives
    step = step_of(replace(experiment, dataset=plain))
    executor = (jit if count == 1 else mesh)(jax.devices()[:count])
    call = Call(executor, steps.fuse(step))
    chunk = jax.tree.map(lambda x: x[None], drawn(experiment, 8))
    state = executor.put_state(experiment.init())
    for _ in range(2):
        state, sums = call(state, chunk)
        jax.block_until_ready(sums)
    assert int(state.step) == 2
    assert np.isfinite(np.asarray(sums["loss"].total)).all()
    assert float(sums["loss"].weight[0]) > 0
