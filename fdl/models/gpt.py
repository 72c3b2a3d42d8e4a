"""GPT: a decoder-only causal Transformer. Paper: Radford et al., 2019."""

from typing import Literal

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
