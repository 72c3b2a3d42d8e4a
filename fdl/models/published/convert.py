"""Published weights of any model that has some: which layouts it has, and conversion from and to them."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.models.alexnet import AlexNet
from fdl.models.bert import BERT, MaskedLM, SequenceClassifier, TokenClassifier
from fdl.models.published import images, texts
from fdl.models.published.layout import Layout
from fdl.models.resnet import ResNet
from fdl.models.transformer import Transformer
from fdl.models.vgg import VGG
from fdl.models.vit import ViT

LAYOUTS: Mapping[type[nn.Module], Callable[[Any], list[Layout]]] = {
    AlexNet: images.alexnet,
    ResNet: images.resnet,
    VGG: images.vgg,
    ViT: images.vit,
    Transformer: texts.gpt2,
    **dict.fromkeys((BERT, MaskedLM, SequenceClassifier, TokenClassifier), texts.encoder),
}


def variables_of(model: nn.Module, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return tensors of torchvision, timm or Hugging Face as variables of a model, by the layout that fits the names.

    Heads that the tensors lack are left out. Raises a KeyError with the name of another missing tensor, and a UserError
    where the weights are of a deeper model.
    """
    # Training on several GPUs puts "module." before every name; TensorFlow calls the scale gamma and the bias beta.
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    for theirs, ours in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        plain = {name.replace(theirs, ours): tensor for name, tensor in plain.items()}
    return max(layouts_of(model), key=lambda layout: layout.count(plain)).variables(plain)


def tensors_of(model: nn.Module, variables: PyTree, library: str) -> dict[str, np.ndarray]:
    """Return variables of a model as the tensors that a library reads: "torchvision", "timm" or "huggingface"."""
    layouts = {layout.name: layout for layout in layouts_of(model)}
    if library not in layouts:
        raise UserError(f"{library} has no {type(model).__name__}; give --names={' or '.join(layouts)}")
    return layouts[library].tensors(variables)


def layouts_of(model: nn.Module) -> list[Layout]:
    """Return the layouts that a model is published in; raise a UserError where nobody publishes it."""
    if type(model) not in LAYOUTS:
        raise UserError(
            f"{type(model).__name__} has no published names; leave out --names: weights by path are read as well"
        )
    return LAYOUTS[type(model)](model)
