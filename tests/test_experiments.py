"""Every page that needs no data from outside: its parts fit, and it learns something real."""

import pytest

from fdl import pages
from fdl.experiment import check, load

FROM_OUTSIDE = {"image", "mnist_cnn", "table"}  # they read a file or the network before there is an experiment
AT_HAND = [name for name in pages.names() if name not in FROM_OUTSIDE]


@pytest.mark.parametrize("name", AT_HAND)
def test_every_experiment_fits_together(name: str) -> None:
    experiment = load(name)
    check(experiment, 1)
    assert experiment.task.metrics[experiment.task.primary].better is not None


@pytest.mark.parametrize("model", ["perceptron", "cnn", "rnn", "vit", "lstm", "gpt"])
def test_every_model_fits_made_up_data(model: str) -> None:
    check(load("synthetic", model=model, width=8, side=8, length=8), 1)


def test_every_page_says_where_how_and_what_to_expect() -> None:
    for name in pages.names():
        doc = pages.read(name).doc
        assert "python launch.py" in doc, name
        assert "EXPECT" not in doc, name
        assert all(knob.help for knob in pages.read(name).knobs), name
