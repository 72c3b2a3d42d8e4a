import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import save_file

import tiny
from fdl import optim
from fdl.core.optimizer_state import evaluated
from fdl.core.types import TrainState
from fdl.models import BERT, VGG, ResNet, distilbert, gpt, vit
from fdl.models.pretrained import fill, published
from fdl.models.published.convert import variables_of
from fdl.models.published.weight_files import read_tensors
from fdl.modes.train import train
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.warm_start import of_run

DRAWN = {"params": {"body": {"kernel": jnp.zeros((2, 3))}, "head": {"bias": jnp.ones(4)}}}


def test_tensors_come_back_by_name(tmp_path):
    save_file({"a.weight": np.arange(6, dtype=np.float16).reshape(2, 3)}, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(read_tensors(tmp_path / "w.safetensors")["a.weight"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("content", [b"", b"not a safetensors file at all", b"\xff" * 8 + b"{}"])
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_tensors(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="there is no file"):
        read_tensors(tmp_path / "absent.safetensors")


def test_published_leaves_take_the_place_of_drawn_ones():
    published = {"params": {"body": {"kernel": np.full((2, 3), 7, np.float16)}, "other_head": {"bias": np.ones(2)}}}
    filled = fill(DRAWN, published, fresh=["head"])
    np.testing.assert_array_equal(filled["params"]["body"]["kernel"], np.full((2, 3), 7))
    assert filled["params"]["body"]["kernel"].dtype == np.float32
    assert filled["params"]["head"]["bias"] is DRAWN["params"]["head"]["bias"]


def test_a_run_begins_where_another_ended(tmp_path):
    params = {"body": {"kernel": jnp.full((2, 3), 5.0), "pooler": {"bias": jnp.ones(2)}}, "other_head": jnp.ones(7)}
    state = TrainState(jnp.int32(3), params, (jnp.ones(2),), {"batch_stats": {"mean": jnp.ones(4)}}, jax.random.key(0))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(state, {})
    checkpoints.wait()
    drawn = {"params": {"body": {"kernel": jnp.zeros((2, 3)), "pooler": {"bias": jnp.zeros(9)}}, "head": jnp.zeros(1)}}
    drawn["batch_stats"] = {"mean": jnp.zeros(4)}
    begun = of_run(tmp_path, fresh=["head", "body/pooler"])(drawn)
    np.testing.assert_array_equal(begun["params"]["body"]["kernel"], np.full((2, 3), 5.0))
    np.testing.assert_array_equal(begun["batch_stats"]["mean"], np.ones(4))
    assert begun["params"]["body"]["pooler"]["bias"] is drawn["params"]["body"]["pooler"]["bias"]
    with pytest.raises(ValueError, match="holds no checkpoint to initialise from"):
        of_run(tmp_path / "absent")(drawn)


def test_a_run_begins_with_the_weights_that_another_was_evaluated_with(tmp_path):
    """The average, that is, wherever it is nested, and the weights themselves where none is kept."""
    nested = optim.frozen(optax.chain(optax.clip(1.0), optim.ema(optax.adam(0.1), 0.9)), ["Dense_0"])
    made = tiny.experiment(optimizer=nested, executor="jit")
    train(made, tmp_path, log=str)
    state = Checkpoints(tmp_path / "checkpoints").restore(12, made.abstract())
    begun = of_run(tmp_path)({"params": made.init().params})
    tiny.same(begun["params"], evaluated(state.params, state.opt_state))
    assert np.any(begun["params"]["Dense_1"]["kernel"] != state.params["Dense_1"]["kernel"])


def test_what_is_missing_or_misshapen_is_named():
    with pytest.raises(ValueError, match="nothing for params/head/bias"):
        fill(DRAWN, {"params": {"body": {"kernel": np.zeros((2, 3))}}})
    with pytest.raises(ValueError, match=r"params/body/kernel is \[3, 2\] in the weights and \[2, 3\] in the model"):
        fill(DRAWN, {"params": {"body": {"kernel": np.zeros((3, 2))}}}, fresh=["head"])


def test_weights_of_another_model_are_refused(tmp_path):
    save_file({"encoder.weight": np.ones(3, np.float32)}, tmp_path / "w.safetensors")
    start = published(tmp_path / "w.safetensors", gpt(5))
    with pytest.raises(ValueError, match=r"w.safetensors has no tensor 'transformer.wte.weight'"):
        start(DRAWN)


@pytest.mark.parametrize(
    ("model", "deeper"),
    [
        (gpt(5, depth=2), "transformer.h.2.ln_1.weight"),
        (BERT(depth=2), "bert.encoder.layer.2.output.dense.weight"),
        (distilbert(), "distilbert.transformer.layer.6.ffn.lin1.bias"),
        (ResNet(5, (1,)), "layer1.1.conv1.weight"),
        (VGG(5, 11), "features.27.weight"),
        (vit("tiny"), "blocks.12.attn.qkv.bias"),
    ],
)
def test_weights_of_a_deeper_model_are_refused(model, deeper):
    with pytest.raises(ValueError, match="the weights have more layers than the model: "):
        variables_of(model, {deeper: np.ones(1)})
