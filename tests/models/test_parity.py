"""Parity: the same weights give the same outputs as the library they were published for (extra `parity`).

No download: small models are drawn here. `pip install fdl[parity]`, then `pytest tests/models/test_parity.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import random_variables
from fdl.models import BERT, MaskedLM, ResNet, SequenceClassifier, TokenClassifier, gpt
from fdl.models.bert import bert_variables
from fdl.models.gpt import gpt2_variables
from fdl.models.pretrained import fill
from fdl.models.resnet import resnet_variables
from fdl.models.weight_files import read_tensors

torch = pytest.importorskip("torch")

LENGTHS = np.array([7, 4])
TOKENS = np.random.default_rng(0).integers(0, 50, (2, 7))
MASK = np.arange(7)[None] < LENGTHS[:, None]


def saved(module, path):
    """Draw every tensor anew, far from its initial value, save them, and return them read back."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.normal_(0, 0.2, generator=generator)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
    kept = {name: tensor.clone().contiguous() for name, tensor in module.state_dict().items()}
    save_file(kept, path)
    return read_tensors(path)


def bert_config(transformers, **more):
    return transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=12,
        **more,
    )


def small_bert(*, pooler):
    return BERT(vocabulary=50, width=16, depth=2, heads=4, context=12, pooler=pooler)


@pytest.fixture(autouse=True)
def float32_products():
    """A TPU would multiply float32 in one bfloat16 pass, and nothing would agree to 1e-4."""
    with jax.default_matmul_precision("highest"):
        yield


def test_gpt2_equals_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=4, n_positions=12)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = gpt(50, width=16, depth=2, heads=4, context=12)
    tensors = saved(theirs, tmp_path / "gpt2.safetensors")
    variables = fill(random_variables.variables(ours, TOKENS), gpt2_variables(ours, tensors))
    with torch.no_grad():
        expected = theirs(torch.tensor(TOKENS)).logits.numpy()
    np.testing.assert_allclose(jax.jit(ours.apply)(variables, TOKENS), expected, atol=1e-4)


@pytest.mark.parametrize("head", ["pooler", "masked", "sequence", "token"])
def test_bert_equals_transformers(head, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs, ours = {
        "pooler": (transformers.BertModel, small_bert(pooler=True)),
        "masked": (transformers.BertForMaskedLM, MaskedLM(small_bert(pooler=False))),
        "sequence": (transformers.BertForSequenceClassification, SequenceClassifier(3, small_bert(pooler=True))),
        "token": (transformers.BertForTokenClassification, TokenClassifier(3, small_bert(pooler=False))),
    }[head]
    theirs = theirs(bert_config(transformers, num_labels=3)).eval()
    encoder = ours if head == "pooler" else ours.bert
    types = (np.arange(7)[None] > 2).astype(np.int32) * np.ones((2, 1), np.int32)
    published = bert_variables(encoder, saved(theirs, tmp_path / "bert.safetensors"))
    if head == "pooler":
        published = {"params": published["params"]["bert"]}
    variables = fill(random_variables.variables(ours, TOKENS, LENGTHS, types), published)
    with torch.no_grad():
        expected = theirs(
            torch.tensor(TOKENS), attention_mask=torch.tensor(MASK.astype(int)), token_type_ids=torch.tensor(types)
        )
    outputs = jax.jit(ours.apply)(variables, TOKENS, LENGTHS, types)
    if head == "pooler":
        np.testing.assert_allclose(outputs[1], expected.pooler_output.numpy(), atol=1e-4)
        outputs, expected = outputs[0], expected.last_hidden_state
    else:
        expected = expected.logits
    counts = MASK if outputs.ndim == 3 else np.array([True, True])
    np.testing.assert_allclose(np.asarray(outputs)[counts], expected.numpy()[counts], atol=1e-4)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_resnet_equals_a_torch_module(bottleneck, train, tmp_path):
    theirs = torch_resnet((2, 1), 4, bottleneck)
    ours = ResNet(5, (2, 1), width=4, bottleneck=bottleneck)
    images = np.random.default_rng(1).normal(size=(3, 21, 21, 3)).astype(np.float32)
    published = resnet_variables(ours, saved(theirs, tmp_path / "resnet.safetensors"))
    variables = fill(random_variables.variables(ours, images), published)
    with torch.no_grad():
        expected = theirs.train(train)(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    apply = jax.jit(lambda v, x: ours.apply(v, x, train=train, mutable=["batch_stats"])[0])
    np.testing.assert_allclose(apply(variables, jnp.asarray(images)), expected, atol=1e-4)


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
