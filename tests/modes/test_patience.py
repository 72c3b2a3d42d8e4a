"""A run stops where it gets no better, at the same step however often it was killed, and tests its best state."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import fdl
import tiny
from fdl.core.errors import UserError
from fdl.core.recorded import recorded
from fdl.engine.population import Population
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.progress import Progress


def overfitting(**changes):
    """An experiment whose validation loss soon rises."""
    optimizer = recorded(tiny.optax.sgd)(0.5)
    return tiny.experiment(steps=400, evaluate_every=4, optimizer=optimizer, executor="jit", **changes)


def states(folder) -> dict[int, list[np.ndarray]]:
    checkpoints = Checkpoints(folder / "checkpoints")
    return {step: tiny.jax.tree.leaves(checkpoints.variables(step)) for step in checkpoints.steps()}


@contextmanager
def killed_at(save):
    """Interrupt training in the block where its checkpoint of this number has been saved."""
    saves, plain = [], Checkpoints.save

    def killed(self, state, meta):
        plain(self, state, meta)
        self.wait()
        saves.append(int(state.step))
        if len(saves) == save:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed)
        yield


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patience") / "run"
    lines: list[str] = []
    return fdl.train(overfitting(patience=3), folder, log=lines.append), folder, lines


def test_it_stops_after_so_many_evaluations_without_a_better_one(stopped):
    report, _, lines = stopped
    losses = [line["loss"] for line in report.history if line["split"] == "validation"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3
    assert report["step"] == 4 * len(losses) < 400
    assert report["best_step"] == 4 * (best + 1)
    assert f"stopped at step {report['step']} of 400: 3 evaluations without a better one" in lines
    assert f"(of the best state, step {report['best_step']})" in lines[-1]


def test_the_best_state_is_what_was_tested(stopped):
    report, _, _ = stopped
    assert report["tested"] == "best"
    tiny.close(report.restore("best").evaluate("test")["test"], report["metrics"]["test"], 1e-6)


def test_what_was_tested_is_what_a_run_answers_with(stopped):
    report, folder, _ = stopped
    measured = fdl.evaluate(report.experiment, folder, log=None)
    assert measured["step"] == report["best_step"] < report["step"]
    tiny.close(measured["metrics"]["test"], report["metrics"]["test"], 1e-6)
    assert fdl.evaluate(report.experiment, folder, checkpoint="last", log=None)["step"] == report["step"]


@pytest.mark.parametrize("save", [3, 6, 8])
def test_a_killed_run_stops_at_the_same_step_with_the_same_bits(stopped, tmp_path, save):
    report, folder, _ = stopped
    with killed_at(save), pytest.raises(KeyboardInterrupt):
        fdl.train(overfitting(patience=3), tmp_path / "run", log=None)
    again = fdl.train(overfitting(patience=3), tmp_path / "run", log=None)
    assert (again["step"], again["metrics"]) == (report["step"], report["metrics"])
    whole, resumed = states(folder), states(tmp_path / "run")
    assert whole.keys() == resumed.keys()
    for step, leaves in whole.items():
        tiny.jax.tree.map(np.testing.assert_array_equal, leaves, resumed[step])


def test_more_patience_goes_on_where_it_stopped_and_as_much_has_finished(stopped, tmp_path):
    report, _, _ = stopped
    lines: list[str] = []
    first = fdl.train(overfitting(patience=1), tmp_path / "run", log=None)
    assert first["step"] < report["step"]
    assert fdl.train(overfitting(patience=1), tmp_path / "run", log=lines.append) == first
    assert "finished already" in lines[0]
    assert fdl.train(overfitting(patience=3), tmp_path / "run", log=None)["step"] == report["step"]


def test_minutes_count_training_over_all_starts():
    progress = Progress(seconds=59.0)
    assert progress.over(None, 1.0) == ""
    assert Progress.from_json({**progress.as_json(), "seconds": 61.0}).over(None, 1.0) == "1.02 minutes of training"


def test_a_run_out_of_minutes_ends_with_its_last_state(tmp_path):
    report = fdl.train(overfitting(minutes=1e-9), tmp_path / "run", log=None)
    assert (report["step"], report["tested"]) == (4, "last")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"patience": 0}, "patience 0"), ({"minutes": -1.0}, "minutes -1"), ({"minutes": float("inf")}, "minutes inf")],
)
def test_what_is_no_patience_is_one_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        fdl.train(overfitting(**changes), tmp_path / "run", log=None)


# ── Each member of a population ─────────────────────────────────────────────────────────────────────────────────────


def many(learning_rate: float = 0.5):
    """One of a population whose members overfit at different steps."""
    return replace(overfitting(patience=3, save_every=8), optimizer=recorded(tiny.optax.sgd)(learning_rate))


POPULATION = Population(make=many, values={"learning_rate": np.array([0.5, 0.1, 0.9])})


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patience") / "members"
    lines: list[str] = []
    return fdl.train_population(POPULATION, folder, log=lines.append), folder, lines


@pytest.mark.parametrize("index", range(3))
def test_a_member_stops_as_it_does_alone_and_is_tested_on_its_best_state(members, tmp_path, index):
    report, _, lines = members
    alone = fdl.train(POPULATION.member(index), tmp_path / "run", log=None)
    member = report["members"][index]
    assert member["step"] == alone["best_step"]
    tiny.close(member["test"]["loss"], alone["metrics"]["test"]["loss"], 1e-5)
    assert any(line.startswith(f"step {alone['step']}: ") and " stop after 3 " in line for line in lines)
    assert alone["step"] <= report["step"]


def test_a_population_ends_when_all_members_have_stopped(members):
    report, folder, lines = members
    assert len({member["step"] for member in report["members"]}) == 3
    assert report["step"] == max(member["step"] for member in report["members"]) + 3 * 4
    assert (report["tested"], report["stopped"]) == ("best", "3 evaluations without a better one of any member")
    best = fdl.restore(folder / "best", experiment=POPULATION.member(report["best"]))
    assert best.step == report["members"][report["best"]]["step"]
    assert f"step {best.step}, test" in lines[-1]
    tiny.close(best.evaluate("test")["test"]["loss"], report["members"][report["best"]]["test"]["loss"], 1e-5)


@pytest.mark.parametrize("save", [1, 3])
def test_a_killed_population_stops_at_the_same_step_with_the_same_bits(members, tmp_path, save):
    report, folder, _ = members
    with killed_at(save), pytest.raises(KeyboardInterrupt):
        fdl.train_population(POPULATION, tmp_path / "run", log=None)
    again = fdl.train_population(POPULATION, tmp_path / "run", log=None)
    assert (again["step"], again["metrics"], again["members"]) == (
        report["step"],
        report["metrics"],
        report["members"],
    )
    one, other = states(folder), states(tmp_path / "run")
    tiny.jax.tree.map(np.testing.assert_array_equal, one[report["step"]], other[report["step"]])


def test_more_patience_is_another_population(members):
    wider = Population(make=lambda learning_rate: replace(many(learning_rate), patience=5), values=POPULATION.values)
    with pytest.raises(UserError, match="patience"):
        fdl.train_population(wider, members[1], log=None)
