"""A batch that is split over devices stays split: no device computes the rows of another."""

import jax
import numpy as np
import pytest
from jax import ShapeDtypeStruct as Shape

import tiny
from fdl import models
from fdl.core import steps
from fdl.data.dataset import Dataset, Spec, columns
from fdl.engine.placement import make_executor
from fdl.engine.program import step_of
from fdl.experiment import Experiment
from fdl.profiling import hlo
from fdl.tasks import classify, masked_token, next_token, seq2seq

B, T, V, W = 28, 5, 64, 32  # 7 rows a device of four: no other number here is a multiple of 7


def tokens(inputs, targets_of=()):
    """A dataset of made-up rows in these shapes, of which only shapes are looked at."""
    spec = Spec(
        inputs=inputs,
        targets=Shape(targets_of, np.int32),
        sizes=dict.fromkeys(("train", "validation", "test"), B),
        weights=targets_of,
        classes=V,
        vocabulary=V,
    )
    zeros = lambda s: np.zeros((B, *s.shape), s.dtype)  # noqa: E731
    source = columns(jax.tree.map(zeros, inputs), zeros(spec.targets), np.ones((B, *targets_of), np.float32))
    return Dataset(name="made up", spec=spec, load=lambda split: source)


TEXT = Shape((T,), np.int32)
IMAGE = Shape((8, 8, 3), np.float32)
PAIR = {"sources": TEXT, "decoder_inputs": TEXT}
FAMILIES = {
    "mlp": (models.MLP(V, (W, W)), tokens(Shape((W,), np.float32)), classify(V)),
    "cnn": (models.cifar_resnet(8, V), tokens(IMAGE), classify(V)),
    "lstm": (models.RNN(V, V, W, return_sequences=True), tokens(TEXT, (T,)), next_token()),
    "gru": (models.RNN(V, V, W, cell="gru", depth=2), tokens(TEXT), classify(V)),
    "gpt": (models.gpt(V, width=W, depth=2, heads=4, context=T), tokens(TEXT, (T,)), next_token()),
    "bert": (
        models.MaskedLM(models.BERT(V, W, 2, 4, T, pooler=False, dropout=0.0)),
        tokens(TEXT, (T,)),
        masked_token(),
    ),
    "vit": (models.ViT(V, patch=4, width=W, depth=2, heads=4), tokens(IMAGE), classify(V)),
    "seq2seq": (models.Seq2SeqTransformer(V, V, W, 1, context=T), tokens(PAIR, (T,)), seq2seq()),
    "seq2seq gru": (models.Seq2SeqRNN(V, V, W, 1), tokens(PAIR, (T,)), seq2seq()),
}


def compiled(made: Experiment):
    executor, step = make_executor(made), steps.fuse(step_of(made))
    chunk = jax.tree.map(lambda x: Shape((1, *x.shape), x.dtype), made.dataset.raw_shapes(made.batch_size))
    return executor.lower(step, *executor.shapes(made.abstract(), chunk)).compile()


def rows_of_others(text: str, own: int) -> list[str]:
    """The products that have a dimension of more rows than a device's own."""
    found = []
    for product in hlo.products(hlo.operations(text)):
        for _, sides in hlo.arrays(f"{product.shape} {product.operands.split('metadata')[0]}"):
            if any(side % (2 * own) == 0 for side in sides):
                found.append(f"{product.opcode} {product.shape} {product.source}")
    return found


@pytest.mark.parametrize("shape", [{"data": 2, "fsdp": 2}, {"fsdp": 4}, {"data": 2, "model": 2}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_device_computes_its_own_rows_alone(family, shape, monkeypatch):
    monkeypatch.setenv("FDL_KERNELS", "reference")
    monkeypatch.setattr("fdl.engine.placement.find", lambda accelerator: jax.devices()[:4])
    model, data, task = FAMILIES[family]
    made = tiny.experiment(model=model, dataset=data, task=task, batch_size=B, mesh=shape)
    text = compiled(made).as_text()
    assert hlo.products(hlo.operations(text))
    assert not rows_of_others(text, B // (4 // shape.get("model", 1)))


def test_micro_batches_are_split_too(monkeypatch):
    monkeypatch.setenv("FDL_KERNELS", "reference")
    monkeypatch.setattr("fdl.engine.placement.find", lambda accelerator: jax.devices()[:4])
    model, data, task = FAMILIES["gpt"]
    made = tiny.experiment(
        model=model, dataset=data, task=task, batch_size=B, accumulate=7, mesh={"data": 2, "fsdp": 2}
    )
    # one row a device and micro-batch: a product of several would have a dimension of 2 or 4 times 5 positions
    for product in hlo.products(hlo.operations(compiled(made).as_text())):
        assert not any(side in (2 * T, 4 * T) for _, sides in hlo.arrays(product.shape) for side in sides)
