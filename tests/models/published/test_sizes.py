"""Every published size has the names and shapes that its library gives it (extra `parity`); no memory is taken."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from fdl.models.alexnet import AlexNet
from fdl.models.bert import SIZES as BERTS
from fdl.models.bert import MaskedLM, SequenceClassifier, bert, distilbert, roberta
from fdl.models.gpt import gpt2
from fdl.models.leaf_names import flat_names
from fdl.models.published.convert import layouts_of
from fdl.models.resnet import STAGES, ResNet, resnet
from fdl.models.vgg import VGG
from fdl.models.vit import SIZES as VITS
from fdl.models.vit import ViT, vit

torch = pytest.importorskip("torch")
PICTURES = (AlexNet, ResNet, VGG, ViT)
TWICE = {"lm_head.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}  # the same tensor again


GPT2 = {"small": (768, 12, 12), "medium": (1024, 24, 16), "large": (1280, 36, 20), "xl": (1600, 48, 25)}
MODELS: dict[str, tuple[str, Any, Any]] = {}  # name -> the library, how it makes the model, and ours


def add(name, library, ours, make=None, **how):
    """Note a size by the name of its function in the library, or by how it is made."""

    def of_library():
        module = pytest.importorskip(library)
        return module.create_model(name) if library == "timm" else getattr(module.models, name)()

    def of_hub():
        transformers = pytest.importorskip("transformers")
        config = getattr(transformers, f"{re.split('For|LMHead', make)[0]}Config")
        return getattr(transformers, make)(config(**how))

    MODELS[name] = (library, of_hub if make else of_library, ours)


for depth, stages in STAGES.items():
    add(f"resnet{depth}", "torchvision", resnet(depth))
    wide, kind = (256, "bottleneck") if depth >= 50 else (64, "basic")
    sizes = [wide * 2**i for i in range(4)]
    shape = {"depths": stages, "hidden_sizes": sizes, "layer_type": kind, "num_labels": 1000}
    add(f"resnet-{depth}", "huggingface", resnet(depth), "ResNetForImageClassification", **shape)
for depth in (11, 13, 16, 19):
    add(f"vgg{depth}", "torchvision", VGG(1000, depth))
    add(f"vgg{depth}_bn", "torchvision", VGG(1000, depth, norm="batch"))
add("alexnet", "torchvision", AlexNet(1000))
for letter, size in (("b", "base"), ("l", "large")):
    add(f"vit_{letter}_16", "torchvision", vit(size))
    add(f"vit_{letter}_32", "torchvision", vit(size, patch=32))
for size in VITS:
    add(f"vit_{size}_patch16_224", "timm", vit(size))
for size, (width, depth) in BERTS.items():
    shape = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": width // 64}
    shape["intermediate_size"] = 4 * width
    add(f"bert-{size}", "huggingface", MaskedLM(bert(size, pooler=False)), "BertForMaskedLM", **shape)
    if size in ("base", "large"):
        shape |= {"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1}
        ours = SequenceClassifier(2, roberta(size))
        add(f"roberta-{size}", "huggingface", ours, "RobertaForSequenceClassification", **shape)
add("distilbert", "huggingface", SequenceClassifier(2, distilbert()), "DistilBertForSequenceClassification")
for size, (width, depth, heads) in GPT2.items():
    add(f"gpt2-{size}", "huggingface", gpt2(size), "GPT2LMHeadModel", n_embd=width, n_layer=depth, n_head=heads)


@pytest.mark.parametrize("name", MODELS)
def test_a_published_size_has_the_names_and_shapes_of_its_library(name):
    library, make, ours = MODELS[name]
    inputs = np.zeros((1, 224, 224, 3), np.float32) if isinstance(ours, PICTURES) else np.zeros((1, 4), np.int32)
    with torch.device("meta"):
        theirs = {key: tuple(tensor.shape) for key, tensor in make().state_dict().items()}
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), inputs))
    leaves = flat_names(jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), shapes))
    (layout,) = [one for one in layouts_of(ours) if one.name == library]
    written = {
        entry.name: entry.write(*(leaves[path] for path in entry.paths)).shape
        for entry in layout.entries
        if all(path in leaves for path in entry.paths)
    }
    assert {path for entry in layout.entries for path in entry.paths} >= set(leaves)
    assert written.items() <= theirs.items()
    # What is not written is the same tensor under a second name.
    assert set(theirs) - set(written) <= {
        "lm_head.weight",
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    }
