import json

import pytest

from fdl.runs.metrics_log import lines, training_seconds

SOUND = '{"step": 10, "epoch": 1.0, "split": "train", "loss": 0.5, "seconds": 1.5}'


@pytest.mark.parametrize(
    "odd",
    [
        '{"step": 20, "split": ["train"], "loss": 1.0}',
        '{"step": 20, "split": {"a": 1}, "loss": 1.0}',
        '{"step": "20", "split": "train", "loss": 1.0}',
        '{"step": 20, "split": "train", "loss": ' + "9" * 400 + "}",
        '{"step": 20, "split": "train", "confusion": [[1, ' + "9" * 400 + "]]}",
        '{"step": ' + "9" * 5000 + ', "split": "train"}',
        '{"step": 20, "split": "train", "loss": "low"}',
        '{"step": 20, "split": "train", "loss": {"a": 1}}',
        '{"split": "train"}', "[]", "null", "{", "[" * 100_000, "\udcff\x00",
    ],
)  # fmt: skip
def test_an_odd_line_is_named_and_left_out(tmp_path, odd):
    file, said = tmp_path / "metrics.jsonl", []
    file.write_text(f"{odd}\n{SOUND}\n", encoding="utf-8", errors="surrogateescape")
    assert lines(file, said.append) == [json.loads(SOUND)]
    assert said == [f"warning: {file} line 1 is damaged and left out"]


def test_numbers_that_a_run_can_have_are_no_damage(tmp_path):
    text = '{"step": 10, "split": "train", "loss": NaN, "a": Infinity, "c": null, "b": 1e17, "t": [[1.0, 2], []]}'
    (tmp_path / "metrics.jsonl").write_text(text + "\n")
    assert lines(tmp_path / "metrics.jsonl")[0]["b"] == 1e17


def test_a_line_cut_short_by_a_crash_is_no_damage(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f'{SOUND}\n{{"step": 20, "spl')
    assert len(lines(tmp_path / "metrics.jsonl", pytest.fail)) == 1


def test_the_seconds_of_a_log_are_its_last_and_never_no_number(tmp_path):
    found = [json.loads(SOUND), {"step": 20, "split": "train", "seconds": float("nan")}, {"step": 9, "split": "test"}]
    assert training_seconds(found) == 1.5
    assert training_seconds([]) == 0.0
