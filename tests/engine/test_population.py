from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import tiny
from fdl import Writer, optim, train, train_population
from fdl.core.types import TrainState
from fdl.data.dataset import columns
from fdl.engine.population import Population, members, parse
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.tasks import binary
from fdl.tasks.baselines import chance, linear
from fdl.tasks.baselines import columns as columns_of


def of_numbers(*, seed: int = 0, learning_rate: float = 0.1) -> Experiment:
    return tiny.experiment(
        model=MLP(outputs=3, hidden=(8,), norm="batch", dropout=0.2),
        optimizer=optim.sgd(optim.warmup_cosine(learning_rate, 12)),  # Adam makes much of a bias no gradient reaches
        seed=seed,
    )


POPULATION = Population(make=of_numbers, values={"learning_rate": np.array([0.02, 0.1]), "seed": np.array([3, 4])})


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[dict, Path]:
    """The population trained in one go, on two devices: its report and its folder."""
    folder = tmp_path_factory.mktemp("population")
    return train_population(POPULATION, folder, log=str), folder


def state_of(made: Population | Experiment, folder: Path) -> TrainState:
    return Checkpoints(folder / "checkpoints").restore(12, made.abstract())


def test_a_member_equals_its_own_single_run(whole, tmp_path) -> None:
    report, folder = whole
    assert "2 cpu devices" in report["devices"]
    alone = train(replace(POPULATION.member(1), executor="jit"), tmp_path, log=str)
    own, states = state_of(POPULATION.member(1), tmp_path), state_of(POPULATION, folder)
    for name in ("params", "model_state"):
        tiny.close(getattr(own, name), jax.tree.map(lambda x: x[1], getattr(states, name)), 1e-5)
    member = report["members"][1]
    assert member["test"]["n"] == 11
    assert member["test"]["loss"] == pytest.approx(alone["metrics"]["test"]["loss"], rel=1e-5)


def test_the_report_has_mean_deviation_and_the_best(whole) -> None:
    report, folder = whole
    losses = [member["test"]["loss"] for member in report["members"]]
    assert report["metrics"]["test"]["loss"] == pytest.approx(np.mean(losses))
    assert report["metrics"]["test"]["loss_std"] == pytest.approx(np.std(losses, ddof=1))
    scores = [member["validation"]["loss"] for member in report["members"]]
    assert scores[report["best"]] == min(scores)
    kept = state_of(POPULATION.member(report["best"]), folder / "best")
    tiny.same(kept.params, jax.tree.map(lambda x: x[report["best"]], state_of(POPULATION, folder).params))
    assert (folder / "members.svg").read_text().count("<polyline") == 3
    assert (folder / "learning_rate.svg").read_text().count("<circle") == 2


def test_a_population_is_compared_with_the_baselines_of_its_page(tmp_path) -> None:
    said: list[str] = []
    make = lambda *, seed=0: replace(of_numbers(seed=seed), baselines=(chance(), linear(columns_of())))  # noqa: E731
    report = train_population(Population(make=make, values={"seed": np.arange(2)}), tmp_path, log=said.append)
    assert [each["name"] for each in report["baselines"]] == ["the most frequent class", "logistic regression"]
    lines = said[-1].splitlines()
    assert lines[2].startswith("baseline logistic regression: loss=")
    assert report["verdict"].startswith("no better than")  # after twelve steps
    assert report["verdict"] in lines
    assert "test, logistic regression" in (tmp_path / "report.html").read_text()


def test_a_population_goes_on_where_it_stopped(whole, tmp_path, monkeypatch) -> None:
    save = Checkpoints.save

    def save_and_die(self, *args) -> None:
        save(self, *args)
        self.wait()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train_population(POPULATION, tmp_path, log=str)
    said: list[str] = []
    written: list[Any] = []

    class Kept(Writer):
        def write(self, split: str, step: int, epoch: float, values: Any) -> None:
            written.append((split, step, values["loss"], values["loss_std"]))

    cut = train_population(POPULATION, tmp_path, writers=[Kept()], log=said.append)
    last = cut["metrics"]["test"]
    assert written[-1] == ("test", cut["step"], last["loss"], last["loss_std"])
    assert "goes on from step 4" in said[0]
    assert cut["metrics"] == whole[0]["metrics"]


def test_members_are_every_combination() -> None:
    values = members(2, {"a": np.array([1.0, 2.0])})
    assert {knob: numbers.tolist() for knob, numbers in values.items()} == {"a": [1, 1, 2, 2], "seed": [0, 1, 0, 1]}


def test_numbers_are_read_from_text() -> None:
    np.testing.assert_allclose(parse("rate=1e-4..1e-2:log:3 decay=0..1:linear:3")["rate"], [1e-4, 1e-3, 1e-2])
    np.testing.assert_allclose(parse("decay=0,0.5")["decay"], [0, 0.5])
    assert parse("seed=3,1")["seed"].dtype == int


@pytest.mark.parametrize(
    "text", ["rate", "rate=", "rate=1..2", "rate=1..2:cubic:3", "rate=0..1:log:3", "rate=a,b", "rate=nan,1"]
)
def test_numbers_that_make_no_sense_are_refused_with_an_example(text) -> None:
    with pytest.raises(ValueError, match=r"write knob=1e-4..1e-2:log:16"):
        parse(text)


def test_a_number_that_shapes_the_program_is_sent_to_a_sweep() -> None:
    def wide(*, width: int) -> Experiment:
        return tiny.experiment(model=MLP(outputs=3, hidden=(width,)))

    with pytest.raises(ValueError, match=r"do not change the program, but width do: .* --sweep varies anything"):
        Population(make=wide, values={"width": np.array([4, 8])}).init()


def test_a_number_that_a_step_alone_cannot_trace_is_sent_to_a_sweep(tmp_path) -> None:
    def dropped(*, dropout: float) -> Experiment:
        return tiny.experiment(model=MLP(outputs=3, hidden=(8,), dropout=dropout), executor="jit")

    population = Population(make=dropped, values={"dropout": np.array([0.1, 0.2])})
    with pytest.raises(ValueError, match=r"do not change the program, but dropout do: .* --sweep varies anything"):
        train_population(population, tmp_path / "run", log=str)
    assert not (tmp_path / "run" / "experiment.json").exists()


def test_every_member_is_held_to_the_rules_of_its_page(tmp_path) -> None:
    population = Population(make=of_numbers, values={"learning_rate": np.array([0.1, -1, 0.1])})
    with pytest.raises(ValueError, match=r"learning_rate -1\.0 is below 0"):
        train_population(population, tmp_path, log=str)


def test_what_varies_is_said_once() -> None:
    with pytest.raises(ValueError, match="varies rate twice"):
        parse("rate=1,2 rate=3")
    with pytest.raises(ValueError, match="both name the seeds"):
        members(2, parse("seed=3,4"))


def test_a_member_that_diverged_is_never_the_best(tmp_path) -> None:
    population = Population(make=of_numbers, values={"learning_rate": np.array([1e30, 0.1])})
    assert train_population(population, tmp_path, log=str)["best"] == 1
    population = Population(make=of_numbers, values={"learning_rate": np.array([1e30, 2e30])})
    assert train_population(population, tmp_path / "all", log=str)["best"] == 0


def test_a_member_that_diverged_is_left_out_of_the_mean_and_named(tmp_path) -> None:
    said: list[str] = []
    population = Population(make=of_numbers, values={"learning_rate": np.array([0.05, 1e30, 0.1])})
    report = train_population(population, tmp_path, log=said.append)
    loss = [member["test"]["loss"] for member in report["members"]]
    test = report["metrics"]["test"]
    assert test["loss"] == np.mean([loss[0], loss[2]])
    assert test["loss_std"] == np.std([loss[0], loss[2]], ddof=1)
    assert test["loss_left_out"] == [1]
    assert not np.isfinite(test["loss_members"][1])


def test_what_needs_every_row_is_that_of_each_member(tmp_path) -> None:
    def scorer(*, seed: int = 0) -> Experiment:
        made = tiny.experiment(dataset=tiny.dataset({"train": 40, "validation": 19, "test": 11}, classes=2), seed=seed)
        return replace(made, model=MLP(outputs=1, hidden=(8,)), task=binary(), steps=3)

    report = train_population(Population(make=scorer, values={"seed": np.arange(3)}), tmp_path, log=str)
    for seed, member in enumerate(report["members"]):
        alone = train(scorer(seed=seed), tmp_path / str(seed), log=str)["metrics"]
        for split in ("validation", "test"):
            assert member[split]["auc"] == pytest.approx(alone[split]["auc"], abs=1e-12)
            assert member[split]["confusion"] == alone[split]["confusion"]


def test_targets_of_a_population_are_checked(tmp_path) -> None:
    def of_numbers_and_twos(*, seed: int = 0) -> Experiment:
        made = of_numbers(seed=seed)
        model = MLP(outputs=1, hidden=(8,))
        return replace(made, model=model, task=binary(), dataset=replace(made.dataset, spec=made.dataset.spec))

    with pytest.raises(ValueError, match="target 2 is not 0 or 1"):
        train_population(Population(make=of_numbers_and_twos, values={"seed": np.arange(2)}), tmp_path, log=str)


def test_a_number_that_draws_other_data_is_sent_to_a_sweep(tmp_path) -> None:
    def own_data(*, seed: int) -> Experiment:
        values = np.random.default_rng(0 if isinstance(seed, jax.Array) else seed).normal(size=(8, 5)).astype("f")
        data = replace(tiny.dataset(), load=lambda split: columns(values, np.zeros(8, np.int32)))
        return replace(of_numbers(), dataset=data, seed=seed)

    with pytest.raises(ValueError, match="members share their data, and seed changes it; --sweep varies anything"):
        train_population(Population(make=own_data, values=members(2, {})), tmp_path, log=str)


@pytest.mark.parametrize("changes", [{"executor": "pmap"}, {"mesh": {"data": 8}}])
def test_members_are_what_is_spread_over_devices(tmp_path, changes) -> None:
    population = Population(make=lambda seed: replace(of_numbers(seed=seed), **changes), values=members(2, {}))
    with pytest.raises(ValueError, match="spread over devices by its members; leave out --executor=pmap and --mesh"):
        train_population(population, tmp_path, log=str)
