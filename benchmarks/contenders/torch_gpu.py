"""The torch models of the GPU's rows, each with exactly the parameters of fdl's."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


def model(kind: str, sizes: tuple[int, ...]) -> nn.Module:
    """Return the network of a row of `benchmarks.gpu`."""
    if kind == "mlp":
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1])
    if kind == "resnet20":
        return ResNet((3, 3, 3), 16, sizes[-1], bottleneck=False, large=False)
    if kind == "resnet50":
        return ResNet((3, 4, 6, 3), 64, sizes[-1], bottleneck=True, large=True)
    if kind == "lstm":
        return LSTM(*sizes[:3])
    return Encoder(*sizes, causal=kind == "gpt")


class Residual(nn.Module):
    """Two or three convolutions beside a shortcut: projected in a bottleneck, else padded with zeros."""

    def __init__(self, before: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        after = 4 * width if bottleneck else width
        shapes = [(before, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            shapes = [(before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1)]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, s, k // 2, bias=False) for a, b, k, s in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b, _, _ in shapes)
        self.stride, self.more, self.project = stride, after - before, None
        if bottleneck and (self.more or stride > 1):
            self.project = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, C, H, W]."""
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(functional.relu(y) if i else y))
        if self.project is not None:
            x = self.project(x)
        elif self.more:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return functional.relu(x + y)


class ResNet(nn.Sequential):
    """A stem, stages of residual blocks, the mean and a head."""

    def __init__(self, stages: tuple[int, ...], first: int, outputs: int, *, bottleneck: bool, large: bool):
        stem = nn.Conv2d(3, first, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(first), nn.ReLU()]
        if large:
            layers.append(nn.MaxPool2d(3, 2, 1))
        before = first
        for i, blocks in enumerate(stages):
            for j in range(blocks):
                width = first * 2**i
                layers.append(Residual(before, width, 2 if i and not j else 1, bottleneck))
                before = 4 * width if bottleneck else width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))


class LSTM(nn.Module):
    """Embedding, layers of cuDNN's LSTM, head; the second bias that torch has is frozen at zero."""

    def __init__(self, vocabulary: int, width: int, depth: int):
        super().__init__()
        self.embed, self.head = nn.Embedding(vocabulary, width), nn.Linear(width, vocabulary)
        self.lstm = nn.LSTM(width, width, depth, batch_first=True)
        for name, value in self.lstm.named_parameters():
            if name.startswith("bias_hh"):
                value.data.zero_()
                value.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [B, T, V]."""
        return self.head(self.lstm(self.embed(x))[0])


class Encoder(nn.Module):
    """GPT-2, or BERT with its masked-token head; the head is tied to the embedding."""

    def __init__(self, vocabulary: int, width: int, depth: int, heads: int, time: int, *, causal: bool):
        super().__init__()
        self.causal = causal
        self.embed, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(time, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        gelu = nn.GELU(approximate="tanh" if causal else "none")
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, gelu, batch_first=True, norm_first=causal)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        if not causal:
            self.types, self.bias = nn.Embedding(2, width), nn.Parameter(torch.zeros(vocabulary))
            self.transform, self.last = nn.Linear(width, width), nn.LayerNorm(width)
        mask = nn.Transformer.generate_square_subsequent_mask(time) if causal else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [B, T, V]."""
        x = self.embed(x) + self.positions.weight
        if not self.causal:
            x = self.norm(x + self.types.weight[0])
        for block in self.blocks:
            x = block(x, src_mask=self.mask, is_causal=self.causal)
        if self.causal:
            return functional.linear(self.norm(x), self.embed.weight)
        x = self.last(functional.gelu(self.transform(x)))
        return functional.linear(x, self.embed.weight, self.bias)
