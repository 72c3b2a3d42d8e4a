"""An export answers as its run does, in a file that needs no fdl, whatever the size of the batch."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import fdl
import tiny
from fdl.core import kernel_choice
from fdl.core.errors import Fault, UserError
from fdl.models import RNN, ResNet, gpt
from fdl.models.pretrained import published
from fdl.modes import export as module
from fdl.modes.export import export
from fdl.trained import Trained

pytest.importorskip("flatbuffers")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    made = tiny.convolutional(executor="jit")
    fdl.train(made, folder, log=None)
    return made, folder


def test_a_program_answers_without_fdl_as_the_run_does(run, tmp_path):
    made, folder = run
    lines: list[str] = []
    file = export(made, folder, output=str(tmp_path / "m.stablehlo"), log=lines.append)
    assert "answers of 7 test rows differ by at most" in lines[0]
    inputs = np.asarray(made.dataset.load("test").arrays[0])
    np.save(tmp_path / "in.npy", inputs)
    script = (
        "import sys, jax, numpy; from jax import export;"
        "program = export.deserialize(bytearray(open('m.stablehlo', 'rb').read()));"
        "numpy.save('out.npy', program.call(numpy.load('in.npy'))['probabilities']);"
        "assert program.platforms == ('cpu', 'cuda', 'tpu'); assert 'fdl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True)
    wanted = fdl.restore(folder, "last", experiment=made)(inputs)["probabilities"]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), wanted, atol=1e-5)
    kept = json.loads(file.with_suffix(".json").read_text())
    assert kept["inputs"] == [["n", 4, 4, 1], "float32"]
    assert kept["outputs"]["probabilities"] == [["n", 3], "float32"]


def trained(made) -> Trained:
    state = made.init()
    return Trained(experiment=made, folder=None, step=0, variables={"params": state.params, **state.model_state})


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("digits_mlp", None),
        ("digits_lstm", None),
        pytest.param("addition_gru", None, marks=pytest.mark.slow),
        ("pydoc_gpt", gpt(256, width=16, depth=1, heads=2, context=256)),
        ("pydoc_lstm", RNN(256, 256, width=8, return_sequences=True)),
        pytest.param("pasted_digits_detector", None, marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_model_has_a_program_of_any_batch_size(page, model, tmp_path):
    made = fdl.load(page)
    whole = trained(replace(made, model=model) if model else made)
    rows, what = module._rows(whole, 7)
    assert what == "7 test rows"
    assert module._difference(whole, module._write_stablehlo(whole, tmp_path / "m.stablehlo"), rows) < 1e-5


def test_weights_are_read_back_by_path_and_by_the_flag(run, tmp_path):
    made, folder = run
    file = export(made, folder, format="safetensors", log=None)
    tensors = load_file(file)
    assert {"params/Dense_0/kernel", "batch_stats/BatchNorm_0/mean"} <= tensors.keys()
    state = made.init()
    read = published(file, lambda _: pytest.fail("these are names of fdl"))
    filled = read({"params": state.params, **state.model_state})
    np.testing.assert_array_equal(filled["params"]["Dense_0"]["kernel"], tensors["params/Dense_0/kernel"])


def test_weights_are_written_by_the_names_of_a_library_and_read_again(tmp_path):
    model = ResNet(3, (1,), width=4)
    made = tiny.experiment(model=model, dataset=tiny.dataset(shape=(8, 8, 3)), steps=2, executor="jit")
    fdl.train(made, tmp_path / "run", log=None)
    file = export(made, tmp_path / "run", format="safetensors", names="torchvision", log=None)
    assert {"conv1.weight", "layer1.0.bn2.running_var", "fc.bias"} <= load_file(file).keys()
    variables = fdl.restore(tmp_path / "run", "last", experiment=made).variables
    tiny.same(published(file, model)(jax.tree.map(jnp.zeros_like, variables)), variables)
    with pytest.raises(UserError, match="timm has no ResNet; give --names=torchvision or huggingface"):
        export(made, tmp_path / "run", format="safetensors", names="timm", log=None)


def test_an_export_that_answers_otherwise_does_not_count(run, tmp_path, monkeypatch):
    made, folder = run

    def wrong(model, file):
        answer = module._write_stablehlo(model, file)
        return lambda inputs: {name: 1.001 * column for name, column in answer(inputs).items()}

    monkeypatch.setitem(module._WRITERS, "stablehlo", wrong)
    with pytest.raises(Fault, match=r"differ by 0\.\d+, more than 0.0001; it was removed"):
        export(made, folder, output=str(tmp_path / "m.stablehlo"), log=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "pickle"}, "format 'pickle' is not one of stablehlo, onnx, safetensors"),
        ({"output": "m.onnx"}, "does not end in .stablehlo"),
        ({"names": "timm"}, "--names=timm is of tensors, which stablehlo has none of; add --format=safetensors"),
        ({"format": "safetensors", "names": "timm"}, "CNN has no published names; leave out --names"),
    ],
)
def test_what_cannot_be_exported_is_one_line(run, options, message):
    made, folder = run
    with pytest.raises(UserError, match=message):
        export(made, folder, log=None, **options)
    with pytest.raises(UserError, match="holds no run"):
        export(made, folder / "none", log=None)


def test_no_kernel_of_this_machine_is_in_an_export(monkeypatch):
    monkeypatch.setenv(kernel_choice.VARIABLE, "custom")
    with kernel_choice.reference_forms():
        assert set(kernel_choice.kernel_forms().values()) == {"reference"}


def test_onnx_answers_as_the_run_does(run, tmp_path):
    pytest.importorskip("jax2onnx")
    made, folder = run
    export(made, folder, format="onnx", output=str(tmp_path / "m.onnx"), log=None)
