"""A run folder is its experiment's: whatever else is computed is refused, and nothing else is."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import fdl
import tiny
from fdl import optim
from fdl.core.description import UndescribedError, describe
from fdl.data import augment
from fdl.data.dataset import Dataset, Spec, columns, shape_of
from fdl.engine.options import apply_options
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.modes.evaluate import evaluate
from fdl.modes.train import train
from fdl.runs.checkpoints.warm_start import of_run
from fdl.tasks import classify


def quiet(line):
    """Where lines go that no test looks at."""


def from_arrays(shift: int = 0) -> Dataset:
    rng = np.random.default_rng(0)
    sources = {
        split: columns(rng.normal(size=(size, 4)).astype(np.float32), (rng.integers(0, 3, size) + shift) % 3)
        for split, size in (("train", 16), ("validation", 4), ("test", 4))
    }
    inputs, targets = sources["train"].arrays
    sizes = {split: len(source) for split, source in sources.items()}
    spec = Spec(inputs=shape_of(inputs), targets=shape_of(targets), sizes=sizes, classes=3)
    return Dataset(name="mine", spec=spec, load=sources.__getitem__)


def made(**changes) -> Experiment:
    whole = Experiment(
        model=MLP(outputs=3, hidden=(4,)),
        dataset=from_arrays(),
        task=classify(3),
        optimizer=optim.adamw(1e-2),
        batch_size=8,
        steps=2,
        executor="jit",
        log_every=1,
    )
    return replace(whole, **changes)


class Own(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3)(jnp.tanh(x))


def steeper(x):
    return 2 * nn.relu(x)


CHANGES = {
    "targets": ({"dataset": from_arrays(1)}, "examples.of.train.arrays is"),
    "learning rate": ({"optimizer": optim.adamw(1e-3)}, "optimizer.learning_rate is 0.01 there and 0.001 here"),
    "schedule": ({"optimizer": optim.adamw(optim.warmup_cosine(1e-2, 2))}, "'fdl:warmup_cosine' here"),
    "optimizer": ({"optimizer": optim.sgd(1e-2)}, "optimizer.made by is 'fdl:adamw' there and 'fdl:sgd' here"),
    "wrapped": (
        {"optimizer": optim.ema(optim.adamw(1e-2))},
        "optimizer.made by is 'fdl:adamw' there and 'fdl:ema' here",
    ),
    "recorded": ({"optimizer": fdl.recorded(optax.chain)(optim.adamw(1e-2))}, "and 'optax:chain' here"),
    "layers": ({"model": MLP(outputs=3, hidden=(4, 4))}, "model.hidden is [4] there and [4, 4] here"),
    "activation": ({"model": MLP(outputs=3, hidden=(4,), activation=nn.tanh)}, "model.activation is absent there"),
    "own activation": ({"model": MLP(outputs=3, hidden=(4,), activation=steeper)}, "test_identity:steeper' here"),
    "model": ({"model": Own()}, "model.class"),
    "task": ({"task": classify(3, smoothing=0.1)}, "task.sums.smoothing is 0.0 there and 0.1 here"),
    "augment": ({"dataset": replace(from_arrays(), augment=augment.mixup(3))}, "data is"),
    "start": ({"init_from": lambda variables: variables}, "init_from"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(made(), folder, log=quiet)
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_else_is_computed_is_refused_by_name(run, name):
    changes, message = CHANGES[name]
    for mode in (train, evaluate):
        if mode is train or name not in ("start",):
            with pytest.raises(ValueError, match="holds another run") as error:
                mode(made(**changes), run, log=quiet)
            assert message in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [{}, {"executor": "mesh"}, {"feed": "streamed"}, {"log_every": 2}, {"optimizer": optim.adamw(1e-2, b1=0.9)}],
)
def test_what_is_written_again_or_runs_elsewhere_is_the_same_experiment(run, changes):
    said = []
    train(made(**changes), run, log=said.append)
    assert "finished already" in said[0]


def test_a_task_that_gains_or_loses_a_metric_is_of_the_same_run_and_one_that_measures_otherwise_is_not(run):
    task, said = classify(3), []
    fewer = {name: task.metrics[name] for name in ("loss", "accuracy")}
    for metrics in ({**task.metrics, "hits": task.metrics["accuracy"]}, fewer):
        other = made(task=replace(task, metrics=metrics))
        train(other, run, log=said.append)
        assert "finished already" in said.pop()
        assert evaluate(other, run, log=quiet)["metrics"]["test"].keys() >= metrics.keys() - {"top5"}
    otherwise = {**task.metrics, "accuracy": task.metrics["accuracy"]._replace(better="lower")}
    with pytest.raises(ValueError, match=r"holds another run: task\.metrics\.accuracy"):
        train(made(task=replace(task, metrics=otherwise)), run, log=quiet)


def test_what_no_description_tells_apart_is_not_used_again_and_the_line_to_type_is_said(tmp_path):
    bare, said = made(optimizer=optax.adam(1e-2)), []
    train(bare, tmp_path, log=said.append)
    assert "cannot be resumed or reused: its optimizer" in said[0]
    with pytest.raises(ValueError, match=r"write it as fdl.recorded\(optax.adam\)\(1e-3\)") as error:
        train(bare, tmp_path, log=quiet)
    assert "may hold another run" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="may hold another run"):
        train(made(), tmp_path, log=quiet)
    said.clear()
    evaluate(bare, tmp_path, log=said.append)
    assert any("is unknown: " in line for line in said)


def test_recorded_factories_make_a_bare_optimizer_known(tmp_path):
    rate = fdl.recorded(optax.cosine_decay_schedule)(1e-2, 10)
    known = made(optimizer=fdl.recorded(optax.chain)(fdl.recorded(optax.clip)(1.0), fdl.recorded(optax.lion)(rate)))
    train(known, tmp_path, log=quiet)
    said = []
    train(known, tmp_path, log=said.append)
    assert "finished already" in said[0]


PAGE = '''"""A page."""
import helper
from fdl import optim
from fdl.data.datasets.synthetic import synthetic
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import classify
import optax


def experiment(*, width: int = 4) -> Experiment:
    """Return it."""
    return Experiment(
        model=MLP(outputs=helper.CLASSES, hidden=(width,)), dataset=synthetic((3,), classes=helper.CLASSES, size=16),
        task=classify(helper.CLASSES), optimizer=optax.adam(1e-2), batch_size=4, steps=2, executor="jit",
    )
'''


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with a helper and a bare optimizer, which the page answers for."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper.py").write_text("import further\nCLASSES = further.CLASSES\n")
    (tmp_path / "further.py").write_text("# how many\nCLASSES = 3\n")
    (tmp_path / "page.py").write_text(PAGE)
    yield str(tmp_path / "page.py")
    for name in ("helper", "further"):
        sys.modules.pop(name, None)


def test_a_page_answers_for_its_parts_until_a_module_that_it_imports_changes(tmp_path, page):
    train(fdl.load(page), tmp_path / "run", log=quiet)
    (tmp_path / "further.py").write_text('"""How many."""\nCLASSES = 3  # of them\n')
    said = []
    train(fdl.load(page), tmp_path / "run", log=said.append)
    assert "finished already" in said[0]
    (tmp_path / "further.py").write_text("CLASSES = 2 + 1\n")
    with pytest.raises(ValueError, match=r"modules of the page.further is '?[0-9a-f]{12}'? there and"):
        train(fdl.load(page), tmp_path / "run", log=quiet)
    said.clear()
    evaluate(fdl.load(page), tmp_path / "run", log=said.append)
    assert "the page was edited since" in said[0]


def test_a_page_does_not_answer_for_what_is_put_in_the_place_of_its_parts(tmp_path, page):
    whole = fdl.load(page)
    train(whole, tmp_path / "run", log=quiet)
    for other, words in (
        (replace(whole, optimizer=optim.adamw(1.0)), "optimizer.made by is absent there"),
        (replace(whole, optimizer=optax.adam(1.0)), "its optimizer cannot be compared"),
        (replace(whole, model=MLP(outputs=3, hidden=(9,))), r"model.hidden is \[4\] there and \[9\] here"),
        (apply_options(whole, ema_decay=0.9), "ema_decay is absent there and 0.9 here"),
    ):
        with pytest.raises(ValueError, match=words):
            train(other, tmp_path / "run", log=quiet)
    option = apply_options(whole, ema_decay=0.9, freeze=["Dense_0"])
    train(option, tmp_path / "option", log=quiet)
    said = []
    train(apply_options(whole, ema_decay=0.9, freeze=["Dense_0"]), tmp_path / "option", log=said.append)
    assert "finished already" in said[0]


CELL = """
import flax.linen as nn, jax.numpy as jnp, numpy as np
FACTOR = {factor}
SOME = np.arange({count})
def scaled(x):
    "Some words."
    return jnp.where(x in {{"a", "b", "c"}} if isinstance(x, str) else x > 0, FACTOR * x, {slope} * x)
class Net(nn.Module):
    width: int = 3
    @nn.compact
    def __call__(self, x, *, train=False):
        return scaled(nn.Dense(self.width)(x)) + SOME.sum()
"""


def cell(factor=2, slope=0.1, count=3, words="Some words."):
    namespace = {"__name__": "__main__"}
    exec(CELL.format(factor=factor, slope=slope, count=count).replace("Some words.", words), namespace)
    return describe(namespace["Net"]())


def test_a_cell_that_is_run_again_is_the_same_until_something_in_it_computes_otherwise():
    assert cell() == cell() == cell(words="Others.")
    others = [cell(factor=3), cell(slope=0.2), cell(count=4)]
    assert all(other != cell() for other in others)


SCRIPT = f"""
import json, sys
sys.path.insert(0, {str(tiny.__file__.rsplit("/", 1)[0])!r})
from runs.test_identity import cell, made, CHANGES
print(json.dumps([cell(), made().identity(), made(**CHANGES["own activation"][0]).identity()], sort_keys=True))
"""


def test_a_description_is_the_same_in_every_process():
    texts = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_what_is_described_is_what_was_written():
    @cache
    def load(split):
        return columns(np.arange(size))

    size = 3
    first = describe(load)
    size = 4
    assert describe(load) != first
    assert describe(nn.relu) == describe(jax.nn.relu) == "jax:relu"
    assert describe(np.float32([1, 2])) != describe(np.float32([2, 1]))
    with pytest.raises(UndescribedError, match="closes over what it does not say"):
        describe(nn.initializers.normal(0.1))
    assert describe(fdl.recorded(nn.initializers.normal)(0.1)) == {"made by": "jax:normal", "stddev": 0.1}
    with pytest.raises(UndescribedError, match=r"a numpy.random._generator.Generator cannot be described"):
        describe(np.random.default_rng(0))


@pytest.mark.parametrize("address", ["az://box/run", "adl://b/r", "hdfs://x/y", "file:///data/x", "abfss://a@b/c"])
def test_an_address_is_no_folder_and_nothing_is_made(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for mode in (train, evaluate):
        with pytest.raises(ValueError, match=r"is an address \(\w+:\), and fdl works in folders") as error:
            mode(made(), address, log=quiet)
        assert address in str(error.value)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_written_anew_under_the_same_name_are_others(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "run"
    train(made(), source, log=quiet)
    warm = made(init_from=of_run(source))
    train(warm, folder, log=quiet)
    said = []
    train(made(init_from=of_run(source)), folder, log=said.append)
    assert "finished already" in said[0]
    shutil.rmtree(source)
    train(made(seed=1), source, log=quiet)
    with pytest.raises(ValueError, match=r"weights is '[0-9a-f]{16}' there and '[0-9a-f]{16}' here"):
        train(warm, folder, log=quiet)
    shutil.rmtree(source)
    with pytest.raises(ValueError, match="its weights cannot be compared: their file is not there; put it back"):
        train(warm, folder, log=quiet)
    evaluate(warm, folder, log=said.append)
    assert any("had the same weights is unknown" in line for line in said)


def test_a_longer_run_is_shown_the_way_to_go_on_from_its_weights(tmp_path):
    def planned(steps):
        return made(steps=steps, optimizer=optim.adamw(optim.warmup_cosine(1e-2, steps)))

    train(planned(2), tmp_path / "short", log=quiet)
    with pytest.raises(ValueError, match=r"choose another folder, and add --init=\S+short there to go on") as error:
        train(planned(6), tmp_path / "short", log=quiet)
    followed = re.search(r"--init=(\S+)", str(error.value))[1]
    train(made(steps=6, init_from=of_run(followed)), tmp_path / "long", log=quiet)
    for other in (planned(1), replace(planned(6), seed=1)):
        with pytest.raises(ValueError, match=r"choose another folder$"):
            train(other, tmp_path / "short", log=quiet)
