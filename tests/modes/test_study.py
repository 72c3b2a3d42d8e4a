from pathlib import Path

import pytest

import tiny
from fdl.core.errors import Fault, Stopped
from fdl.modes import study as module
from fdl.modes.study import study
from fdl.runs import lock

optuna = pytest.importorskip("optuna")


@pytest.fixture
def storage(tmp_path: Path):
    """Yield a database whose connections are closed at the end: Optuna leaves that to the garbage collector."""
    database = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    yield database
    database.remove_session()
    database.engine.dispose()


def test_a_study_goes_on_in_its_storage_and_keeps_the_best(
    tmp_path: Path, storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(made, workdir, log):
        if made.batch_size == 3:
            raise Fault("diverged")
        return {"metrics": {"validation": {"accuracy": 1 / made.batch_size}}}

    monkeypatch.setattr(module, "train", train)
    sizes = iter([4, 3, 2])

    def suggest(trial) -> dict:
        size = next(sizes)
        return {"batch_size": trial.suggest_int("batch_size", size, size)}

    where = {"storage": storage, "log": str}
    study(tiny.experiment, suggest, tmp_path, trials=2, **where)
    found = study(tiny.experiment, suggest, tmp_path, trials=1, **where)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert found.best_params == {"batch_size": 2}


def test_a_trial_that_reached_no_number_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([float("nan"), None, 0.5])  # null is what a report that is read again says

    def train(made, workdir, log):
        return {"metrics": {"validation": {"accuracy": next(values)}}}

    monkeypatch.setattr(module, "train", train)
    found = study(tiny.experiment, lambda trial: {}, tmp_path, trials=3, log=str)
    assert [trial.state.name for trial in found.trials] == ["FAIL", "FAIL", "COMPLETE"]


def suggest_four(trial) -> dict:
    return {"batch_size": trial.suggest_int("batch_size", 4, 4)}


def test_a_trial_that_was_stopped_goes_on_in_its_folder(
    tmp_path: Path, storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, ends = [], iter([Stopped("SIGTERM"), None, None])

    def train(made, workdir, log):
        folders.append(workdir.name)
        if end := next(ends):
            raise end
        return {"metrics": {"validation": {"accuracy": 0.5}}}

    monkeypatch.setattr(module, "train", train)
    where = {"storage": storage, "log": str}
    with pytest.raises(Stopped):
        study(tiny.experiment, suggest_four, tmp_path, trials=2, **where)
    found = study(tiny.experiment, suggest_four, tmp_path, trials=2, **where)
    assert [trial.state.name for trial in found.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert folders == ["0", "0", "2"]


def test_a_trial_whose_process_was_killed_is_taken_up_and_one_that_runs_is_left(
    tmp_path: Path, storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def train(made, workdir, log):
        folders.append(workdir.name)
        return {"metrics": {"validation": {"accuracy": 0.5}}}

    monkeypatch.setattr(module, "train", train)
    begun = optuna.create_study(direction="maximize", storage=storage, study_name="study")
    for _ in range(2):
        begun.ask().suggest_int("batch_size", 4, 4)
    (tmp_path / "0").mkdir()
    with lock.hold(tmp_path / "1"):
        found = study(tiny.experiment, suggest_four, tmp_path, trials=2, storage=storage, log=str)
    assert [trial.state.name for trial in found.trials] == ["FAIL", "RUNNING", "COMPLETE", "COMPLETE"]
    assert folders == ["0", "3"]
