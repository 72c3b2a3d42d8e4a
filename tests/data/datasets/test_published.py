"""What published weights need of their data: their own tokens, their own colours; and made-up data in the same form."""

import numpy as np
import pytest

from fdl.core.types import Batch
from fdl.data.datasets.imagenet import DEVIATION, MEAN, centre, imagenet, standardise
from fdl.data.datasets.synthetic import synthetic_texts
from fdl.data.modalities.text import language
from fdl.data.records import Field, Records
from fdl.data.tokenizer import Tokens, published_tokens, restore_tokenizer


@pytest.fixture
def file(tmp_path):
    """A word-level tokenizer.json with the frame that BERT wants."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "one": 4, "two": 5}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    model.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "tokenizer.json")


def test_published_tokens_are_those_of_the_file(file):
    plain, framed = published_tokens(file), published_tokens(file, frame=True)
    np.testing.assert_array_equal(plain.encode("two one three"), [5, 4, 1])
    np.testing.assert_array_equal(framed.encode("two one three"), [2, 5, 4, 1, 3])
    assert (plain.size, plain.end) == (6, 3)
    assert plain.decode([5, 4]) == "two one"
    again = restore_tokenizer(framed.fitted)  # as a run folder keeps it
    np.testing.assert_array_equal(again.encode("two one three"), [2, 5, 4, 1, 3])
    assert (again.size, again.end) == (6, 3)


def test_a_language_is_read_in_published_tokens(file):
    texts = np.array(["one two", "two two", "one one"] * 4, object)
    records = Records(
        name="numbers",
        fields={"text": Field(kind="text")},
        sizes={"train": 12, "validation": 12, "test": 12},
        read=lambda split, indices, names: dict.fromkeys(names, texts[indices]),
    )
    data = language(records, tokens=Tokens(published_tokens(file), length=5))
    np.testing.assert_array_equal(data.load("train").fetch(np.array([0])).inputs, [[4, 5, 3, 5, 5]])
    assert data.tokenizer.decode([4, 5]) == "one two"


def test_another_file_is_refused(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="is no tokenizer"):
        published_tokens(str(tmp_path / "other.json"))
    with pytest.raises(ValueError, match="there is no file"):
        published_tokens(str(tmp_path / "absent.json"))


def test_colours_have_the_mean_and_deviation_of_imagenet():
    grey = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (0, 255)])
    inputs = standardise(Batch(grey, None, np.ones(2))).inputs
    np.testing.assert_allclose(inputs[0, 0, 0], -np.array(MEAN) / DEVIATION, rtol=1e-6)
    np.testing.assert_allclose(inputs[1, 0, 0], (1 - np.array(MEAN)) / DEVIATION, rtol=1e-6)
    assert imagenet(size=32).spec.inputs.shape == (32, 32, 3)
    gray = Batch(grey[..., :1], None, np.ones(2))
    np.testing.assert_array_equal(standardise(gray).inputs, inputs)
    np.testing.assert_array_equal(centre(gray).inputs, np.stack([np.full((2, 2, 3), x) for x in (-1, 1)]))


def test_a_made_up_text_tells_its_class():
    data = synthetic_texts(100, vocabulary=10, classes=2, size=64)
    batch = data.load("train").fetch(np.arange(64))
    assert batch.inputs["inputs"].max() < 10
    assert batch.inputs["lengths"].min() >= 50
    odd = (batch.inputs["inputs"] % 2).mean(axis=1)
    np.testing.assert_array_equal(odd > 0.5, batch.targets == 1)
