"""GPT: a decoder-only causal Transformer. Paper: Radford et al., 2019.

Shape legend: D width, H heads, K head width, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from fdl.core.errors import UserError
from fdl.models.layers import Dtype
from fdl.models.transformer import Transformer

Size = Literal["small", "medium", "large", "xl"]
SIZES = {"small": (768, 12, 12), "medium": (1024, 24, 16), "large": (1280, 36, 20), "xl": (1600, 48, 25)}


def gpt(
    vocabulary: int,
    *,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    context: int = 256,
    positions: Literal["learned", "rotary"] = "learned",
    dropout: float = 0.0,
) -> Transformer:
    """Make a causal language model: next-token logits at every position, the head tied to the embedding."""
    return Transformer(
        vocabulary,
        vocabulary,
        width,
        depth,
        heads,
        context=context,
        causal=True,
        return_sequences=True,
        positions=positions,
        tied=True,
        dropout=dropout,
    )


def gpt2(size: Size = "small", *, dropout: float = 0.0, dtype: Dtype | None = None) -> Transformer:
    """Make GPT-2 in a published size: 124, 355, 774 or 1,558 million parameters."""
    width, depth, heads = SIZES[size]
    return gpt(50_257, width=width, depth=depth, heads=heads, context=1024, dropout=dropout).clone(dtype=dtype)


def gpt2_variables(model: Transformer, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Convert Hugging Face's GPT-2 tensors to the variables of a `gpt`."""
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    width, heads = model.width, model.heads
    if f"h.{model.depth}.ln_1.weight" in tensors:
        raise UserError(f"the weights have more than the model's {model.depth} blocks; choose a larger size")

    def dense(name: str) -> dict[str, np.ndarray]:
        return {"kernel": tensors[f"{name}.weight"], "bias": tensors[f"{name}.bias"]}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": tensors[f"{name}.weight"], "bias": tensors[f"{name}.bias"]}

    def block(name: str) -> dict[str, Any]:
        joint, out = dense(f"{name}.attn.c_attn"), dense(f"{name}.attn.c_proj")
        kernels = np.split(joint["kernel"].reshape(width, 3 * heads, -1), 3, axis=1)
        biases = np.split(joint["bias"].reshape(3 * heads, -1), 3)
        attention: dict[str, Any] = {
            part: {"kernel": kernel, "bias": bias}
            for part, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True)
        }
        attention["out"] = {"kernel": out["kernel"].reshape(heads, -1, width), "bias": out["bias"]}
        return {
            "attention": attention,
            "attention_norm": norm(f"{name}.ln_1"),
            "mlp_norm": norm(f"{name}.ln_2"),
            "up": dense(f"{name}.mlp.c_fc"),
            "down": dense(f"{name}.mlp.c_proj"),
        }

    params = {
        "embed": {"embedding": tensors["wte.weight"]},
        "positions": {"embedding": tensors["wpe.weight"]},
        "norm": norm("ln_f"),
        **{f"Block_{i}": block(f"h.{i}") for i in range(model.depth)},
    }
    return {"params": params}
