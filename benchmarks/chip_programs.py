"""The programs that `benchmarks.chips` compiles for chips that are not here, and what each must keep to.

Where a page's data would have to be prepared, zeros in its shapes stand in: only shapes reach a compiler.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

GIB = 2**30
SPLASH, CUDNN, BACKWARD = "tpu_custom_call", "__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"


@dataclass(frozen=True)
class Program:
    """An experiment and the chips it is compiled for.

    make: gives the Experiment. chips: names of `fdl.parallel.targets` -> the most bytes it may take there.
    kernels: fused kernels that must be in it, by chip. evaluation: compile that instead of training.
    forms: of kernels, as the flag `--kernels` takes them.
    """

    name: str
    make: Callable[[], Any]
    chips: Mapping[str, int]
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evaluation: bool = False
    forms: str = ""


def images(page: str, shape: tuple[int, ...], classes: int, count: int, **knobs: Any) -> Any:
    """Return a page's experiment on made-up bytes of this shape, changed on the device as its own data would be."""
    import importlib

    import jax
    import numpy as np

    import fdl
    from fdl.data import augment, pixels
    from fdl.data.dataset import Dataset, Spec, columns

    spec = Spec(
        inputs=jax.ShapeDtypeStruct(shape, np.uint8),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=dict.fromkeys(("train", "validation", "test"), count),
        classes=classes,
    )
    zeros = columns(np.zeros((count, *shape), np.uint8), np.zeros(count, np.int32))
    data = Dataset(
        name="made up",
        spec=spec,
        load=lambda split: zeros,
        transform=pixels.center_bytes,
        augment=augment.augment_images(shift=0.125, flip=shape[-1] == 3),
    )
    home = page.partition("_")[0]
    if home == "imagenet":  # which makes up images of its own where none are named
        return replace(fdl.load(page, **knobs), dataset=data)
    module = importlib.import_module(f"fdl.data.datasets.{home}")
    real = getattr(module, home)
    setattr(module, home, lambda *args, **kwargs: data)
    try:
        return fdl.load(page, **knobs)
    finally:
        setattr(module, home, real)


def page(name: str, precision: str = "", depth: int = 0, mesh: Mapping[str, int] | None = None, **knobs: Any) -> Any:
    """Return a page's experiment, in 16 bits, with so many blocks, or on a mesh where asked."""
    import jax.numpy as jnp

    import fdl
    from fdl.engine.options import apply_options

    made = fdl.load(name, **knobs)
    model = made.model
    if hasattr(model, "bert"):  # whose heads have neither blocks nor a dtype of their own
        encoder = model.bert.clone(depth=depth or model.bert.depth, dtype=jnp.dtype(precision) if precision else None)
        model, precision = model.clone(bert=encoder), ""
    elif depth:
        model = model.clone(depth=depth)
    made = replace(made, model=model, mesh=dict(mesh or {}), steps_per_call=1)
    return apply_options(made, precision=precision or None)


def photographs(model: str, batch: int) -> Any:
    """Return ResNet-50 or ViT-B/16 on streamed bytes of 224 x 224 x 3, in bfloat16."""
    from fdl.engine.options import apply_options
    from fdl.models import ViT

    made = images("imagenet_resnet", (224, 224, 3), 1000, 1200, batch_size=batch)
    made = replace(made, feed="streamed", steps_per_call=1, model=ViT(1000) if model == "vit" else made.model)
    return apply_options(made, precision="bfloat16")


def translation() -> Any:
    """Return wmt_transformer's experiment on made-up pairs of its shapes, in bfloat16."""
    import jax
    import numpy as np

    from fdl import optim
    from fdl.data.dataset import Dataset, Spec, columns
    from fdl.engine.options import apply_options
    from fdl.experiment import Experiment
    from fdl.models import Seq2SeqTransformer
    from fdl.tasks import seq2seq

    length, vocabulary, count = 64, 16384, 4096
    model = Seq2SeqTransformer(vocabulary, vocabulary, width=512, depth=6, heads=8, context=length, dropout=0.1)
    names = [name for name in ("sources", "written", "decoder_inputs") if name in _arguments(model)]
    inputs = {name: jax.ShapeDtypeStruct((length,), np.int32) for name in names}
    inputs["source_lengths"] = jax.ShapeDtypeStruct((), np.int32)
    spec = Spec(
        inputs=inputs,
        targets=jax.ShapeDtypeStruct((length,), np.int32),
        weights=(length,),
        sizes=dict.fromkeys(("train", "validation", "test"), count),
        classes=vocabulary,
        vocabulary=vocabulary,
    )
    rows = jax.tree.map(lambda x: np.zeros((count, *x.shape), x.dtype), inputs)
    source = columns(rows, np.zeros((count, length), np.int32), np.zeros((count, length), np.float32))
    made = Experiment(
        model=model,
        dataset=Dataset(name="made up", spec=spec, load=lambda split: source),
        task=seq2seq(),
        optimizer=optim.adamw(optim.warmup_cosine(5e-4, 1000, warmup=0.04), b2=0.98),
        batch_size=128,
        steps=1000,
        steps_per_call=1,
        name="wmt_transformer",
    )
    return apply_options(made, precision="bfloat16")


def _arguments(model: Any) -> Mapping[str, Any]:
    import inspect

    return inspect.signature(type(model).__call__).parameters


V5E, V5E4, V6E4, H100 = "tpu-v5e-1", "tpu-v5e-4", "tpu-v6e-4", "h100"
small = partial(page, "gpt2", "bfloat16", dropout=0.0)
PROGRAMS = (
    Program("digits_cnn", partial(page, "digits_cnn"), {V5E: GIB // 4, H100: GIB // 4}),
    Program("mnist_cnn", partial(images, "mnist_cnn", (28, 28, 1), 10, 54_000), {V5E: GIB, H100: GIB}),
    Program("cifar10_resnet", partial(images, "cifar10_resnet", (32, 32, 3), 10, 45_000), {V5E: GIB, H100: GIB}),
    Program(
        "cifar10_resnet, evaluation",
        partial(images, "cifar10_resnet", (32, 32, 3), 10, 10_000),
        {V5E: GIB // 4, H100: GIB},
        evaluation=True,
    ),
    Program("pydoc_lstm", partial(page, "pydoc_lstm"), {V5E: GIB // 4, H100: GIB // 4}),
    Program(
        "gpt2 small, 1 block, b8",
        partial(small, depth=1),
        {V5E: int(1.9 * GIB)},
        {V5E: (SPLASH,)},
    ),
    Program(
        "gpt2 small, 2 blocks, b8",
        partial(small, depth=2),
        {V5E: int(2.2 * GIB)},
        {V5E: (SPLASH,)},
    ),
    Program(
        "gpt2 small, 12 blocks as one loop, b8",
        small,
        {V5E: 10 * GIB},
        {V5E: (SPLASH,)},
        forms="block_scan=custom",
    ),
    Program("gpt2 small, b8", small, {H100: 6 * GIB}, {H100: (CUDNN, BACKWARD)}),
    Program("gpt2 small, b64", partial(small, batch_size=64), {H100: 40 * GIB}, {H100: (CUDNN, BACKWARD)}),
    Program(
        "bert base, T 512, b32",
        partial(page, "bert", "bfloat16", length=512),
        {H100: 16 * GIB},
        {H100: (CUDNN, BACKWARD)},
    ),
    Program(
        "bert base, 2 blocks, T 512, b32",
        partial(page, "bert", "bfloat16", depth=2, length=512),
        {V5E: 4 * GIB},
        {V5E: (SPLASH,)},
    ),
    Program("wmt_transformer, b128", translation, {H100: 12 * GIB}),
    Program("vit-b16, b128", partial(photographs, "vit", 128), {H100: 24 * GIB}, {H100: (CUDNN, BACKWARD)}),
    Program("resnet50, b128", partial(photographs, "resnet", 128), {H100: 16 * GIB, V5E: 12 * GIB}),
    Program("pydoc_gpt, data 4", partial(page, "pydoc_gpt", mesh={"data": 4}), {V6E4: GIB // 4}),
    Program("pydoc_gpt, data 2 fsdp 2", partial(page, "pydoc_gpt", mesh={"data": 2, "fsdp": 2}), {V5E4: GIB // 4}),
    Program("pydoc_gpt, data 2 model 2", partial(page, "pydoc_gpt", mesh={"data": 2, "model": 2}), {V5E4: GIB // 4}),
)
