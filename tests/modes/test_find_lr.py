"""The learning-rate range test: what it suggests trains, and what it cannot suggest it says."""

import optax
import pytest

from fdl import Experiment, find_lr, load, optim
from fdl.core.errors import Fault, UserError
from fdl.core.recorded import recipe_of, recorded
from fdl.modes.find_lr import RangeTest, smoothed
from fdl.modes.train import train


@pytest.mark.parametrize(("page", "metric", "least"), [("digits_mlp", "accuracy", 0.93), ("cancer_mlp", "auc", 0.97)])
def test_the_suggested_rate_trains(page, metric, least, tmp_path):
    said: list[str] = []
    found = find_lr(load(page), tmp_path / "run", log=said.append)
    assert found.diverged
    assert f"try --learning_rate={found.suggestion:g} " in said[-1]
    assert (tmp_path / "run.find_lr.svg").read_text().startswith("<svg")
    assert not (tmp_path / "run").exists()
    report = train(load(page, learning_rate=found.suggestion, epochs=8), tmp_path / "run", log=None)
    assert report["metrics"]["test"][metric] > least


def test_a_rate_that_learns_nothing_is_no_suggestion():
    rates = [1e-6 * 10 ** (i / 20) for i in range(140)]
    losses = [1.0 + 0.05 * (-1) ** i for i in range(140)]
    assert RangeTest(rates=rates, losses=losses, smooth=smoothed(losses)).suggestion is None


def test_what_learns_nothing_is_a_fault_and_an_unnamed_optimizer_is_refused(tmp_path):
    def made(optimizer: optax.GradientTransformation) -> Experiment:
        from dataclasses import replace

        return replace(load("digits_perceptron"), optimizer=optimizer)

    with pytest.raises(UserError, match=r"fdl.recorded\(optax.lion\)"):
        find_lr(made(optax.adam(1e-3)), tmp_path / "run", log=None)
    with pytest.raises(Fault, match="no learning rate lowers the loss"):
        find_lr(made(optim.frozen(optim.adamw(1e-3), ["Dense_0"])), tmp_path / "run", log=None)


def test_learning_rates_are_found_and_changed_wherever_they_are():
    inner = optim.groups({"head": optim.adamw(1e-2)}, rest=optim.sgd(optim.warmup_cosine(1.0, 10), momentum=0.5))
    optimizer = optim.ema(recorded(optax.chain)(optax.clip(1.0), recorded(optax.lion)(1e-3), inner), 0.9)
    first, second, third = optim.learning_rates(optimizer)
    assert (first, second) == (1e-3, 1e-2)
    assert float(third(0)) == 1.0
    changed = optim.with_learning_rate(optimizer, 0.5)
    assert optim.learning_rates(changed) == [0.5, 0.5, 0.5]
    assert recipe_of(changed).arguments["decay"] == 0.9
    assert optim.learning_rates(optax.adam(1e-3)) == []
