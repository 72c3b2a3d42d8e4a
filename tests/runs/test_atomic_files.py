"""JSON that every reader takes: NaN and Infinity are no JSON."""

import json
import math

import jax
import numpy as np
import pytest

import tiny
from fdl import train
from fdl.models import MLP
from fdl.runs.atomic_files import finite, json_text
from fdl.runs.workdir import claim, refuse_other
from fdl.tasks import binary


def strict(text: str):
    def refuse(constant: str):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_is_null() -> None:
    value = {"a": [1.5, math.nan, (np.float32(np.inf), np.float64(-np.inf))], "n": np.int64(3), "yes": True, "t": "NaN"}
    assert strict(json_text(value)) == {"a": [1.5, None, [None, None]], "n": 3, "yes": True, "t": "NaN"}
    assert finite({"clip": math.inf}, str) == {"clip": "inf"}


def test_a_run_with_metrics_that_are_not_numbers_leaves_json(tmp_path) -> None:
    data = tiny.dataset({"train": 40, "validation": 9, "test": 11}, classes=2)
    load = data.load

    def one_class(split: str):
        source = load(split)
        return source if split == "train" else type(source)(
            arrays=(source.arrays[0], np.zeros_like(source.arrays[1])), size=source.size, take=source.take
        )  # fmt: skip

    made = tiny.experiment(
        model=MLP(outputs=1, hidden=(4,)),
        dataset=type(data)(name="one", spec=data.spec, load=one_class),
        task=binary(),
        steps=4,
        log_every=2,
    )
    report = train(made, tmp_path, log=str)
    assert math.isnan(report["metrics"]["test"]["auc"])
    assert strict((tmp_path / "report.json").read_text())["metrics"]["test"]["auc"] is None
    lines = [strict(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["auc"] for line in lines if line["split"] == "validation"] == [None] * 2
    assert train(made, tmp_path, log=str)["metrics"]["test"]["auc"] is None  # finished already


def test_an_infinite_knob_is_the_same_knob_again(tmp_path) -> None:
    identity = tiny.experiment().identity()
    claim(tmp_path, {**identity, "clip": math.inf}, jax.devices())
    strict((tmp_path / "experiment.json").read_text())
    refuse_other(tmp_path, {**identity, "clip": math.inf}, log=str)
    with pytest.raises(ValueError, match=r"clip .*inf.*None"):
        refuse_other(tmp_path, {**identity, "clip": None}, log=str)
