import re

import numpy as np
import pytest

from fdl.core.types import Unreduced
from fdl.runs.report.charts import of_numbers, two_classes
from fdl.runs.report.panels import short
from fdl.tasks.two_classes import area_under_curve


@pytest.mark.parametrize("levels", [3, 1000])  # with ties, and without
def test_the_areas_are_those_of_every_score(levels):
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    scores = np.round((labels + random.normal(0, 1, 200)) * levels) / levels
    drawn = two_classes(labels == 1, scores, "<yes>")
    area, average = (float(found) for found in re.findall(r"(?:area|average precision) ([\d.]+)", drawn))
    exact = area_under_curve(Unreduced(np.stack([labels, scores], 1).astype(float), np.ones(200)))
    assert area == pytest.approx(exact, abs=5e-4)
    assert average == pytest.approx(average_precision_score(labels, scores), abs=5e-4)
    assert "positive is &lt;yes&gt;" in drawn


def test_a_class_that_is_missing_has_no_curve():
    assert two_classes(np.ones(3, bool), np.arange(3.0), "yes") == ""


def test_every_number_has_a_dot_and_an_outlier_blows_up_no_axis():
    true = np.linspace(0, 1, 500)
    predicted = true + 0.01
    predicted[250] = 1e9
    drawn = of_numbers(true, predicted)
    assert drawn.count("<circle") == 500
    assert "1 predictions are beyond the edge" in drawn
    assert "1G" not in drawn
    assert sum(int(n.replace(",", "")) for n in re.findall(r": ([\d,]+)</title>", drawn)) == 500
    assert of_numbers(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == ""


def test_ticks_are_short():
    assert [short(x) for x in (0, 0.25, 4500, 10_000, 1.5e6, -2e6, 3e9)] == [
        "0", "0.25", "4,500", "10k", "1.5M", "-2M", "3G"
    ]  # fmt: skip
