from pathlib import Path

import pytest

import tiny
from fdl.core.errors import Fault
from fdl.modes import study as room
from fdl.modes.study import study

pytest.importorskip("optuna")


def test_a_study_goes_on_in_its_storage_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(made, workdir, say):
        if made.batch_size == 3:
            raise Fault("diverged")
        return {"metrics": {"validation": {"accuracy": 1 / made.batch_size}}}

    monkeypatch.setattr(room, "train", train)
    sizes = iter([4, 3, 2])

    def suggest(trial) -> dict:
        size = next(sizes)
        return {"batch_size": trial.suggest_int("batch_size", size, size)}

    where = {"storage": f"sqlite:///{tmp_path}/study.db", "say": str}
    study(tiny.experiment, suggest, tmp_path, trials=2, **where)
    found = study(tiny.experiment, suggest, tmp_path, trials=1, **where)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert found.best_params == {"batch_size": 2}
