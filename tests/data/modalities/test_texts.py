import math
import unicodedata

import numpy as np
import pytest

from fdl.data.datasets.pydoc import pydoc
from fdl.data.modalities.pairs import pairs
from fdl.data.modalities.text import language, texts
from fdl.data.records import Field, Records
from fdl.data.tokenizer import UNKNOWN, Tokens, fit_tokens
from fdl.data.validate import check_source
from fdl.experiment import load


def records(**columns):
    def read(split, indices, names):
        return {name: [columns[name][i] for i in indices] for name in names}

    kinds = {name: "label" if name == "label" else "text" for name in columns}
    fields = {name: Field(kind=kind, classes=2, names=("a", "b")) for name, kind in kinds.items()}
    return Records(name="made", fields=fields, sizes={"train": len(next(iter(columns.values())))}, read=read)


LONG = ["ab" * 200 + str(i % 10) for i in range(40)]  # 401 tokens of a vocabulary of some twelve


@pytest.mark.parametrize("tokens", ["bytes", "chars"])
def test_a_text_longer_than_its_vocabulary_is_read(tokens):
    dataset = texts(records(text=LONG, label=[i % 2 for i in range(40)]), tokens=Tokens(tokens, length=512))
    source = dataset.load("train")
    assert source.arrays[0]["lengths"].max() == 401
    check_source(source, dataset.spec, "made", "train")
    both = pairs(records(source=LONG, target=LONG), tokens=Tokens(tokens))
    check_source(both.load("train"), both.spec, "made", "train")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया है।", ["नमस्ते", "दुनिया", "है", "।"]),
        ("好的。 abc中文", ["好", "的", "。", "abc", "中", "文"]),
        ("Über café", ["über", "café"]),
        ("ひらカナ", ["ひ", "ら", "カ", "ナ"]),
        ("한국어 글", ["한국어", "글"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("a\u2028b", ["a", "b"]),
        ("don't_ 3.5", ["don", "'", "t_", "3", ".", "5"]),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_are_words_in_every_script_and_form(text, words, form):
    tokenizer = fit_tokens("words", [unicodedata.normalize(form, text)])
    assert sorted(tokenizer.fitted["pieces"]) == sorted(set(words))
    assert UNKNOWN not in tokenizer.encode(text).tolist()


@pytest.mark.parametrize("unit", ["words", "chars"])
def test_composed_and_decomposed_letters_are_the_same_tokens(unit):
    tokenizer = fit_tokens(unit, ["café über Việt Nam"] * 3, 400)
    composed, decomposed = (tokenizer.encode(unicodedata.normalize(form, "café Việt")) for form in ("NFC", "NFD"))
    assert composed.tolist() == decomposed.tolist()


def test_held_out_texts_of_unknown_words_are_a_warning():
    rows = {"train": ["the cat sat"] * 20, "validation": ["the cat ran"] * 5, "test": ["ein Hund saß da"] * 5}
    made = Records(
        name="made",
        fields={"text": Field(kind="text"), "label": Field(kind="label", classes=2)},
        sizes={split: len(part) for split, part in rows.items()},
        read=lambda split, indices, names: {
            name: [rows[split][i] if name == "text" else int(i % 2) for i in indices] for name in names
        },
    )
    (warning,) = made.noting(*_notes(made)).notes
    assert warning.startswith("warning: 100% of the tokens of text in test are unknown to train; --tokens=bytes")


def _notes(made):
    from fdl.data.modalities.text import unknown_tokens

    return unknown_tokens(made, "text", fit_tokens("words", ["the cat sat"]))


def test_an_epoch_of_running_text_shows_every_token_once():
    dataset = language(records(text=["one two three"] * 100), tokens=Tokens("bytes", length=16))
    tokens = len(dataset.load("train").arrays)
    assert dataset.spec.epoch == math.ceil((tokens - 1) / 16)
    assert dataset.steps(5, 4) == math.ceil(5 * dataset.spec.epoch / 4)
    assert dataset.spec.sizes["train"] == tokens - 16  # windows still begin at every place
    text = pydoc(128)
    assert text.spec.epoch == math.ceil((len(text.load("train").arrays) - 1) / 128)


def test_an_epoch_of_the_page_over_running_text_is_its_tokens_by_its_length(tmp_path):
    (tmp_path / "a.txt").write_text("some words to learn from\n" * 2000)
    made = load("text", dataset=str(tmp_path / "a.txt"), length=16, batch_size=8, epochs=2.0)
    tokens = len(made.dataset.load("train").arrays)
    assert made.steps == pytest.approx(2 * tokens / 16 / 8, rel=0.01)
    assert made.dataset.fitted["tokens"]["unit"] == "bytes"


def test_a_guessed_length_is_at_most_256_and_says_what_it_cuts():
    long = records(text=["word " * 600, "a word", "two words"] * 20, label=["a", "b", "c"] * 20)
    dataset = texts(long, inputs="text", target="label")
    assert dataset.spec.inputs["inputs"].shape == (256,)
    (note,) = [note for note in dataset.notes if "are cut" in note]
    assert note.endswith("texts are cut after 256 tokens; --length=1024 cuts fewer and costs more")


def test_two_columns_of_texts_are_read_and_written_in_their_order():
    words = ["cat dog", "dog", "cat"] * 10
    dataset = pairs(records(en=words, de=[word.upper() for word in words]), tokens=Tokens("words"))
    assert dataset.fitted["source"]["pieces"] == ["cat", "dog"]
    assert np.asarray(dataset.load("train").arrays[1]).shape[0] == dataset.spec.sizes["train"]
