import numpy as np
import pytest
from PIL import Image

from fdl.data.modalities.images import images
from fdl.data.modalities.unseen_classes import numbered, split_by_class
from fdl.data.readers.image_folder import image_folder
from fdl.experiment import load
from fdl.modes.train import train

PEOPLE = [f"person{i}" for i in range(8)]
EACH = 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for each person, the pictures of whom are of one grey, and a stranger with one picture."""
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    for number, person in enumerate([*PEOPLE, "stranger"]):
        (tmp_path / "people" / person).mkdir(parents=True)
        for i in range(EACH if person != "stranger" else 1):
            grey = np.full((8, 8, 3), 20 * number + i, np.uint8)
            Image.fromarray(grey).save(tmp_path / "people" / person / f"{i}.png")
    return tmp_path / "people"


def test_no_class_is_in_two_splits_and_no_picture_is_lost_but_the_strangers(folder):
    people = split_by_class(image_folder(folder))
    seen = {split: np.asarray(people.column(split, "label")) for split in people.sizes}
    classes = {split: set(labels.tolist()) for split, labels in seen.items()}
    assert {split: len(held) for split, held in classes.items()} == {"train": 4, "validation": 2, "test": 2}
    assert sorted(set.union(*classes.values())) == list(range(8))
    assert sorted(np.concatenate(list(seen.values())).tolist()) == sorted(list(range(8)) * EACH)
    assert people.fields["label"].names == tuple(PEOPLE)
    for split, labels in seen.items():
        for index, (label, picture) in enumerate(zip(labels, people.column(split, "image"), strict=True)):
            assert picture[0, 0, 0] // 20 == label
            assert people.at(split, index).startswith(str(folder / PEOPLE[label]))


@pytest.mark.parametrize("resident", [False, True])
def test_each_example_knows_its_class_and_its_place(folder, resident):
    dataset = numbered(images(split_by_class(image_folder(folder)), size=8))
    source = dataset.load("test")
    source = source.resident() if resident else source
    batch = source.fetch(np.array([5, 0, 5]))
    assert batch.targets["row"].tolist() == [5, 0, 5]
    assert batch.targets["row"].dtype == batch.targets["label"].dtype == np.int32
    assert batch.targets["label"].tolist() == [batch.inputs[i, 0, 0, 0] // 20 for i in range(3)]


def test_too_few_classes_are_refused(folder):
    with pytest.raises(ValueError, match="0 classes of 5 or more in 'label', too few"):
        split_by_class(image_folder(folder), least=5)


def test_the_page_trains_on_a_folder_of_people(folder, tmp_path):
    made = load("faces", dataset=str(folder), size=8, blocks=(1,), width=4, embedding=4, epochs=1)
    report = train(made, tmp_path / "run", log=lambda _: None)
    assert report["metrics"]["test"]["n"] == 2 * EACH
    assert 0 <= report["metrics"]["test"]["retrieval"] <= 1
