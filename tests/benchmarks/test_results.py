import json

import pytest

from benchmarks import results
from fdl import pages

REPORT = {
    "metrics": {"test": {"accuracy": 0.9, "rmse": 3.0, "n": 18}},
    "seconds": 7.0,
    "cpu_seconds": 9.0,
    "training_seconds": 2.0,
    "step": 40,
    "devices": "1 cpu device (cpu)",
    "python": "3.11.7",
    "versions": {"jax": "0.10", "flax": "0.12", "optax": "0.2"},
    "commit": "abc",
}


def reports(*values: float) -> list[dict]:
    return [{**REPORT, "metrics": {"test": {"accuracy": v, "rmse": v, "n": 18}}} for v in values]


def test_the_mean_of_the_seeds_is_held_against_the_bar() -> None:
    row = results.Row(page="a", metric="accuracy", bar=0.96)
    assert results.result(row, reports(0.95, 0.96, 0.97))["passed"]
    assert not results.result(row, reports(0.95, 0.96, 0.96))["passed"]
    assert not results.result(row, reports(0.99, 0.99, float("nan")))["passed"]
    low = results.Row(page="a", metric="rmse", bar=58.0, at_least=False)
    assert results.result(low, reports(57.0, 58.0, 59.0))["passed"]
    assert not results.result(low, reports(57.0, 58.0, 60.0))["passed"]


def test_a_bar_may_be_measured_on_the_split_of_each_seed() -> None:
    row = results.Row(page="a", metric="accuracy", bar=lambda seed: 0.9 + seed / 100)
    assert results.result(row, reports(0.9, 0.9, 0.9))["bar"] == pytest.approx(0.91)


def test_a_bar_may_be_what_another_row_has_reached() -> None:
    other = results.Row(page="b", metric="accuracy", bar=0.5)
    row = results.Row(page="a", metric="accuracy", bar=other)
    record = {other.name: results.result(other, reports(0.8))}
    assert results.result(row, reports(0.81), record)["passed"]
    assert not results.result(row, reports(0.79), record)["passed"]
    with pytest.raises(SystemExit, match="measure that first"):
        results.result(row, reports(0.9))


def test_rows_replace_themselves_and_keep_the_others() -> None:
    kept = {"a": 1, "b": 2, "gone": 3}
    assert list(results.merge({"c": 4, "a": 5}, kept, ["a", "b", "c", "d"]).items()) == [("a", 5), ("b", 2), ("c", 4)]


def test_the_table_shows_what_was_missed() -> None:
    row = results.Row(page="a", metric="accuracy", bar=0.96, knobs={"width": 3}, splits=True)
    text = results.table({row.name: results.result(row, reports(0.9, 0.9, 0.93))})
    assert "0 of 1 rows" in text
    assert (
        "| `--experiment=a --width=3` | accuracy | 0.91 (0.9 – 0.93) | ≥ 0.96 | **no** | 18 | 0, 1, 2 (own split each)"
        in text
    )


LAUNCH = """
import pathlib, sys
folder = pathlib.Path(sys.argv[-1].removeprefix("--workdir="))
if not folder.exists():
    folder.mkdir()
    sys.exit(75)
(folder / "report.json").write_text('{"step": 3}')
"""


def test_a_run_that_was_cut_off_goes_on_and_all_its_time_counts(monkeypatch, tmp_path) -> None:
    (tmp_path / "launch.py").write_text(LAUNCH)
    monkeypatch.setattr(results, "ROOT", tmp_path)
    row, runs = results.Row(page="a", metric="accuracy", bar=0.5), tmp_path / "runs"
    with pytest.raises(SystemExit, match="75"):
        results.measure(row, 0, runs)
    (spent,) = runs.glob("*.json")
    first = json.loads(spent.read_text())
    report = results.measure(row, 0, runs)
    assert report["step"] == 3
    assert [report["seconds"], report["cpu_seconds"]] == json.loads(spent.read_text())
    assert report["seconds"] > first[0] > 0


def test_every_row_is_of_a_page_that_has_its_knobs() -> None:
    assert len({row.name for row in results.ROWS}) == len(results.ROWS)
    for row in results.ROWS:
        known = {knob.name for knob in pages.read(row.page).knobs}
        assert {*row.knobs, "seed"} <= known
        assert "fold" in known or not row.splits


def test_the_written_table_is_drawn_from_the_written_record() -> None:
    if not results.JSON.exists():
        pytest.skip("nothing measured yet")
    record = json.loads(results.JSON.read_text(encoding="utf-8"))
    text, _, _ = results.TABLE.read_text(encoding="utf-8").partition("<!--")
    assert text.rstrip() == results.table(record).rstrip()
    assert {*record} <= {row.name for row in results.ROWS}
