import json

import numpy as np
import pytest
from PIL import Image

from fdl.data.log_mel import LogMel
from fdl.data.modalities.audio import sounds
from fdl.data.modalities.images import images
from fdl.data.modalities.media_plan import inputs_plan
from fdl.data.modalities.text import texts
from fdl.data.modalities.videos import videos
from fdl.data.readers.find import find
from fdl.data.records import Field, Records
from fdl.data.tokenizer import Tokens


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def again(dataset):
    """Return the plan as a run folder gives it back."""
    return inputs_plan(json.loads(json.dumps(dict(dataset.fitted))))


def nowhere(i):
    return f"new value {i}"


def write(folder, make, suffix):
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(12):
            make(folder / name / f"{i}{suffix}", i)
    return folder


def test_new_pictures_are_read_as_those_of_training_were(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [(9, 7, 3), (6, 12, 3)]
    write(
        tmp_path / "d",
        lambda path, i: Image.fromarray(rng.integers(0, 256, shapes[i % 2], np.uint8)).save(path),
        ".png",
    )
    records = find(str(tmp_path / "d"), kind="image")
    dataset = images(records, size=8)
    plan = again(dataset)
    trained = dataset.load("train").fetch(np.arange(3)).inputs
    files = {i: records.at("train", i) for i in range(24)}
    new = plan.encode([plan.read(file) for file in files.values()], nowhere)
    assert all(any(np.array_equal(one, each) for each in new) for one in trained)
    gray = tmp_path / "new.png"
    Image.fromarray(np.full((30, 30), 9, np.uint8)).save(gray)
    assert plan.encode([plan.read(str(gray)), plan.read(gray.read_bytes())], nowhere).shape == (2, 8, 8, 3)


def test_new_sounds_are_read_as_those_of_training_were(tmp_path):
    soundfile = pytest.importorskip("soundfile")

    def make(path, i):
        soundfile.write(path, 0.1 * np.sin(np.arange(900 + i) * (1 + i) / 20), 8000)

    dataset = sounds(find(str(write(tmp_path / "d", make, ".wav")), kind="audio"), spectrogram=LogMel(rate=4000))
    plan = again(dataset)
    new = plan.encode([plan.read(str(tmp_path / "d" / name / f"{i}.wav")) for name in "ab" for i in range(12)], nowhere)
    trained = dataset.load("train").fetch(np.arange(3)).inputs
    assert all(any(np.array_equal(one, each) for each in new) for one in trained)
    soundfile.write(tmp_path / "new.flac", 0.1 * np.sin(np.arange(44100) / 9), 44100)
    assert plan.encode([plan.read(str(tmp_path / "new.flac"))], nowhere).shape == (1, plan.length)


def test_new_videos_are_read_as_those_of_training_were(tmp_path):
    def make(path, i):
        first, *others = (Image.fromarray(np.full((8, 8, 3), 20 * j + i, np.uint8)) for j in range(4))
        first.save(path, save_all=True, append_images=others)

    dataset = videos(find(str(write(tmp_path / "d", make, ".gif")), kind="video"), frames=2)
    plan = again(dataset)
    new = plan.encode([plan.read(str(tmp_path / "d" / "a" / f"{i}.gif")) for i in range(12)], nowhere)
    trained = dataset.load("train").fetch(np.arange(3)).inputs
    assert all(any(np.array_equal(one, each) for each in new) for one in trained)
    (tmp_path / "bad.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError):
        plan.encode([plan.read(str(tmp_path / "bad.gif"))], nowhere)


@pytest.mark.parametrize("tokens", ["bytes", "chars", "words", "bpe"])
def test_new_texts_are_cut_into_the_tokens_of_training(tokens):
    if tokens == "bpe":
        pytest.importorskip("tokenizers")
    rows = {"text": ["the café sat", "a dog, नमस्ते", "one two three"] * 10, "label": [i % 2 for i in range(30)]}
    records = Records(
        name="made",
        fields={"text": Field(kind="text"), "label": Field(kind="label", classes=2, names=("x", "y"))},
        sizes={"train": 30},
        read=lambda split, indices, names: {name: [rows[name][i] for i in indices] for name in names},
    )
    dataset = texts(records, tokens=Tokens(tokens, vocabulary=300))
    plan = again(dataset)
    trained = dataset.load("train").fetch(np.arange(3)).inputs
    new = plan.encode([plan.read(text) for text in rows["text"]], nowhere)
    assert all(any(np.array_equal(one, each) for each in new["inputs"]) for one in trained["inputs"])
    assert dataset.fitted["classes"] == ["x", "y"]
