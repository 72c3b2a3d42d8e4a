import json
import re
from dataclasses import replace

import jax
import numpy as np
import pandas
import pytest

import fdl
import tiny
from fdl.data import END, START, Spec, Tokens, find, language, pairs, table, tags
from fdl.data.dataset import Dataset, columns
from fdl.data.records import Field, Records
from fdl.models import MLP, RNN, AutoregressiveDecoder, Tagger, encoder_decoder
from fdl.runs.report.example_view import marked, view_of
from fdl.tasks import binary, ctc, regress, seq2seq, tag


def page_of(made, workdir):
    said = []
    fdl.train(made, workdir, log=said.append)
    assert not any("warning: report" in line for line in said)
    return (workdir / "report.html").read_text(encoding="utf-8")


def test_mistakes_and_hits_are_the_rows_that_are_wrong_and_right(tmp_path):
    made = tiny.experiment(executor="jit", dataset=tiny.dataset(shape=(4, 4, 1)), steps=4)
    page = page_of(made, tmp_path)
    report = fdl.evaluate(made, tmp_path, log=None)["metrics"]["test"]
    wrong = round(11 * (1 - report["accuracy"]))
    assert f"The surest mistakes, {wrong} of {wrong}" in page
    assert page.count('class="answer wrong"') == wrong
    assert page.count('src="data:image/png') == wrong + min(6, 11 - wrong)


def numbers(task, classes=None):
    data = tiny.dataset(classes=2)

    def load(split):
        source = data.load(split)
        inputs, targets = source.arrays
        return columns(inputs, targets if classes else targets.astype(np.float32) * 100)

    targets = jax.ShapeDtypeStruct((), np.int32 if classes else np.float32)
    spec = Spec(inputs=data.spec.inputs, targets=targets, sizes=data.spec.sizes, classes=classes)
    made = tiny.experiment(executor="jit", model=MLP(outputs=1, hidden=(8,)), task=task)
    return replace(made, dataset=Dataset(name="numbers", spec=spec, load=load))


def test_two_classes_have_their_curves_and_numbers_their_errors(tmp_path):
    page = page_of(numbers(binary(), classes=2), tmp_path / "binary")
    auc = fdl.evaluate(numbers(binary(), classes=2), tmp_path / "binary", log=None)["metrics"]["test"]["auc"]
    assert float(re.search(r"ROC, area ([\d.]+)", page)[1]) == pytest.approx(auc, abs=5e-4)
    page = page_of(numbers(regress(center=50.0, scale=50.0)), tmp_path / "regress")
    assert "Predicted over true" in page
    assert "Largest errors" in page
    assert "Residuals" in page


def test_a_row_of_a_table_is_shown_as_it_was_given(tmp_path):
    frame = pandas.DataFrame(
        {
            "count": [0, 3, 5] * 20,
            "size": [0.25, None, 100.5] * 20,
            "town": ["Bern", "Zug", None] * 20,
            "day": ["2024-01-05", "2024-02-29", "2024-03-01"] * 20,
            "y": ["a", "b", "b"] * 20,
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = table(find(str(tmp_path / "t.csv"), kind="table"), target="y")
    rows = view_of(data)(data.load("train").fetch(np.arange(30)).inputs)
    seen = {tuple(row["values"][name] for name in ("count", "size", "town", "day")) for row in rows}
    assert seen == {
        ("0", "0.25", "Bern", "2024-01-05"),
        ("3", "", "Zug", "2024-02-29"),
        ("5", "100.5", "", "2024-03-01"),
    }


def spelled(sizes):
    """Numbers to read and their words to write."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    digits = {split: [f"{i % 10}{i // 10 % 10}" for i in range(size)] for split, size in sizes.items()}
    written = {split: [" ".join(words[int(d)] for d in each) for each in rows] for split, rows in digits.items()}
    return Records(
        name="spelled",
        fields={"digits": Field(kind="text"), "words": Field(kind="text")},
        sizes=sizes,
        read=lambda split, rows, names: {
            name: [(digits if name == "digits" else written)[split][i] for i in rows] for name in names
        },
        supervised=("digits", "words"),
        fingerprint=lambda: "spelled",
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_sequences_are_decoded_and_shown_beside_their_targets_with_their_error_rate(tmp_path, wrapped):
    data = pairs(spelled({"train": 64, "validation": 8, "test": 20}), target_tokens=Tokens("words"))
    model = encoder_decoder("gru", data.spec.outputs, data.spec.vocabulary, width=8, depth=1, context=8, dropout=0.0)
    if wrapped:
        model = AutoregressiveDecoder(model, start=START, stop=END)
    made = tiny.experiment(executor="jit", dataset=data, model=model, task=seq2seq(stop=END), steps=4)
    page = page_of(made, tmp_path)
    lines = fdl.predict(made, tmp_path, log=None).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    wrong = [each for each in found if each["text"] != each["target"]]
    assert f"The highest error rates, {min(12, len(wrong))} of {len(wrong)}" in page
    shown = re.findall(r'class="answer wrong" title="row (\d+)">([^<]*)</p><p class="note">true ([^<]*)</p>', page)
    assert len(shown) == min(12, len(wrong))
    for row, text, target in shown:
        assert (found[int(row)]["text"] or "nothing", found[int(row)]["target"]) == (text, target)
    rates = [float(rate) for rate in re.findall(r"error rate ([\d.]+): \d+ of \d+ words", page)]
    assert rates[: len(shown)] == sorted(rates[: len(shown)], reverse=True)


def test_a_decoded_wave_is_beside_its_transcript(tmp_path):
    random = np.random.default_rng(0)

    def load(split):
        return columns(random.integers(-99, 99, (12, 64)).astype(np.int16), np.tile([[1, 2]], (12, 1)).astype(np.int32))

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((64,), np.int16),
        targets=jax.ShapeDtypeStruct((2,), np.int32),
        sizes=dict.fromkeys(("train", "validation", "test"), 12),
        classes=3,
        names=("", "yes", "no"),
    )
    data = Dataset(
        name="said",
        spec=spec,
        load=load,
        transform=lambda batch: batch._replace(inputs=batch.inputs.reshape(-1, 8, 8).astype(np.float32) / 99),
    )
    model = RNN(3, width=4, depth=1, return_sequences=True)
    page = page_of(tiny.experiment(executor="jit", dataset=data, model=model, task=ctc(), steps=4), tmp_path)
    assert page.count('<p class="note">true yes no</p>') == 12
    assert page.count('src="data:image') == 12
    assert re.search(r"error rate [\d.]+: \d of 2 symbols", page)


def test_words_with_a_wrong_tag_are_marked_and_named(tmp_path):
    sentence = "in O\nZug B-LOC\nlives O\nAnn B-PER\n\nÉva B-PER\nleft O\n\n"
    (tmp_path / "t.conll").write_text(sentence * 30, encoding="utf-8")
    data = tags(find(str(tmp_path / "t.conll"), kind="tagging"))
    words, letters = data.spec.categories
    model = Tagger(data.spec.outputs, words, letters, width=8, depth=1, cell="gru", dropout=0.0)
    made = tiny.experiment(executor="jit", dataset=data, model=model, task=tag(data.spec.names), steps=2)
    page = page_of(made, tmp_path / "run")
    lines = fdl.predict(made, tmp_path / "run", log=None).read_text().splitlines()
    targets = data.load("test").arrays[1]
    lengths = data.load("test").arrays[0]["lengths"]
    wrong = sum(
        json.loads(line)["class"][:n] != row[:n].tolist() for line, row, n in zip(lines, targets, lengths, strict=True)
    )
    assert f"Most wrong tags, {min(wrong, 12)} of {wrong}" in page
    assert re.search(r'<mark title="predicted [^"]+, not [^"]+">(in|Zug|lives|Ann|Éva|left) </mark>', page)
    assert re.search(r'class="note">(in|Zug|lives|Ann|Éva|left) \S+, not \S+', page)


def test_wrong_tokens_of_a_text_are_marked_with_what_was_predicted(tmp_path):
    (tmp_path / "t.txt").write_text("abcabcabd\n" * 50)
    data = language(find(str(tmp_path / "t.txt"), kind="text"))
    tokens = data.tokenizer.encode("abcabd")
    other = data.tokenizer.encode("abcabc")
    assert marked(data.tokenizer, tokens, other) == [("abcab", ""), ("d", "c")]
