"""Parity: the same weights give the same outputs as the library they were published for (extra `parity`).

No download: small models are drawn here and saved as their library saves them. The weights that fdl writes back are
read by the library again. `pip install fdl[parity]`, then `pytest tests/models/test_parity.py`.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import random_variables
from fdl.models import BERT, VGG, AlexNet, MaskedLM, ResNet, SequenceClassifier, TokenClassifier, ViT, gpt
from fdl.models.pretrained import fill
from fdl.models.published.convert import tensors_of, variables_of
from fdl.models.published.weight_files import read_tensors

torch = pytest.importorskip("torch")

LENGTHS = np.array([7, 4])
TOKENS = np.random.default_rng(0).integers(2, 50, (2, 7))
MASK = np.arange(7)[None] < LENGTHS[:, None]
TYPES = (np.arange(7)[None] > 2).astype(np.int32) * np.ones((2, 1), np.int32)
SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
WIDE = {"width": 16, "depth": 2, "heads": 4}


@pytest.fixture(autouse=True)
def float32_products():
    """A TPU would multiply float32 in one bfloat16 pass, and nothing would agree to 1e-4."""
    with jax.default_matmul_precision("highest"):
        yield


def drawn(module, spread=0.2):
    """Draw every tensor anew, far from its initial value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                fan = tensor[0].numel() if tensor.ndim > 1 else 1
                tensor.normal_(0, spread if fan < 100 else fan**-0.5, generator=generator)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
    return module.eval()


@dataclass
class Pair:
    """A library's model and fdl's: how both are saved and called, and how the library reads what fdl writes."""

    ours: Any
    theirs: Any
    library: str
    inputs: tuple[Any, ...]
    called: dict[str, Any]

    def saved(self, folder):
        if self.library == "huggingface":
            self.theirs.save_pretrained(folder)
            return folder
        torch.save(self.theirs.state_dict(), folder / "model.pth", _use_new_zipfile_serialization=False)
        return folder / "model.pth"

    def read_back(self, folder, tensors):
        if self.library == "huggingface":
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
            back, notes = type(self.theirs).from_pretrained(folder, output_loading_info=True)
            assert not notes["missing_keys"], notes
            assert not notes["unexpected_keys"], notes
            return back.eval()
        drawn(self.theirs, 0.01).load_state_dict({name: torch.tensor(tensor) for name, tensor in tensors.items()})
        return self.theirs

    def answer(self, module):
        with torch.no_grad():
            found = module(**self.called) if self.library == "huggingface" else module(*self.called.values())
        found = getattr(found, "logits", getattr(found, "last_hidden_state", found))
        return found.numpy()


def image_pair(ours, theirs, library, side):
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    called = {"pixel_values": torch.tensor(images.transpose(0, 3, 1, 2))}
    return Pair(ours, drawn(theirs), library, (jnp.asarray(images),), called)


def text_pair(ours, theirs, *, types=False):
    inputs = (TOKENS, LENGTHS, TYPES) if types else (TOKENS, LENGTHS)
    called = {"input_ids": torch.tensor(TOKENS), "attention_mask": torch.tensor(MASK.astype(int))}
    if types:
        called["token_type_ids"] = torch.tensor(TYPES)
    return Pair(ours, drawn(theirs), "huggingface", inputs, called)


def encoders(transformers, name):
    """The three encoders of Hugging Face, and fdl's with the same heads."""
    family, head = name.split("-")
    config, own = {
        "bert": (transformers.BertConfig(**SMALL, max_position_embeddings=12, num_labels=3), {}),
        "roberta": (
            transformers.RobertaConfig(
                **SMALL, max_position_embeddings=14, type_vocab_size=1, layer_norm_eps=1e-5, num_labels=3
            ),
            {"types": 1, "epsilon": 1e-5, "first_position": 2},
        ),
        "distilbert": (
            transformers.DistilBertConfig(
                vocab_size=50, dim=16, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=12, num_labels=3
            ),
            {"types": 0, "pooler_activation": "relu"},
        ),
    }[family]
    kind = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}[family]
    theirs, wrap = {
        "masked": ("ForMaskedLM", lambda body: MaskedLM(body.clone(pooler=False))),
        "sequence": ("ForSequenceClassification", lambda body: SequenceClassifier(3, body)),
        "token": ("ForTokenClassification", lambda body: TokenClassifier(3, body.clone(pooler=False))),
    }[head]
    body = BERT(vocabulary=50, context=12, **WIDE, **own)
    return text_pair(wrap(body), getattr(transformers, f"{kind}{theirs}")(config), types=family == "bert")


def vits(library):
    ours = ViT(5, patch=8, width=16, depth=2, heads=4)
    if library == "timm":
        timm = pytest.importorskip("timm")
        shape = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 4, "num_classes": 5}
        return image_pair(ours, timm.models.VisionTransformer(**shape), library, 16)
    if library == "torchvision":
        torchvision = pytest.importorskip("torchvision")
        theirs = torchvision.models.VisionTransformer(16, 8, 2, 4, 16, 64, num_classes=5)
        return image_pair(ours, theirs, library, 16)
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        **{**SMALL, "vocab_size": None}, image_size=16, patch_size=8, num_labels=5, layer_norm_eps=1e-6
    )
    return image_pair(ours, transformers.ViTForImageClassification(config), library, 16)


def resnets(library, bottleneck):
    ours = ResNet(5, (2, 1), width=4, bottleneck=bottleneck)
    if library == "torchvision":
        return image_pair(ours, torch_resnet((2, 1), 4, bottleneck), library, 21)
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4,
        hidden_sizes=[16, 32] if bottleneck else [4, 8],
        depths=[2, 1],
        layer_type="bottleneck" if bottleneck else "basic",
        num_labels=5,
    )
    return image_pair(ours, transformers.ResNetForImageClassification(config), library, 21)


def convolutional(name):
    torchvision = pytest.importorskip("torchvision")
    if name == "alexnet":
        return image_pair(AlexNet(5), torchvision.models.AlexNet(5), "torchvision", 224)
    if name == "vgg-timm":
        timm = pytest.importorskip("timm")
        return image_pair(VGG(5, 11), timm.create_model("vgg11", num_classes=5), "timm", 224)
    theirs = torchvision.models.vgg11_bn(num_classes=5)
    return image_pair(VGG(5, 11, norm="batch"), theirs, "torchvision", 224)


def gpt2_pair():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=4, n_positions=12)
    pair = text_pair(gpt(50, width=16, depth=2, heads=4, context=12), transformers.GPT2LMHeadModel(config))
    pair.inputs, pair.called = (TOKENS,), {"input_ids": torch.tensor(TOKENS)}
    return pair


PAIRS = {
    "gpt2": gpt2_pair,
    **{
        f"{family}-{head}": lambda name=f"{family}-{head}": encoders(pytest.importorskip("transformers"), name)
        for family in ("bert", "roberta", "distilbert")
        for head in ("masked", "sequence", "token")
    },
    **{f"vit-{name}": lambda name=name: vits(name) for name in ("torchvision", "timm", "huggingface")},
    **{
        f"resnet-{name}-{'bottleneck' if wide else 'basic'}": lambda name=name, wide=wide: resnets(name, wide)
        for name in ("torchvision", "huggingface")
        for wide in (False, True)
    },
    **{name: lambda name=name: convolutional(name) for name in ("alexnet", "vgg", "vgg-timm")},
}


@pytest.mark.parametrize("name", PAIRS)
def test_weights_give_the_librarys_outputs_and_are_written_back_to_it(name, tmp_path):
    pair = PAIRS[name]()
    expected = pair.answer(pair.theirs)
    published = variables_of(pair.ours, read_tensors(pair.saved(tmp_path)))
    shapes = jax.eval_shape(lambda: pair.ours.init(jax.random.key(0), *pair.inputs))
    variables = fill(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), published)
    found = np.asarray(jax.jit(pair.ours.apply)(variables, *pair.inputs))
    counts = MASK if found.ndim == 3 and len(pair.inputs) > 1 else np.ones(found.shape[:1], bool)
    assert np.abs(expected[counts]).max() > 0.01
    np.testing.assert_allclose(found[counts], expected[counts], atol=1e-4, rtol=1e-4)

    tensors = tensors_of(pair.ours, variables, pair.library)
    back = pair.answer(pair.read_back(tmp_path, tensors))
    np.testing.assert_allclose(back[counts], expected[counts], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_resnet_trains_as_a_torch_module_does(bottleneck):
    pair = resnets("torchvision", bottleneck)
    tensors = {name: tensor.numpy() for name, tensor in pair.theirs.state_dict().items()}
    variables = fill(random_variables.variables(pair.ours, *pair.inputs), variables_of(pair.ours, tensors))
    expected = pair.answer(pair.theirs.train())
    apply = jax.jit(lambda v, x: pair.ours.apply(v, x, train=True, mutable=["batch_stats"])[0])
    np.testing.assert_allclose(apply(variables, *pair.inputs), expected, atol=1e-4)


def torch_resnet(stages, width, bottleneck):
    """The published net (v1.5) in torch, with torchvision's names."""
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self, entering, width, stride):
            super().__init__()
            layers = [(width, 3, stride), (width, 3, 1)]
            if bottleneck:
                layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
            self.count, before = len(layers), entering
            for i, (channels, kernel, step) in enumerate(layers, 1):
                conv = nn.Conv2d(before, channels, kernel, step, kernel // 2, bias=False)
                self.add_module(f"conv{i}", conv)
                self.add_module(f"bn{i}", nn.BatchNorm2d(channels))
                before = channels
            self.downsample = None
            if stride > 1 or before != entering:
                self.downsample = nn.Sequential(
                    nn.Conv2d(entering, before, 1, stride, bias=False), nn.BatchNorm2d(before)
                )

        def forward(self, x):
            y = x
            for i in range(1, self.count + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                y = y if i == self.count else y.relu()
            return (y + (x if self.downsample is None else self.downsample(x))).relu()

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
            self.pool, before = nn.MaxPool2d(3, 2, 1), width
            for i, blocks in enumerate(stages):
                row = []
                for j in range(blocks):
                    row.append(Block(before, width * 2**i, 2 if i and not j else 1))
                    before = width * 2**i * (4 if bottleneck else 1)
                self.add_module(f"layer{i + 1}", nn.Sequential(*row))
            self.fc = nn.Linear(before, 5)

        def forward(self, x):
            x = self.pool(self.bn1(self.conv1(x)).relu())
            for i in range(len(stages)):
                x = getattr(self, f"layer{i + 1}")(x)
            return self.fc(x.mean(dim=(2, 3)))

    return Net()
