import math
import re

import pytest

from fdl.runs.report import svg_plot


def marks(svg: str, anchor: str) -> list[str]:
    return re.findall(rf'text-anchor="{anchor}"[^>]*>([-\d.,e]+)</text>', svg)


def test_the_numbers_beside_an_axis_are_round():
    svg = svg_plot.lines([0, 113, 457], [[0.1234, 0.9, 0.31]], x="step", y="loss")
    assert marks(svg, "middle") == ["0", "100", "200", "300", "400"]
    assert marks(svg, "end") == ["0.2", "0.4", "0.6", "0.8"]


@pytest.mark.parametrize("ys", [[0.003, 5.0, 700.0], [3.0, 3.1, 3.05]])
def test_growth_marks_what_was_measured_and_shows_at_least_a_decade(ys):
    svg = svg_plot.growth([1, 8, 10**7], ys, x="examples", y="ms a step")
    assert marks(svg, "middle") == ["1", "8", "1e7"]
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    spread = (max(heights) - min(heights)) / (svg_plot.HEIGHT - svg_plot.BELOW - svg_plot.MARGIN)
    assert spread == pytest.approx(1 if ys[-1] == 700 else 0.014, abs=1e-3)


def test_what_is_not_finite_is_left_out():
    assert "nan" not in svg_plot.points([1.0, 2.0, 3.0], [1.0, float("nan"), 3.0], x="rate", y="loss")


def test_one_value_alone_has_its_place():
    assert marks(svg_plot.points([2.0], [5.0], x="rate", y="loss"), "end")[0] == "5"


@pytest.mark.parametrize(
    "ys",
    [[1e17] * 3, [1e17, 1e17 + 16, 1e17], [1.7e308, -1.7e308, 0.0], [5e-324, 0.0, 0.0], [-1e300] * 3, [math.inf] * 3],
)
def test_any_numbers_can_be_drawn(ys):
    svg = svg_plot.curves({"train": ([1, 2, 3], ys)}, x="step", y="loss")
    assert "nan" not in svg
    assert "inf" not in svg
    assert 1 <= len(marks(svg, "middle")) < 20


def test_words_are_escaped():
    svg = svg_plot.curves({"<b>": ([1, 2], [1, 2])}, x="<i>", y="a & b")
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert "a &amp; b" in svg
