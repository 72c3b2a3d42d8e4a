"""The pages of sets that TFDS downloads, by name and through TFDS, on the examples that TFDS makes up for tests."""

from pathlib import Path

import jax
import numpy as np
import pytest

from fdl import pages
from fdl.core import steps
from fdl.data.readers.tensorflow_stub import install
from fdl.engine.checks import check
from fdl.engine.program import step_of
from fdl.experiment import load
from fdl.parallel.compiled import Call
from fdl.parallel.executors import jit

SIZES = {"train": 30, "test": 10}
PAGES = {
    "fashion_mnist_cnn": ("fashion_mnist", {"channels": (4, 8), "hidden": 8}, 10),
    "cifar10_resnet": ("cifar10", {"depth": 8}, 10),
    "imdb_transformer": ("imdb_reviews", {"width": 8, "length": 16}, 2),
}


def describe(folder, name):
    """Write what preparing the set would have left beside its records: its splits and features."""
    from tensorflow_datasets import builder
    from tensorflow_datasets.core.naming import ShardedFileTemplate
    from tensorflow_datasets.core.splits import SplitDict, SplitInfo

    made = builder(name, data_dir=folder, file_format="array_record")
    Path(made.data_dir).mkdir(parents=True)
    files = ShardedFileTemplate(data_dir=made.data_dir, dataset_name=made.name, filetype_suffix="array_record")
    splits = [
        SplitInfo(name=split, shard_lengths=[size], num_bytes=size, filename_template=files.replace(split=split))
        for split, size in SIZES.items()
    ]
    made.info.set_splits(SplitDict(splits))
    made.info.write_to_directory(made.data_dir)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_trains_on_the_set_it_names(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    install()
    from tensorflow_datasets.testing import MockPolicy, mock_data, mocking

    # What mock_data puts there wants a `self` that nobody passes (TFDS 4.9.10).
    monkeypatch.setattr(mocking, "_getitems", lambda keys, generator: [generator[key] for key in keys])
    dataset, tiny, classes = PAGES[name]
    assert pages.read(name).complete({})["dataset"] == dataset
    describe(tmp_path, dataset)
    with mock_data(num_examples=max(SIZES.values()), policy=MockPolicy.USE_FILES, data_dir=str(tmp_path)):
        experiment = load(name, batch_size=4, **tiny)
        check(experiment, 1)
        assert experiment.dataset.spec.classes == classes
        assert experiment.dataset.spec.sizes["train"] + experiment.dataset.spec.sizes["validation"] == SIZES["train"]
        chunk = jax.tree.map(lambda x: x[None], experiment.dataset.load("train").resident().fetch(np.arange(4)))
        executor = jit()
        _, sums = Call(executor, steps.fuse(step_of(experiment)))(executor.put_state(experiment.init()), chunk)
    assert np.isfinite(np.asarray(sums["loss"].total)).all()
    assert float(sums["loss"].weight[0]) == 4
