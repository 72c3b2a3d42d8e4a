import numpy as np
import pytest

from fdl.data.modalities.pairs import pairs
from fdl.data.modalities.text import language, texts
from fdl.data.readers.find import find
from fdl.data.tokenizer import Tokens


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_per_line_ends_at_newlines_alone(tmp_path, mark, encoding, end):
    if not mark and encoding != "utf-8":
        pytest.skip("nothing tells the encoding")
    lines = ["hello world", "one\u2028two", "a\x0cb\x85c", "last"]
    records = find(str(write(tmp_path / "a.txt", mark + end.join([*lines, ""]), encoding)))
    assert records.column("train", "text") == lines
    assert records.at("train", 3).endswith("a.txt line 4")


def test_blank_lines_are_counted(tmp_path):
    records = find(str(write(tmp_path / "a.txt", "one\n\n  \ntwo\n")))
    assert records.column("train", "text") == ["one", "two"]
    assert records.notes == ("blank lines of a.txt are left out: 2",)
    assert records.at("train", 1).endswith("line 4")


def test_files_of_splits_are_splits(tmp_path):
    for name, count in (("train", 30), ("valid", 5), ("Test", 4)):
        write(tmp_path / f"{name}.txt", "some words to learn from\n" * count)
    records = find(str(tmp_path), kind="text")
    assert records.sizes == {"train": 30, "validation": 5, "test": 4}
    assert language(records, tokens=Tokens(length=8)).spec.sizes["train"] > 30


def test_lines_of_fasttext_have_labels(tmp_path):
    path = write(tmp_path / "a.txt", "".join(f"__label__{'ab'[i % 2]} text {i}\n" for i in range(40)))
    dataset = texts(find(str(path)), inputs="text", target="label")
    assert dataset.spec.names == ("a", "b")
    write(path, "__label__a __label__b both\n" * 9)
    with pytest.raises(ValueError, match="several labels"):
        find(str(path))


@pytest.mark.parametrize("suffix", [".txt", ".tsv"])
def test_pairs_of_tatoeba_are_read(tmp_path, suffix):
    rows = "".join(f"I go {i}.\tIch geh {i}.\tCC-BY 2.0 (France) Attribution: #{i}\n" for i in range(30))
    records = find(str(write(tmp_path / f"deu{suffix}", rows)), kind="pairs")
    assert records.read("train", np.array([3]), ("source", "target")) == {
        "source": ["I go 3."],
        "target": ["Ich geh 3."],
    }
    assert pairs(records).spec.sizes["train"] == 24


def test_parallel_files_are_pairs(tmp_path):
    for split, count in (("train", 30), ("dev", 5)):
        for language_, word in (("en", "go"), ("de", "geh")):
            write(tmp_path / f"{split}.{language_}", "".join(f"{word} {i}\n" for i in range(count)))
    records = find(str(tmp_path), kind="pairs")
    assert records.sizes == {"train": 30, "validation": 5}
    assert records.read("validation", np.array([4]), ("en", "de")) == {"en": ["go 4"], "de": ["geh 4"]}
    write(tmp_path / "dev.de", "geh\n")
    with pytest.raises(ValueError, match=r"dev\.de has 1, dev\.en has 5 lines; lines of one number belong together"):
        find(str(tmp_path), kind="pairs")


def test_a_folder_of_texts_by_class_is_a_dataset(tmp_path):
    root = tmp_path / "aclImdb"
    for split in ("train", "test"):
        for name in ("pos", "neg"):
            for i in range(12):
                write(root / split / name / f"{i}_7.txt", f"\ufeff{name} film {i}<br />")
        write(root / split / "urls_pos.txt", "http")
    for i in range(5):
        write(root / "train" / "unsup" / f"{i}_0.txt", "no class")
    records = find(str(root), kind="text")
    assert records.fields["label"].names == ("neg", "pos")
    assert records.sizes == {"train": 24, "test": 24}
    assert records.read("train", np.array([0]), ("text",))["text"] == ["neg film 0<br />"]
    assert "left out, texts without a class: unsup (5)" in records.notes
    assert texts(records).spec.classes == 2


def test_a_folder_of_texts_without_classes_is_running_text(tmp_path):
    for i in range(12):
        write(tmp_path / f"{i}.txt", f"chapter {i} of a book\nwith lines " * 9)
    records = find(str(tmp_path), kind="text")
    assert list(records.fields) == ["text"]
    assert records.column("train", "text")[10].startswith("chapter 10")
    assert language(records, tokens=Tokens(length=16)).spec.sizes["train"] > 100
    assert records.contents() == records.contents() == find(str(tmp_path), kind="text").contents()


def test_a_document_that_is_not_utf8_is_named_by_its_line(tmp_path):
    for name in "ab":
        write(tmp_path / name / "0.txt", "fine")
    (tmp_path / "a" / "1.txt").write_bytes(b"fine\nM\xfcller")
    records = find(str(tmp_path), kind="text")
    with pytest.raises(ValueError, match=r"^1 of 3 texts cannot be read: .*a/1\.txt \(line 2 is not UTF-8\)"):
        records.column("train", "text")


def test_one_pair_of_parallel_files_needs_no_name_of_a_split(tmp_path):
    for language_, word in (("de", "geh"), ("en", "go")):
        write(tmp_path / f"news-v7.de-en.{language_}", "".join(f"{word} {i}\n" for i in range(30)))
    assert find(str(tmp_path), kind="pairs").sizes == {"train": 30}


def test_texts_of_another_encoding_are_read_as_it_is_given(tmp_path):
    from fdl.data.readers.table_files import reading

    for name in "ab":
        for i in range(12):
            write(tmp_path / name / str(i), f"Müller {i}", "latin-1")
    how = reading("encoding=latin-1")
    records = find(str(tmp_path), kind="text", how=how)
    assert records.read("train", np.array([3]), ("text",))["text"][0].startswith("Müller")
    with pytest.raises(
        ValueError, match=r"^24 of 24 texts cannot be read: .*; give their encoding, as in --dialect=enc"
    ):
        find(str(tmp_path), kind="text").column("train", "text")
    path = write(tmp_path / "t.txt", "Müller\n" * 3, "latin-1")
    with pytest.raises(
        ValueError, match=r"t\.txt line 1 is not UTF-8; give its encoding, as in --dialect=encoding=cp1252"
    ):
        find(str(path), kind="text")
    assert find(str(path), kind="text", how=how).column("train", "text") == ["Müller"] * 3


@pytest.mark.parametrize("kind", ["table", "series", "pairs"])
def test_a_folder_without_tables_is_none(tmp_path, kind):
    write(tmp_path / "a.png", "")
    with pytest.raises(ValueError, match=r"holds no table but \.png; give the file itself, or a folder of train\.csv"):
        find(str(tmp_path), kind=kind)
