"""Parameter counts are the published ones; nothing is allocated to count them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.models import (
    VGG,
    AlexNet,
    MaskedLM,
    SequenceClassifier,
    TokenClassifier,
    ViT,
    bert,
    cifar_resnet,
    distilbert,
    gpt2,
    resnet,
    roberta,
    vit,
)

IMAGE = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
SMALL = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
TOKENS = jax.ShapeDtypeStruct((1, 4), np.int32)

PUBLISHED = [
    (AlexNet(1000), IMAGE, 61_100_840),
    (VGG(1000, 11), IMAGE, 132_863_336),
    (VGG(1000, 13), IMAGE, 133_047_848),
    (VGG(1000, 16), IMAGE, 138_357_544),
    (VGG(1000, 16, norm="batch"), IMAGE, 138_365_992),
    (VGG(1000, 19), IMAGE, 143_667_240),
    (resnet(18), IMAGE, 11_689_512),
    (resnet(34), IMAGE, 21_797_672),
    (resnet(50), IMAGE, 25_557_032),
    (resnet(101), IMAGE, 44_549_160),
    (resnet(152), IMAGE, 60_192_808),
    (cifar_resnet(20), SMALL, 269_722),
    (cifar_resnet(32), SMALL, 464_154),
    (cifar_resnet(56), SMALL, 853_018),
    (cifar_resnet(110), SMALL, 1_727_962),
    (gpt2("small"), TOKENS, 124_439_808),
    (gpt2("medium"), TOKENS, 354_823_168),
    (gpt2("large"), TOKENS, 774_030_080),
    (gpt2("xl"), TOKENS, 1_557_611_200),
    (bert("tiny"), TOKENS, 4_385_920),
    (bert("mini"), TOKENS, 11_170_560),
    (bert("small"), TOKENS, 28_763_648),
    (bert("medium"), TOKENS, 41_373_184),
    (bert("base"), TOKENS, 109_482_240),
    (bert("large"), TOKENS, 335_141_888),
    (MaskedLM(bert("base", pooler=False)), TOKENS, 109_514_298),
    (SequenceClassifier(2, bert("base")), TOKENS, 109_483_778),
    (TokenClassifier(9, bert("base", pooler=False)), TOKENS, 108_898_569),
    (ViT(1000), IMAGE, 86_567_656),
    (vit("tiny"), IMAGE, 5_717_416),
    (vit("small"), IMAGE, 22_050_664),
    (vit("large"), IMAGE, 304_326_632),
    (roberta("base"), TOKENS, 124_645_632),
    (roberta("large"), TOKENS, 355_359_744),
    (SequenceClassifier(2, distilbert()), TOKENS, 66_955_010),
]


@pytest.mark.parametrize(("model", "inputs", "count"), PUBLISHED, ids=[f"{n:,}" for *_, n in PUBLISHED])
def test_parameters_are_as_many_as_published(model, inputs, count):
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), inputs)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == count


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (resnet, "ResNet has no depth 20; choose 18, 34, 50, 101, 152"),
        (cifar_resnet, "6n \\+ 2 layers, not 18; try 14"),
        (lambda depth: jax.eval_shape(VGG(10, 17).init, jax.random.key(0), jnp.ones((1, 32, 32, 3))), "no depth 17"),
    ],
)
def test_an_unpublished_depth_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        model(20 if model is resnet else 18)
