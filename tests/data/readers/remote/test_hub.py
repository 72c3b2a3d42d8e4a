"""Sets of the Hugging Face Hub, by its own library from a folder in its layout: no network is here."""

import numpy as np
import pytest

import fdl
from fdl.core.errors import UserError
from fdl.data import find
from fdl.data.readers.remote.hub import parse

datasets = pytest.importorskip("datasets")


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """A repository of two configurations, with classes that have names and a picture in each row."""
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "cards"
    random = np.random.default_rng(0)
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=["dark", "light"])})
    for split, count in (("train", 60), ("test", 20)):
        kinds = np.arange(count) % 2
        pictures = [random.integers(0, 60, (8, 8, 3), np.uint8) + np.uint8(180 * kind) for kind in kinds]
        rows = datasets.Dataset.from_dict({"image": pictures, "kind": kinds.tolist()}, features=features)
        (repository / "pictures").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(str(repository / "pictures" / f"{split}-00000-of-00001.parquet"))
        (repository / "numbers").mkdir(exist_ok=True)
        plain = datasets.Dataset.from_dict({"x": list(range(count)), "y": (kinds * 3.0).tolist()})
        plain.to_parquet(str(repository / "numbers" / f"{split}-00000-of-00001.parquet"))
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {name}/{split}-*\n" for split in ("train", "test"))
        for name in ("pictures", "numbers")
    )
    (repository / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return repository


def test_pictures_and_names_of_classes_are_those_of_the_set(cards, tmp_path):
    records = find(f"hf:{cards}:pictures", kind="image")
    assert records.sizes == {"train": 60, "test": 20}
    assert records.fields["kind"].names == ("dark", "light")
    assert records.fields["image"].kind == "image"
    assert "configuration pictures, train 60, test 20 examples" in records.origin
    assert find(f"hf:{cards}:pictures", kind="image").contents() == records.contents()
    made = fdl.load("image", dataset=f"hf:{cards}:pictures", epochs=8.0)
    assert fdl.train(made, tmp_path / "run", log=None)["metrics"]["test"]["accuracy"] > 0.9


def test_several_configurations_and_what_is_not_there_are_one_line(cards):
    with pytest.raises(UserError, match=r"has several configurations; write hf:.*cards:CONFIGURATION .*numbers"):
        find(f"hf:{cards}")
    with pytest.raises(UserError, match=r"has no such configuration.*other"):
        find(f"hf:{cards}:other")
    with pytest.raises(UserError, match=r"hf:nobody/nothing cannot be read .*look at its spelling"):
        find("hf:nobody/nothing")
    with pytest.raises(UserError, match="names no set; write hf:NAME"):
        find("hf:")


def test_a_set_that_is_larger_than_the_bound_is_refused_before_it_is_copied(cards, monkeypatch):
    loaded, builder = [], datasets.load_dataset_builder

    def large(*args, **kwargs):
        made = builder(*args, **kwargs)
        made.info.download_size = 3 * 10**9
        return made

    monkeypatch.setattr(datasets, "load_dataset_builder", large)
    monkeypatch.setattr(datasets, "load_dataset", loaded.append)
    monkeypatch.setenv("FDL_REMOTE_CACHE_GB", "2")
    with pytest.raises(UserError, match=r"cards:pictures holds 3.0 GB, and copies may take 2.0 GB in all; set FDL_REM"):
        find(f"hf:{cards}:pictures", kind="image")
    assert not loaded


def test_a_name_has_a_configuration_and_a_revision():
    assert parse("hf:imdb") == ("imdb", "", "")
    assert parse("hf:a/b:c@v1") == ("a/b", "c", "v1")
    assert parse("hf:a/b@v1") == ("a/b", "", "v1")
