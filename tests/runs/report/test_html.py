import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from fdl.runs.report import panels
from fdl.runs.report.confusion import confusion, per_class
from fdl.runs.report.curves import curves
from fdl.runs.report.html import html

REPORT = {
    "experiment": "<page>",
    "knobs": {"data": "<script>alert(1)</script>", "widths": [1, 2]},
    "step": 20,
    "epoch": 2.0,
    "steps_per_second": 1234.5,
    "interruptions": 2,
    "lost_seconds": 12.34,
    "metrics": {"train": {"loss": 0.5}, "test": {"loss": 0.25, "n": 3, "confusion": [[2.0, 0.0], [1.0, 0.0]]}},
    **dict.fromkeys(("command", "devices", "cores", "python", "platform", "versions", "commit"), "x"),
}
LINES = [
    {"step": s, "epoch": s / 10, "split": split, "loss": 1 / s} for s in (10, 20) for split in ("train", "validation")
]


class Tags(HTMLParser):
    """Collects the tags of a page and fails where they do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_sound_page_that_loads_nothing_and_runs_its_own_script_alone():
    page = html(REPORT, LINES, ("cat", "dog"))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "lost to faults: 12.3 s in 2 interruptions" in page
    assert "lost to faults" not in html({**REPORT, "interruptions": 0}, LINES)
    names = [tag for tag, _ in tags.seen]
    assert names.count("script") == 1
    assert "link" not in names
    assert not any("src" in attributes or "href" in attributes for _, attributes in tags.seen)
    assert "&lt;script&gt;" in page


def test_the_report_says_what_was_measured():
    page = html(REPORT, LINES, ("cat", "dog"))
    assert "n=3" in page
    assert "<td>0.25</td>" in page
    assert page.count("<polyline") == 4  # two splits, on a linear and a logarithmic axis
    assert 'class="s1 deep" style="--p:1.000">1<' in page  # a dog taken for a cat, as all dogs were
    assert "dog" in page


def test_what_a_run_is_judged_by_comes_first_and_the_states_that_were_measured_are_named():
    found = {"train": {"loss": 0.5, "gradient_norm": 2.0}, "test": {"loss": 12345.6, "error_rate": 0.25, "n": 3}}
    guess = {"name": "guessing", "metrics": {"loss": 7.0}}
    report = REPORT | {"metrics": found, "baselines": [guess], "judged_by": "error_rate", "primary": "loss"}
    page = html(report, LINES)
    assert '<div class="tile"><b>0.25</b><span>test error rate</span></div>' in page
    assert re.findall("<tr><th>([^<]*)</th><td>", page)[:4] == ["error rate", "loss", "gradient norm", "n"]
    assert "<th>test</th><th>test, guessing</th><th>train</th>" in page
    assert "<td>12,346</td><td>7</td><td>0.5</td>" in page
    assert "of the best state" not in page
    page = html({**report, "tested": "best", "best_step": 10}, LINES)
    assert "test and validation: of the best state, step 10; train: of the steps before the last, 20" in page


def test_the_command_is_one_that_can_be_typed():
    for script, typed in (("/a/fdl/__main__.py", "python -m fdl"), ("/b/bin/fdl", "fdl"), ("launch.py", "launch.py")):
        assert f"<td>{typed} --dataset=&#x27;a b.csv&#x27;</td>" in html(
            {**REPORT, "command": [script, "--dataset=a b.csv"]}, LINES
        ).replace("&#x27;--dataset=a b.csv&#x27;", "--dataset=&#x27;a b.csv&#x27;")


def test_slow_steps_have_a_speed():
    for speed, shown in ((0.468, "0.47 steps/s"), (9.96, "10 steps/s"), (1234.5, "1,234 steps/s")):
        assert f" · {shown} · " in html({**REPORT, "steps_per_second": speed}, LINES)


def test_names_from_files_are_escaped_wherever_they_stand():
    evil = "<script>alert(1)</script>"
    lines = [{"step": s, "split": evil, evil: float(s)} for s in (10, 20)]
    report = REPORT | {"metrics": {"train": {evil: 0.5}, "test": REPORT["metrics"]["test"]}}
    page = html(report, lines, (evil, "dog"), {evil: "<svg></svg>"})
    tags = Tags()
    tags.feed(page)
    assert [tag for tag, _ in tags.seen].count("script") == 1
    assert page.count("&lt;script&gt;") >= 7  # a curve's name and axis, a row, two heads, a heading, a knob
    assert "&amp;lt;" not in page


@pytest.mark.parametrize("status", ["running", "stopped", "failed"])
def test_a_run_without_an_end_has_a_page(status):
    page = html({"experiment": "page", "status": status, "why": "<why>", "step": 0, "epoch": 0.0}, [])
    assert f'class="verdict {status}"' in page
    assert "&lt;why&gt;" in page
    assert ("refresh" in page) == (status == "running")


@pytest.mark.parametrize("values", [[None, 1.0], [1e308, -1e308], [5e-324, 0.0], [3.0, 3.0], [0.98, 0.981]])
def test_any_values_have_curves(values):
    lines = [{"step": i, "split": "train", "loss": value} for i, value in enumerate(values)]
    drawn = curves(lines, ("loss",), 1)
    assert "nan" not in drawn
    assert ("1 values are not finite" in drawn) == (None in values)
    assert drawn.count("<circle") >= 1


def test_waiting_for_input_is_drawn_where_there_was_some():
    for most, drawn in ((0.009, 0), (0.02, 1)):
        waits = [{"step": i, "split": "train", "loss": 1.0, "input_wait": most * i / 9} for i in range(10)]
        assert curves(waits).count("<h3>input wait</h3>") == drawn


def test_a_peak_of_a_long_run_is_drawn():
    values = [1.0] * 5000
    values[1234] = 7.0
    drawn = curves([{"step": i, "split": "train", "loss": value} for i, value in enumerate(values)])
    assert ",7.0" in drawn
    assert len(drawn) < 100_000


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_matrix_of_any_size_can_be_read(size):
    counts = [[float(2 * (i == j) + (i == 0)) for j in range(size)] for i in range(size)]
    names = [f"<{i}>" for i in range(size)]
    drawn = confusion(counts, names) + per_class(counts, names)
    assert "<0>" not in drawn
    assert len(drawn) < 100_000


def ends(drawn, title):
    """The ends of the axis of steps of a panel, and the places of its line from left to right and top to bottom."""
    points = drawn.split(f"<h3>{title}</h3>")[0].rsplit('data-points="', 1)[1].split('"')[0]
    axis = json.loads(unescape(points))["axis"]
    linear = drawn.split(f"<h3>{title}</h3>")[1].split('class="linear"')[1].split("</g>")[0]
    places = re.search(r'<polyline class="s0" points="([^"]*)"', linear)[1].split()
    return (axis["low"], axis["high"]), [tuple(map(float, place.split(","))) for place in places]


def test_curves_begin_where_a_short_run_does_and_do_not_blow_up_what_barely_moves():
    short = [{"step": step, "split": "train", "loss": 1.0 / step} for step in (50, 68)]
    assert ends(curves(short), "loss")[0] == (50, 68)
    long = [{"step": step, "split": "train", "loss": 1.0 / step} for step in range(50, 1001, 50)]
    assert ends(curves(long), "loss")[0] == (0, 1000)
    alone = [{"step": 50, "split": "train", "loss": 1.0}]
    assert ends(curves(alone), "loss")[0] == (0, 50)

    values = {"loss": 0.69, "steps_per_second": 500.0, "input_wait": 0.011}
    noise = [
        {"step": i, "split": "train", **{name: x * (1.02 if i % 2 else 1.0) for name, x in values.items()}}
        for i in range(20)
    ]
    for title in ("loss", "steps per second", "input wait"):
        heights = [y for _, y in ends(curves(noise), title)[1]]
        assert max(heights) - min(heights) < 0.25 * panels.HEIGHT, title
    assert min(y for _, y in ends(curves(noise), "steps per second")[1]) < 0.15 * panels.HEIGHT  # its axis is from zero
    moved = [{"step": i, "split": "train", "loss": 1.0 - 0.01 * i} for i in range(20)]
    heights = [y for _, y in ends(curves(moved), "loss")[1]]
    assert max(heights) - min(heights) > 0.7 * panels.HEIGHT
