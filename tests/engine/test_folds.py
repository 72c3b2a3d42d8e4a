"""Folds: each row of train and validation is held out once, and a fold of the population is the run of that fold."""

from dataclasses import replace

import jax
import numpy as np
import pandas
import pytest

import fdl
import tiny
from fdl.__main__ import launch
from fdl.core.errors import UserError
from fdl.engine.folds import fold_rows
from fdl.engine.options import apply_options
from fdl.engine.population import of_folds
from fdl.tasks.baselines import chance, columns, linear


def experiment():
    return tiny.experiment(baselines=(chance(), linear(columns())), evaluate_every=4)


@pytest.mark.parametrize(("size", "count"), [(10, 2), (53, 5), (7, 7), (1000, 10)])
def test_folds_partition_the_rows_and_spread_the_classes(size, count):
    labels = np.random.default_rng(0).integers(0, 3, size)
    for folds in (fold_rows(size, count), fold_rows(size, count, labels)):
        assert sorted(np.concatenate(folds)) == list(range(size))
        assert max(map(len, folds)) - min(map(len, folds)) <= 1
    seen = [np.bincount(labels[rows], minlength=3) for rows in folds]
    assert np.ptp(seen, axis=0).max() <= 1


def test_of_each_fold_train_and_validation_are_all_rows_and_the_test_stays():
    whole = experiment().dataset
    both = np.concatenate([whole.load(split).arrays[0] for split in ("train", "validation")])
    held = []
    for number in (1, 2, 3):
        data = apply_options(experiment(), fold=f"{number}/3").dataset
        parts = [data.load(split).fetch(np.arange(data.spec.sizes[split])) for split in ("train", "validation")]
        assert [len(part.targets) for part in parts] == [data.spec.sizes[split] for split in ("train", "validation")]
        assert sorted(map(tuple, np.concatenate([part.inputs for part in parts]))) == sorted(map(tuple, both))
        held.append(parts[1].inputs)
        assert data.load("test") is not None
        assert data.spec.sizes["test"] == whole.spec.sizes["test"]
    assert sorted(map(tuple, np.concatenate(held))) == sorted(map(tuple, both))


@pytest.mark.parametrize("patience", [None, 2])
def test_a_fold_of_the_population_is_the_run_of_that_fold_alone(tmp_path, patience):
    made = replace(experiment(), patience=patience, executor="jit", steps=24)
    said: list[str] = []
    report = fdl.train_population(of_folds(lambda: made, 3), tmp_path / "all", log=said.append)
    for number in (1, 2, 3):
        alone = fdl.train(apply_options(made, fold=f"{number}/3"), tmp_path / str(number), log=None)
        member = report["members"][number - 1]
        assert member["fold"] == number
        for split in ("validation", "test"):
            assert member[split]["n"] == alone["metrics"][split]["n"]
            assert member[split]["loss"] == pytest.approx(alone["metrics"][split]["loss"], rel=1e-5)
            assert member[split]["confusion"] == alone["metrics"][split]["confusion"]
        if number == report["best"] + 1:
            kept = fdl.restore(tmp_path / "all" / "best", experiment=alone.experiment)
            tiny.close(kept.params, alone.restore("tested").params, 1e-5)
    assert sum(member["validation"]["n"] for member in report["members"]) == 49
    held = [member["validation"]["accuracy"] for member in report["members"]]
    first = said[-1].splitlines()[0]
    assert first.startswith(f"held out accuracy {np.mean(held):.4g} ± {np.std(held, ddof=1):.2g} over 3 folds")
    assert first.endswith("which chose the step as well") == bool(patience)


def test_the_baselines_of_folds_are_fitted_on_the_rows_of_each(tmp_path):
    report = fdl.train_population(of_folds(experiment, 3), tmp_path, log=None)
    from fdl.engine.baselines import measure_baselines

    each = [measure_baselines(apply_options(experiment(), fold=f"{i}/3"), 60.0, print)[1] for i in (1, 2, 3)]
    assert len({one["metrics"]["loss"] for one in each}) == 3
    assert report["baselines"][1]["metrics"]["loss"] == pytest.approx(np.mean([one["metrics"]["loss"] for one in each]))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3))
    frame = pandas.DataFrame({**{f"x{i}": column for i, column in enumerate(x.T)}, "y": x @ [3, 2, 1] + 50})
    frame.to_csv(folder / "t.csv", index=False)
    flags = ["--experiment=table", f"--dataset={folder / 't.csv'}", "--target=y", "--epochs=3", "--folds=4"]
    assert launch(["fdl", *flags, f"--workdir={folder / 'run'}", "--accelerator=cpu"]) == 0
    return folder


def test_each_fold_begins_at_the_ridge_regression_of_its_own_rows(table):
    make = fdl.experiment.maker("table")
    population = of_folds(lambda: make(dataset=str(table / "t.csv"), target="y", epochs=3.0), 4)
    kernels = np.asarray(population.init().params["linear"]["kernel"])
    for i in range(4):
        start = population.member(i).model.start
        assert len(start.train().targets) == population.member(i).dataset.spec.sizes["train"]
        np.testing.assert_array_equal(kernels[i], np.float32(start()[1:]))
    assert len({tuple(kernel.ravel()) for kernel in kernels}) == 4


def test_the_best_fold_is_a_run_that_is_evaluated_on_the_rows_that_it_held_out(table, capfd):
    report = fdl.runs.workdir.read_report(table / "run" / "report.json")
    best = report["members"][report["best"]]
    assert launch(["fdl", "--mode=evaluate", f"--workdir={table / 'run' / 'best'}"]) == 0
    measured = fdl.runs.atomic_files.read_json(table / "run" / "best" / "evaluation.json")["metrics"]
    for split in ("validation", "test"):
        tiny.close(measured[split], best[split], 1e-4)
    assert launch(["fdl", "--mode=predict", f"--workdir={table / 'run' / 'best'}"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--folds=1"], "--folds=1"),
        (["--folds=4", "--seeds=2"], "--folds and --seeds are two ways to many members; leave out one of them"),
        (["--folds=200"], "200 folds of 108 rows are too many; give 108 or fewer"),
        (["--fold=5/4"], "fold '5/4' is none; write 2/5 for the second of five"),
        (["--fold=2"], "fold '2' is none"),
    ],
)
def test_folds_that_cannot_be_are_one_line(table, tmp_path, capfd, flags, message):
    words = ["--experiment=table", f"--dataset={table / 't.csv'}", "--target=y", f"--workdir={tmp_path / 'run'}"]
    assert launch(["fdl", *words, *flags]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_examples_that_follow_each_other_are_refused():
    data = tiny.dataset()
    windows = replace(experiment(), dataset=replace(data, spec=replace(data.spec, epoch=4)))
    with pytest.raises(UserError, match="would be trained on what comes after it"):
        apply_options(windows, fold="1/2")
    assert jax.tree.leaves(apply_options(experiment(), fold="1/2").example())
