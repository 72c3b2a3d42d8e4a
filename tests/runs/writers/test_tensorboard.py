"""TensorBoard's event files are read back as TensorBoard reads them."""

import shutil
import warnings

import numpy as np
import pytest

import fdl
import tiny
from fdl.core.types import SPLITS
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED, lines

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups


class Killed(BaseException):
    pass


def scalars(folder):
    """Tag -> its steps and values in one folder."""
    read = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_a_split_is_a_run_and_a_resumed_run_has_no_step_twice_and_lacks_none(tmp_path, monkeypatch):
    made = tiny.experiment(executor="jit", save_every=4, evaluate_every=4, log_every=2, steps=8)
    save, deaths = Checkpoints.save, [4, 8]  # the first start ends with no checkpoint at all

    def die(self, state, meta):
        if deaths and int(state.step) == deaths[0]:
            del deaths[0]
            raise Killed
        return save(self, state, meta)

    monkeypatch.setattr(Checkpoints, "save", die)
    for _ in range(2):
        with pytest.raises(Killed):
            fdl.train(made, tmp_path / "run", log=None)
    shutil.rmtree(tmp_path / "run" / "validation")  # as fdl 0.1 left a run
    fdl.train(made, tmp_path / "run", log=None)
    monkeypatch.setattr("fdl.modes.train.atomic_files.write_json", lambda *_: 1 / 0)  # killed before the report is kept
    (tmp_path / "run" / "report.json").unlink()
    with pytest.raises(ZeroDivisionError):
        fdl.train(made, tmp_path / "run", log=None)

    logged = lines(tmp_path / "run" / "metrics.jsonl")
    for split in SPLITS:
        found = scalars(tmp_path / "run" / split)
        of_split = [line for line in logged if line["split"] == split]
        assert of_split
        for name in set().union(*of_split) - {"step", "epoch", "split", "confusion", *CLOCKED}:
            steps, values = zip(*found[name], strict=True)
            assert steps == tuple(line["step"] for line in of_split), (split, name)
            np.testing.assert_allclose(values, [line[name] for line in of_split], rtol=1e-6)
    assert "learning_rate" in scalars(tmp_path / "run" / "train")


def sessions(folder):
    """The rows of the table of hyperparameters, as its server gives them."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"hparams": 100})
    multiplexer.AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=10, allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_RUNNING]
    )
    known = api_pb2.GetExperimentRequest()
    experiment = get_experiment.Handler(RequestContext(), context, "", known).run()
    return experiment, list_session_groups.Handler(RequestContext(), context, "", asked).run().session_groups


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of two runs, of pictures and of numbers, and the report of the second."""
    folder = tmp_path_factory.mktemp("runs")
    fdl.train(tiny.experiment(executor="jit", dataset=tiny.dataset(shape=(4, 4, 1))), folder / "pictures", log=None)
    return folder, fdl.train(tiny.experiment(executor="jit", batch_size=4), folder / "numbers", log=None)


def test_hyperparameters_have_the_last_metrics_of_each_split(trained):
    folder, report = trained
    experiment, groups = sessions(folder)
    assert {"batch_size", "seed"} <= {info.name for info in experiment.hparam_infos}
    assert {group.hparams["batch_size"].number_value for group in groups} == {8, 4}
    numbers = next(group for group in groups if group.hparams["batch_size"].number_value == 4)
    seen = {(value.name.group, value.name.tag): value.value for value in numbers.metric_values}
    for split in ("validation", "test"):
        assert seen[split, "accuracy"] == pytest.approx(report["metrics"][split]["accuracy"], rel=1e-6)
    assert seen["train", "learning_rate"] == pytest.approx(0.1)


def test_evaluations_show_the_same_examples_where_their_time_allows_it(tmp_path, monkeypatch):
    made = tiny.experiment(executor="jit", dataset=tiny.dataset(shape=(4, 4, 1)), evaluate_every=4)
    fdl.train(made, tmp_path / "short", log=None)
    shown = event_accumulator.EventAccumulator(str(tmp_path / "short" / "validation")).Reload()
    assert not shown.Tags()["images"]  # they would have taken longer than training

    monkeypatch.setattr("fdl.modes.draw_answers.AT_MOST", 1e9)
    report = fdl.train(made, tmp_path / "long", log=None)
    shown = event_accumulator.EventAccumulator(str(tmp_path / "long" / "validation")).Reload()
    assert [each.step for each in shown.Images("validation/examples")] == [4, 8, 12]
    tiny.same(report.restore("last").params, fdl.restore(tmp_path / "short", "last", experiment=made).params)


def test_examples_that_cannot_be_shown_end_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr("fdl.modes.draw_answers.AT_MOST", 1e9)
    monkeypatch.setattr("fdl.modes.draw_answers.examples_of", lambda *_: 1 / 0)
    said = []
    report = fdl.train(tiny.experiment(executor="jit", evaluate_every=4), tmp_path / "run", log=said.append)
    assert report["step"] == 12
    assert [line for line in said if "at evaluations" in line] == [
        "warning: no examples at evaluations (ZeroDivisionError: division by zero)"
    ]


def test_examples_with_predictions_are_pictures_or_text(trained):
    read = event_accumulator.EventAccumulator(str(trained[0] / "pictures")).Reload()
    tags = read.Tags()["images"]
    assert set(tags) <= {"test/the_surest_mistakes", "test/some_that_are_right"}
    picture = read.Images(tags[0])[0]
    assert picture.step == 12
    assert (picture.width, picture.encoded_image_string[:4]) == (4 * 132 + 4, b"\x89PNG")
    read = event_accumulator.EventAccumulator(str(trained[0] / "numbers")).Reload()
    tags = [tag for tag in read.Tags()["tensors"] if "right" in tag]
    words = read.Tensors(tags[0])[0].tensor_proto.string_val[0].decode()
    assert words.startswith("| row | true | predicted | x0 | x1 |")
