from html.parser import HTMLParser

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
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_sound_page_that_loads_nothing_and_runs_nothing():
    page = html(REPORT, LINES, ("cat", "dog"))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "lost to faults: 12.3 s in 2 interruptions" in page
    assert "lost to faults" not in html({**REPORT, "interruptions": 0}, LINES)
    names = [tag for tag, _ in tags.seen]
    assert "script" not in names
    assert "link" not in names
    assert not any("src" in attributes or "href" in attributes for _, attributes in tags.seen)
    assert "&lt;script&gt;" in page


def test_the_report_says_what_was_measured():
    page = html(REPORT, LINES, ("cat", "dog"))
    assert "n=3" in page
    assert "<td>0.25</td>" in page
    assert page.count("<polyline") == 2
    assert "background:#1f4e8c99" in page  # the strong colour at six tenths
    assert "dog" in page


def test_names_from_files_are_escaped_wherever_they_stand():
    evil = "<script>alert(1)</script>"
    lines = [{"step": s, "split": evil, evil: float(s)} for s in (10, 20)]
    report = REPORT | {"metrics": {"train": {evil: 0.5}, "test": REPORT["metrics"]["test"]}}
    page = html(report, lines, (evil, "dog"), {evil: "<svg></svg>"})
    tags = Tags()
    tags.feed(page)
    assert "script" not in [tag for tag, _ in tags.seen]
    assert page.count("&lt;script&gt;") >= 7  # a curve's name and axis, a row, two heads, a heading, a knob
    assert "&amp;lt;" not in page
