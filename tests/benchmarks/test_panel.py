"""The panel of judged sets: its flags are read as the command line reads them, and its count leaves nothing out."""

import json
import statistics

import pytest

from benchmarks import panel_media, panel_results, panel_tables
from benchmarks.recipes import knobs_of
from fdl import pages

SETS = (*panel_results.JUDGED, *panel_tables.CHOSEN_ON, *panel_media.CHOSEN_ON)


@pytest.mark.parametrize("chosen", SETS, ids=lambda each: each.name)
def test_the_flags_of_a_set_are_valid_knobs_of_its_page(chosen) -> None:
    pages.read(chosen.page).complete(knobs_of(chosen.page, chosen.flags))


def test_flags_have_the_types_of_their_knobs() -> None:
    assert knobs_of("series", ("--inputs=infl,tbilrate", "--season=4", "--learning_rate=1")) == {
        "inputs": ("infl", "tbilrate"),
        "season": 4,
        "learning_rate": 1.0,
    }
    assert knobs_of("table", ("--drop=row", "--target=2020", "--weight_decay=0")) == {
        "drop": ("row",),
        "target": "2020",
        "weight_decay": 0.0,
    }
    assert knobs_of("audio", ("--masks=true",)) == {"masks": True}


def row(name: str, *values: float, better: str = "higher") -> dict:
    kept = {"page": "table", "metric": "m", "baseline": "b", "cpu_seconds": [3.0], "processor": "one"}
    return {**kept, "set": name, "values": values, "better": better, "baseline_value": 0.5}


def test_a_set_holds_within_the_standard_error_of_its_seeds() -> None:
    assert panel_results.holds(row("votes", 0.5))
    assert not panel_results.holds(row("votes", 0.49))
    assert panel_results.holds(row("votes", 0.40, 0.56))  # .48 ± .08
    assert not panel_results.holds(row("diabetes", 0.6, 0.61, better="lower"))


def test_the_count_names_what_does_not_hold_and_what_is_not_measured() -> None:
    text = panel_results.count([row("votes", 0.6), row("diabetes", 0.4)])
    assert "1 of the 2 sets that are measured hold." in text
    assert "Below the baseline: diabetes." in text
    assert "Not measured" in text
    assert "stocks" in text
    assert "votes" not in text


def test_the_written_table_is_drawn_from_the_lines() -> None:
    rows = [json.loads(line) for line in panel_results.FILE.read_text().splitlines()]
    section = panel_results.TABLE.read_text().split(panel_results.BEGIN)[1].split(panel_results.END)[0]
    assert section == panel_results.SAID.format(count=panel_results.count(rows)) + panel_results.table(rows)
    assert all(statistics.mean(each["cpu_seconds"]) > 0 for each in rows)
