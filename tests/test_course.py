"""The course: what its runner takes for equal, that its notebook is up to date, and that every picture is there."""

import re

import pytest

pytest.importorskip("matplotlib")

import numpy as np
from PIL import Image

from course import chapters, drawing
from course.notebook import NOTEBOOK, notebook_text


def test_cells_have_their_outputs_and_tolerances():
    page = "x\n\n```python\nprint(1)\n```\n\n<!-- within 0.2 -->\n```text\n1\n```\n\n```bash\nls\n```\n"
    first, second = chapters.cells(page)
    assert (first.source, first.line, first.within) == ("print(1)\n", 4, 0.2)
    assert page[slice(*first.output)] == "1\n"
    assert (second.language, second.output) == ("bash", None)


@pytest.mark.parametrize(
    ("expected", "printed", "differs"),
    [
        ("loss 0.50", "loss 0.51", ""),
        ("loss 0.50", "loss 0.70", "line 1 is 'loss 0.70' and the page says 'loss 0.50'"),
        ("loss 0.50", "cost 0.50", "line 1 is"),
        ("a\n…\nz", "a\nb\nc\nz", ""),
        ("a\n…\nz", "a\nb", "nothing after line 1"),
        ("1,000 rows", "1,010 rows", ""),
        ("a", "a\nb", "line 2 is more"),
        ("a\nb", "a", "line 2 is missing"),
    ],
)
def test_outputs_agree_up_to_the_tolerance_of_their_numbers(expected, printed, differs):
    difference = chapters.difference(expected, printed, 0.05)
    assert difference.startswith(differs)
    assert bool(difference) == bool(differs)


def test_the_notebook_is_made_from_the_pages():
    assert NOTEBOOK.read_text(encoding="utf-8") == notebook_text(), "run: python -m course --notebook"


def test_every_picture_of_a_page_is_there_and_no_other():
    shown = set()
    for name in chapters.names():
        page = (chapters.FOLDER / f"{name}.md").read_text(encoding="utf-8")
        shown |= set(re.findall(r"\(pictures/([\w.-]+\.png)#", page))
        assert not re.search(r"```text\n```", page), f"{name} has an output that was never run"
    assert shown == {file.name for file in (chapters.FOLDER / "pictures").iterdir()}


def test_a_picture_has_the_ground_of_its_page(tmp_path):
    """A white ground on a dark page would hide the light letters of a legend."""
    with drawing.into(tmp_path) as folder:
        drawing.curves("line", {"a": ([0, 1], [0, 1])}, x="x", y="y")
    for scheme in drawing.SCHEMES:
        with Image.open(folder / f"line-{scheme}.png") as image:
            opacity = np.asarray(image.convert("RGBA"))[..., 3]
        assert (opacity == 0).mean() > 0.8


@pytest.mark.parametrize("file", sorted((chapters.FOLDER / "pictures").glob("*-dark.png")), ids=lambda file: file.stem)
def test_a_dark_picture_is_dark(file):
    with Image.open(file) as image:
        page = Image.new("RGBA", image.size, drawing.SCHEMES["dark"]["page"])
        page.alpha_composite(image.convert("RGBA"))
        assert np.median(np.asarray(page.convert("L"))) < 160
