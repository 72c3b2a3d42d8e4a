"""Tagged words from every kind of file to predictions."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

import fdl
from fdl.core.errors import UserError
from fdl.data import find, tags
from fdl.data.readers.tables.conll import conll_files
from fdl.modes.predict import predict_new
from fdl.trained import restored_experiment

SENTENCES = [[("Anna", "B-PER"), ("Meier", "I-PER"), ("sings", "O")], [("in", "O"), ("Bern", "B-LOC")], [("Hm", "O")]]


def conll(sentences, between="\t"):
    return "\n\n".join("\n".join(between.join(cells) for cells in sentence) for sentence in sentences) + "\n"


def many(n=40):
    return [SENTENCES[i % 3] for i in range(n)]


def rows(data, split="train"):
    return data.load(split).fetch(np.arange(data.spec.sizes[split]))


def write(folder: Path, form: str) -> str:
    frame = pandas.DataFrame(
        {
            "id": range(40),
            "tokens": [[word for word, _ in sentence] for sentence in many()],
            "ner_tags": [[tag for _, tag in sentence] for sentence in many()],
        }
    )
    file = folder / f"names.{form}"
    if form == "parquet":
        frame.to_parquet(file)
    elif form == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        file.write_text(conll(many(), "\t" if form == "tsv" else " "))
    return str(file)


def test_every_kind_of_file_gives_the_same_examples(tmp_path):
    first, *others = [
        tags(find(write(tmp_path, form), kind="tagging")) for form in ("conll", "tsv", "parquet", "jsonl")
    ]
    assert first.spec.names == ("B-LOC", "B-PER", "I-PER", "O")
    for other in others:
        assert other.spec == first.spec
        assert other.fitted["inputs"]["words"] == first.fitted["inputs"]["words"]
        for split in ("train", "test"):
            for a, b in zip(*(np.asarray(rows(each, split).targets) for each in (first, other)), strict=True):
                np.testing.assert_array_equal(a, b)


def test_words_are_encoded_in_small_letters_and_their_letters_as_they_are(tmp_path):
    data = tags(find(write(tmp_path, "conll"), kind="tagging"))
    batch, plan = rows(data), data.fitted["inputs"]
    row = int(np.flatnonzero(batch.inputs["lengths"] == 3)[0])
    assert [plan["words"][i - 4] for i in batch.inputs["words"][row, :3]] == ["anna", "meier", "sings"]
    assert "".join(plan["letters"][i - 4] for i in batch.inputs["letters"][row, 0] if i) == "Anna"
    assert batch.weights[row].tolist() == [1] * 3 + [0] * (data.spec.targets.shape[0] - 3)


def test_long_sentences_are_divided_so_that_every_word_counts(tmp_path):
    long = [("a", "X"), ("b", "Y")] * 25
    (tmp_path / "train.txt").write_text(conll([long, *[[("a", "X")]] * 39]))
    data = tags(find(str(tmp_path / "train.txt"), kind="tagging"), length=16)
    assert sum(float(np.sum(rows(data, split).weights)) for split in data.spec.sizes) == 50 + 39
    assert sum(data.spec.sizes.values()) == 4 + 39
    assert "are divided (3 more examples)" in " ".join(data.notes)


def test_a_folder_of_splits_comments_documents_and_several_columns(tmp_path):
    for split in ("train", "dev", "test"):
        body = conll([[(word, "NN", tag) for word, tag in sentence] for sentence in many(6)], " ")
        (tmp_path / f"eng.{split}").write_text(f"-DOCSTART- -X- O\n\n{body}")
    records = find(str(tmp_path), kind="tagging")
    assert records.sizes == {"train": 6, "validation": 6, "test": 6}
    assert list(records.fields) == ["word", "column2", "tag"]
    assert any("--target=column2" in note for note in records.notes)
    assert any("DOCSTART" in note for note in records.notes)


def test_conllu_leaves_out_words_that_are_not_written(tmp_path):
    cells = [("1-2", "zum", "_"), ("1", "zu", "ADP"), ("2", "dem", "DET"), ("3", "#", "SYM"), ("3.1", "kommt", "VERB")]
    lines = "\n".join("\t".join((i, word, "_", tag, *"______")) for i, word, tag in cells)
    (tmp_path / "a.conllu").write_text(f"# text = zum #\n{lines}\n\n# text = zum #\n{lines}\n")
    records = conll_files("a", {"train": tmp_path / "a.conllu"})
    assert records.supervised == ("form", "upos")
    assert records.column("train", "form")[1] == ["zu", "dem", "#"]
    assert records.at("train", 1) == f"{tmp_path / 'a.conllu'} line 10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a X\nb\n", "line 2 has 1 columns, and the lines before have 2"),
        ("\n\n", "holds no words"),
        ("a\nb\n\nc\n", "no column|target"),
        ("a\tX\n\tY\n", "line 2 has no word"),
        ("a X\n\n" * 40, "has 1 tag: nothing to learn"),
    ],
)
def test_what_is_no_tagged_text_is_one_line(tmp_path, text, message):
    (tmp_path / "a.conll").write_text(text)
    with pytest.raises(UserError, match=message):
        tags(find(str(tmp_path / "a.conll"), kind="tagging"))


def test_a_word_may_be_an_ideographic_space(tmp_path):
    (tmp_path / "a.conll").write_text("東京\tLOC\n\u3000\tO\nへ\tO\n\n" * 40)
    data = tags(find(str(tmp_path / "a.conll"), kind="tagging"))
    np.testing.assert_array_equal(np.asarray(rows(data).weights).sum(1), 3)


def test_a_sentence_needs_a_tag_for_each_word(tmp_path):
    frame = pandas.DataFrame({"tokens": [["a", "b"]] * 40, "tags": [["X", "Y"]] * 39 + [["X"]]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="tokens has 2 words, tags 1 tags"):
        tags(find(str(tmp_path / "a.parquet"), kind="tagging"))


def test_a_run_tags_new_sentences_in_every_form(tmp_path):
    made = fdl.load("tagging", dataset=write(tmp_path, "conll"), epochs=20.0, width=16, batch_size=8)
    report = fdl.train(made, tmp_path / "run", log=None)
    assert report["metrics"]["test"]["span_f1"] == 1.0
    assert report["baselines"][1]["metrics"]["accuracy"] == 1.0
    trained = fdl.restore(tmp_path / "run")
    expected = [["B-PER", "I-PER", "O"], ["O", "B-LOC"]]
    assert trained([["Anna", "Meier", "sings"], ["in", "Bern"]])["tags"] == expected
    assert trained(["Anna Meier sings", "in Bern"])["tags"] == expected
    for name, text in {
        "untagged.conll": "Anna\nMeier\nsings\n\nin\nBern\n",
        "tagged.conll": conll(SENTENCES[:2], " "),
        "lines.txt": "Anna Meier sings\nin Bern\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert trained(str(tmp_path / name))["tags"] == expected
    out = predict_new(restored_experiment(tmp_path / "run"), tmp_path / "run", str(tmp_path / "lines.txt"), log=None)
    assert [json.loads(line)["tag"] for line in out.read_text().splitlines()] == expected
    with pytest.raises(UserError, match="a sentence has no word"):
        trained([["Anna"], []])
    with pytest.raises(UserError, match="there is no sentence"):
        trained([])
