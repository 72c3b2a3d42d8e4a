import re
from dataclasses import replace

import jax
import numpy as np
import pandas
import pytest

import fdl
import tiny
from fdl.data import Spec, find, language, table
from fdl.data.dataset import Dataset, columns
from fdl.models import MLP
from fdl.modes.draw_example import marked, view_of
from fdl.tasks import binary, regress


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


def test_wrong_tokens_of_a_text_are_marked_with_what_was_predicted(tmp_path):
    (tmp_path / "t.txt").write_text("abcabcabd\n" * 50)
    data = language(find(str(tmp_path / "t.txt"), kind="text"))
    tokens = data.tokenizer.encode("abcabd")
    other = data.tokenizer.encode("abcabc")
    assert marked(data.tokenizer, tokens, other) == [("abcab", ""), ("d", "c")]
