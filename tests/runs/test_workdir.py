import pytest

from fdl.runs.workdir import finished


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        "3",
        "{",
        '{"step": "x", "metrics": {}}',
        '{"step": 1, "metrics": []}',
        '{"step": 1, "metrics": {"test": 3}}',
    ],
)
def test_a_report_that_is_none_is_named_and_counts_for_nothing(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    said = []
    assert finished(tmp_path, said.append) is None
    assert said[0].startswith(f"warning: {tmp_path / 'report.json'} is damaged")
    assert said[0].endswith("it is written again")
