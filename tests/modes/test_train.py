import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn

import fdl
import tiny
from fdl import optim
from fdl.core.errors import Fault, OutOfMemory
from fdl.core.recorded import recorded
from fdl.runs import workdir as folder
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED, lines


def state_of(made, workdir):
    checkpoints = Checkpoints(workdir / "checkpoints")
    return checkpoints.restore(checkpoints.last(), made.abstract())


def losses(workdir):
    """Every logged number but the clock's."""
    return [{k: v for k, v in line.items() if k not in CLOCKED} for line in lines(workdir / "metrics.jsonl")]


class Half(nn.Module):
    """A layer in float16; a steep one has a finite output and an infinite gradient."""

    classes: int
    steep: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        kernel = self.param("kernel", nn.initializers.normal(0.5), (x.shape[-1], self.classes))
        if self.steep:
            kernel = kernel + jnp.sqrt(jnp.abs(kernel - jax.lax.stop_gradient(kernel)))
        return x.astype(jnp.float16) @ kernel.astype(jnp.float16)


class Killed(Exception):
    """What stands for SIGKILL inside one process: nothing after it runs."""


@pytest.mark.parametrize(("saves", "save_every"), [(1, 3), (3, 2)])  # inside a log window, and at its end
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, saves, save_every):
    made = tiny.experiment(evaluate_every=4, save_every=save_every, executor="jit")
    fdl.train(made, tmp_path / "whole", log=lambda _: None)

    write = Checkpoints.save

    def write_and_die(self, *args):
        write(self, *args)
        nonlocal saves
        saves -= 1
        if not saves:
            self.wait()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", write_and_die)
        with pytest.raises(Killed):
            fdl.train(made, tmp_path / "cut", log=lambda _: None)
    said = []
    fdl.train(made, tmp_path / "cut", log=said.append)
    assert any("goes on from step" in line for line in said)
    tiny.same(state_of(made, tmp_path / "cut"), state_of(made, tmp_path / "whole"))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_finished_run_says_so_and_does_nothing_and_its_report_shows_examples(tmp_path):
    def show(answers, sown, batch):
        assert sown == {}
        chosen = batch.inputs.shape[0], answers["class"].shape[0]
        return {"Some & others": f"<svg>{chosen}</svg>"}

    made = tiny.experiment(executor="jit", visualize=show)
    first = fdl.train(made, tmp_path / "run", log=lambda _: None)
    assert '<h2>Some &amp; others</h2><div class="picture"><svg>(6, 6)</svg>' in (
        tmp_path / "run" / "report.html"
    ).read_text(encoding="utf-8")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    said = []
    assert fdl.train(made, tmp_path / "run", log=said.append) == json.loads(json.dumps(first))
    assert len(said) == 1
    assert "finished already, at step 12" in said[0]
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_another_experiment_is_refused_and_the_difference_named(tmp_path):
    fdl.train(tiny.experiment(executor="jit"), tmp_path / "run", log=lambda _: None)
    with pytest.raises(ValueError, match="batch_size is 8 there and 4 here") as error:
        fdl.train(tiny.experiment(executor="jit", batch_size=4, seed=7), tmp_path / "run")
    assert "seed is 0 there and 7 here" in str(error.value)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        fdl.train(tiny.experiment(executor="jit"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_last_and_the_best_checkpoint_are_kept(tmp_path):
    made = tiny.experiment(executor="jit", evaluate_every=2, log_every=2)
    report = fdl.train(made, tmp_path, log=lambda _: None)
    checkpoints = Checkpoints(tmp_path / "checkpoints", "lower")
    best = min(
        (line["loss"], line["step"]) for line in lines(tmp_path / "metrics.jsonl") if line["split"] == "validation"
    )
    assert report["best_step"] == checkpoints.best() == best[1]
    assert checkpoints.steps() == sorted({best[1], 10, 12})  # and one more, should the last be damaged
    measured = fdl.evaluate(made, tmp_path, log=lambda _: None)
    assert measured["metrics"]["test"] == report["metrics"]["test"]
    assert fdl.evaluate(made, tmp_path, checkpoint="best", log=lambda _: None)["step"] == best[1]


def test_the_best_is_kept_though_nothing_is_saved_when_it_is_evaluated(tmp_path):
    """Accuracy ties where the loss does not, so the loss chooses unless the page says otherwise."""
    steep = recorded(optax.sgd)(2.0)
    made = tiny.experiment(executor="jit", evaluate_every=2, save_every=0, log_every=2, steps=20, optimizer=steep)
    for monitor, choose in (("loss", min), ("accuracy", max)):
        said, folder = [], tmp_path / monitor
        report = fdl.train(replace(made, monitor=monitor), folder, log=said.append)
        evaluations = [line for line in lines(folder / "metrics.jsonl") if line["split"] == "validation"]
        best = choose(evaluations, key=lambda line, name=monitor: line[name])  # the first of equals
        assert (report["monitor"], report["best_step"]) == (monitor, best["step"])
        assert best["step"] != 20
        assert f"best by validation {monitor}: step {best['step']}" in said[-1]
        kept = [line for line in said if line.startswith("step ")]
        assert len(kept) == len(evaluations)
        assert [int(line.split()[1]) for line in kept if line.endswith("★")][-1] == best["step"]
        said.clear()
        measured = fdl.evaluate(replace(made, monitor=monitor), folder, checkpoint="best", log=said.append)
        assert measured["step"] == best["step"]
        assert measured["metrics"]["validation"]["loss"] == best["loss"]
        assert f"step {best['step']} is the best by validation {monitor}" in said
    with pytest.raises(
        ValueError, match=r"monitor 'confusion' cannot choose the best checkpoint; try loss or accuracy"
    ):
        fdl.train(replace(made, monitor="confusion"), tmp_path / "none", log=str)


@pytest.mark.parametrize("executor", ["pmap", "mesh"])
def test_a_run_on_eight_devices_is_the_run_on_one(tmp_path, executor):
    fdl.train(tiny.experiment(executor="jit"), tmp_path / "one", log=lambda _: None)
    fdl.train(tiny.experiment(executor=executor), tmp_path / "eight", log=lambda _: None)
    made = tiny.experiment()
    tiny.close(state_of(made, tmp_path / "one"), state_of(made, tmp_path / "eight"), 1e-5)


def test_training_means_are_exact_over_the_window(tmp_path):
    made = tiny.experiment(executor="jit", log_every=1, steps_per_call=1)
    fdl.train(made, tmp_path / "each", log=lambda _: None)
    fdl.train(tiny.experiment(executor="jit", log_every=4, steps_per_call=1), tmp_path / "four", log=lambda _: None)
    each = [line["loss"] for line in lines(tmp_path / "each" / "metrics.jsonl") if line["split"] == "train"]
    four = [line["loss"] for line in lines(tmp_path / "four" / "metrics.jsonl") if line["split"] == "train"]
    assert four == pytest.approx([sum(each[i : i + 4]) / 4 for i in (0, 4, 8)], rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 12, "executor": "mesh"}, "batch_size 12 does not divide over 8 devices; try 8 or 16"),
        (
            {"batch_size": 6, "accumulate": 4, "executor": "jit"},
            "does not divide over 1 device x 4 micro-batches; try 4 or 8",
        ),
        ({"batch_size": 48}, "batch_size 48 is larger than the 40 training examples; try 40 or less"),
        ({"batch_size": 0}, "batch_size 0 is not positive"),
        ({"dataset": tiny.dataset({"train": 40, "test": 9})}, "has nothing in split 'validation'"),
        ({"dataset": tiny.dataset({"train": 40, "validation": 9, "test": 0})}, "has nothing in split 'test'"),
        ({"steps": 2**31}, "steps 2147483648 is not in [0, 2,147,483,648)"),
        ({"seed": 2**32}, "seed 4294967296 is not in [0, 4,294,967,296)"),
        ({"executor": "warp"}, "executor 'warp' is not one of"),
        ({"accelerator": "tpu"}, "accelerator 'tpu' is not available: jax sees 8 cpu devices"),
        ({"accelerator": "abacus"}, "accelerator 'abacus' is not one of any, cpu, gpu, tpu"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError) as error:
        fdl.train(tiny.experiment(**changes), tmp_path / "run")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_call_is_never_longer_than_its_run(tmp_path):
    usual = fdl.train(tiny.experiment(), tmp_path / "usual", log=str)
    asked = fdl.train(tiny.experiment(steps_per_call=10**10), tmp_path / "asked", log=str)
    assert asked["metrics"] == usual["metrics"]


def test_names_of_default_folders_stay_inside_runs():
    assert str(folder.default("page", {})) == "runs/page"
    assert str(folder.default("page", {"width": 3, "data": "../../etc"})).startswith("runs/page,data=..-..-etc,width=3")
    assert folder.default("..", {}).parent == folder.Path("runs")


def test_describe_neither_reads_data_nor_allocates(monkeypatch):
    made = tiny.experiment()
    monkeypatch.setattr(type(made.dataset), "load", property(lambda self: pytest.fail("data was read")), raising=False)
    said = []
    result = fdl.describe(made, log=said.append)
    assert result["parameters"] == 5 * 8 + 8 + 8 * 3 + 3
    assert result["flops_per_step"] == 8 * (
        2 * 5 * 8 * 2 + 2 * 8 * 3 * 3
    )  # forward and two products back; none to inputs
    assert "parameters" in "\n".join(said)


def test_a_damaged_line_of_the_record_is_said_and_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    whole = '{"step": 1, "split": "train"}\n'
    file.write_text(whole + '{"step": 2, "spl\n' + whole + '{"step": 3, "sp')
    said: list[str] = []
    assert len(lines(file, said.append)) == 2
    assert said == [f"warning: {file} line 2 is damaged and left out"]  # and not the last: a crash cut it short


def test_an_edited_page_is_another_experiment_to_train_and_a_warning_elsewhere(tmp_path):
    made = tiny.experiment(code="one")
    fdl.train(made, tmp_path, log=lambda _: None)
    edited = tiny.experiment(code="two")
    with pytest.raises(ValueError, match="code of the page is 'one' there and 'two' here"):
        fdl.train(edited, tmp_path, log=lambda _: None)
    said: list[str] = []
    fdl.evaluate(edited, tmp_path, log=said.append)
    assert "the page was edited since" in said[0]


def test_a_folder_whose_links_lead_elsewhere_is_refused(tmp_path):
    fdl.train(tiny.experiment(), tmp_path / "run", log=lambda _: None)
    (tmp_path / "run" / "checkpoints").rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"checkpoints is a link"):
        fdl.evaluate(tiny.experiment(), tmp_path / "run", log=lambda _: None)


def test_what_cannot_fit_in_memory_is_refused_with_the_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("fdl.parallel.memory.free", lambda device: 900)
    with pytest.raises(OutOfMemory, match=r"the state takes [0-9,]+ bytes and its \S+ 300 more, and 900 are"):
        fdl.train(tiny.experiment(executor="jit"), tmp_path / "run", log=lambda _: None)
    monkeypatch.setattr("fdl.parallel.memory.free", lambda device: 1600)
    with pytest.raises(OutOfMemory, match=r"the program needs [0-9,]+ bytes besides its state, but 1,600 are free"):
        fdl.train(tiny.experiment(executor="jit"), tmp_path / "run", log=lambda _: None)
    monkeypatch.undo()
    # Nothing was saved: the folder is free for another experiment.
    fdl.train(tiny.experiment(executor="jit", steps=4), tmp_path / "run", log=lambda _: None)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_whose_folder_goes_ends_at_the_next_due_point_and_writes_no_more(tmp_path, replaced):
    run, ticks = tmp_path / "run", iter(range(10**6))

    def clock() -> float:
        if next(ticks) == 4:
            shutil.rmtree(run)
            if replaced:
                run.mkdir()
                (run / ".lock").write_text("pid 1 on another host\nabc\n")
        return 0.001 * next(ticks)

    with pytest.raises(Fault, match=r"was removed, replaced or taken by another run"):
        fdl.train(tiny.experiment(executor="jit", save_every=8, evaluate_every=8), run, log=lambda _: None, clock=clock)
    assert [path.name for path in run.rglob("*")] == ([".lock"] if replaced else [])
    assert run.exists() == replaced


def test_a_report_that_cannot_be_drawn_is_no_reason_to_have_no_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("fdl.modes.draw_report.html", lambda *_: 1 / 0)
    said = []
    fdl.train(tiny.experiment(executor="jit"), tmp_path, log=said.append)
    assert "warning: report.html is not drawn (ZeroDivisionError: division by zero)" in "\n".join(said)
    assert json.loads((tmp_path / "report.json").read_text())["step"] == 12


def test_updates_that_float16_leaves_out_are_counted_and_said(tmp_path):
    sgd = optim.dynamic_loss_scale(optax.sgd(0.1), start=2.0**24)
    made = tiny.experiment(model=Half(3), optimizer=sgd, executor="jit", log_every=6)
    said = []
    report = fdl.train(made, tmp_path, log=said.append)
    assert 0 < report["skipped"] < 12
    assert f"{report['skipped']} of 12 updates skipped: not finite" in said[-1]
    counts = [line.get("skipped", 0) for line in lines(tmp_path / "metrics.jsonl") if line["split"] == "train"]
    assert sum(counts) == report["skipped"]


@pytest.mark.parametrize("nonfinite", ["stop", "skip"])
def test_a_run_whose_updates_are_all_left_out_ends_with_a_line(tmp_path, nonfinite):
    """Every gradient is infinite though every loss is finite."""
    made = tiny.experiment(model=Half(3, steep=True), executor="jit", nonfinite=nonfinite)
    if nonfinite == "stop":
        made = replace(made, optimizer=optim.dynamic_loss_scale(made.optimizer))
    for _ in range(2):  # nor does the same command end it as a success
        with pytest.raises(Fault, match="none of the 12 updates was finite, so nothing was learned; lower"):
            fdl.train(made, tmp_path, log=str)
    assert not (tmp_path / "report.json").exists()


def test_a_loss_scale_that_finds_no_finite_update_ends_the_run_early(tmp_path):
    made = tiny.experiment(
        model=Half(3, steep=True), executor="jit", steps=400, optimizer=optim.dynamic_loss_scale(optax.sgd(0.1))
    )
    with pytest.raises(Fault, match="step 68: the last 68 updates were not finite at any loss scale"):
        fdl.train(made, tmp_path, log=str)


def test_what_was_decided_of_the_data_is_logged_and_kept_in_the_folder_and_the_report(tmp_path):
    made, said = tiny.experiment(), []
    note = "3 rows are left out: <b> is missing"
    made = replace(made, dataset=replace(made.dataset, notes=(note,)))
    report = fdl.train(made, tmp_path, log=said.append)
    assert said[0] == note
    assert report["data"] == [note]
    assert json.loads((tmp_path / "dataset.json").read_text())["notes"] == [note]
    assert "<pre>3 rows are left out: &lt;b&gt; is missing</pre>" in (tmp_path / "report.html").read_text()
