"""PyTorch, eager and tuned (fused Adam, channels last), and the same under Lightning."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.inputs import Shuffle, Weights
from benchmarks.workloads import LEARNING_RATE, Workload, blocks


def tensor(a: np.ndarray) -> torch.Tensor:
    """Return a tensor of a NumPy array's numbers."""
    return torch.from_numpy(np.ascontiguousarray(a))


def linear(weights: Weights, name: str) -> nn.Linear:
    """Return a layer with the given weights."""
    kernel = weights[f"{name}.kernel"]
    layer = nn.Linear(*kernel.shape)
    layer.weight.data, layer.bias.data = tensor(kernel.T), tensor(weights[f"{name}.bias"])
    return layer


def convolution(weights: Weights, name: str, stride: int = 1) -> nn.Conv2d:
    """Return a 3-wide convolution with the given weights, and a bias where there is one."""
    kernel, bias = weights[f"{name}.kernel"], weights.get(f"{name}.bias")
    layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, stride, 1, bias=bias is not None)
    layer.weight.data = tensor(kernel.transpose(3, 2, 0, 1))
    if bias is not None:
        layer.bias.data = tensor(bias)
    return layer


class LSTM(nn.Module):
    """Embedding, LSTM, head; the second bias that torch has is frozen at zero."""

    def __init__(self, work: Workload, weights: Weights):
        super().__init__()
        _, embedding, width, _ = work.sizes
        self.embed = nn.Embedding.from_pretrained(tensor(weights["embed"]), freeze=False)
        self.lstm = nn.LSTM(embedding, width, work.depth, batch_first=True)
        with torch.no_grad():
            for i in range(work.depth):
                for name, part in (("weight_ih", "kernel"), ("weight_hh", "recurrent"), ("bias_ih", "bias")):
                    getattr(self.lstm, f"{name}_l{i}").copy_(tensor(weights[f"lstm{i}.{part}"].T))
                getattr(self.lstm, f"bias_hh_l{i}").zero_().requires_grad_(False)
        self.head = linear(weights, "head")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.head(self.lstm(self.embed(x))[0])


class Residual(nn.Module):
    """Two convolutions beside a shortcut that is thinned and padded with zeros where shapes change."""

    def __init__(self, weights: Weights, name: str, before: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = convolution(weights, f"{name}.conv1", stride), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = convolution(weights, f"{name}.conv2"), nn.BatchNorm2d(width)
        self.more, self.stride = width - before, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, C, H, W]."""
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        if self.more:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return functional.relu(x + y)


class Block(nn.Module):
    """Pre-norm attention and two-layer net."""

    def __init__(self, work: Workload, weights: Weights, i: int):
        super().__init__()
        width, self.heads = work.sizes[1], work.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        qkv = [linear(weights, f"{i}.{part}") for part in ("query", "key", "value")]
        self.qkv = nn.Linear(width, 3 * width)
        self.qkv.weight.data = torch.cat([part.weight.data for part in qkv])
        self.qkv.bias.data = torch.cat([part.bias.data for part in qkv])
        self.out, self.up, self.down = (linear(weights, f"{i}.{part}") for part in ("out", "up", "down"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, T, D]."""
        batch, time, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(found.transpose(1, 2).reshape(batch, time, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    """Blocks between embedding and head."""

    def __init__(self, work: Workload, weights: Weights):
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(tensor(weights["embed"]), freeze=False)
        self.positions = nn.Parameter(tensor(weights["positions"]))
        self.blocks = nn.Sequential(*(Block(work, weights, i) for i in range(work.depth)))
        self.norm, self.head = nn.LayerNorm(work.sizes[1]), linear(weights, "head")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.head(self.norm(self.blocks(self.embed(x) + self.positions)))


class HeightWidthChannels(nn.Module):
    """Flatten in the order of the other contenders, so that the dense weights mean the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, H * W * C] of [B, C, H, W]."""
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


def model(work: Workload, weights: Weights) -> nn.Module:
    """Return the network."""
    if work.kind == "mlp":
        layers: list[nn.Module] = []
        for i in range(len(work.sizes) - 1):
            layers += [linear(weights, f"dense{i}"), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
    if work.kind == "cnn":
        layers = []
        for i in range(2):
            layers += [convolution(weights, f"conv{i}"), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(
            *layers, HeightWidthChannels(), linear(weights, "dense0"), nn.ReLU(), linear(weights, "dense1")
        )
    if work.kind == "resnet":
        first = work.sizes[0]
        every = [Residual(weights, *block) for block in blocks(work)]
        last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(weights, "head")]
        return nn.Sequential(convolution(weights, "stem"), nn.BatchNorm2d(first), nn.ReLU(), *every, *last)
    return LSTM(work, weights) if work.kind == "lstm" else GPT(work, weights)


def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean loss."""
    if y.dtype == torch.float32:
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], y)
    return functional.cross_entropy(outputs.flatten(0, -2), y.flatten())


class Loop:
    """The plain loop."""

    def __init__(self, work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray, tuned: bool):
        self.model, self.shuffle = model(work, weights), Shuffle(work.batch)
        x = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
        self.x, self.y = tensor(x.astype(np.int64) if x.dtype == np.int32 else x), tensor(y)
        self.y = self.y.long() if y.dtype == np.int32 else self.y
        if tuned and x.ndim == 4:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        live = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(live, LEARNING_RATE, fused=tuned or None)

    def losses(self, order: np.ndarray) -> list[float]:
        """Train on these rows and return the loss of each step."""
        return [self._one(rows).item() for rows in order]

    def run(self, steps: int) -> None:
        """Train so many steps."""
        for _ in range(steps):
            self._one(self.shuffle())

    def _one(self, rows: np.ndarray) -> torch.Tensor:
        at = torch.from_numpy(rows)
        self.optimizer.zero_grad(set_to_none=True)
        value = loss(self.model(self.x[at]), self.y[at])
        value.backward()
        self.optimizer.step()
        return value


class Lightning(Loop):
    """The same model under a Trainer with logging, bars and checkpoints turned off."""

    def run(self, steps: int) -> None:
        """Fit so many steps."""
        import lightning

        outer = self

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.model = outer.model

            def training_step(self, batch: Any, index: int) -> torch.Tensor:
                return loss(self.model(batch[0]), batch[1])

            def configure_optimizers(self) -> Any:
                return outer.optimizer

        class Rows(torch.utils.data.IterableDataset):
            def __iter__(self) -> Any:
                while True:
                    at = torch.from_numpy(outer.shuffle())
                    yield outer.x[at], outer.y[at]

        quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing"), False)
        trainer = lightning.Trainer(
            max_steps=steps, accelerator="cpu", enable_model_summary=False, barebones=False, **quiet
        )
        trainer.fit(Module(), torch.utils.data.DataLoader(Rows(), batch_size=None))
