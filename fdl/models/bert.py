"""BERT, RoBERTa and DistilBERT, bidirectional Transformer encoders, and their heads.

Papers: Devlin et al., 2018; Liu et al., 2019; Sanh et al., 2019.

Shape legend: B batch, T positions, D width, V vocabulary.
"""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array, TokenLogits
from fdl.models.kernels.block_stack import apply_blocks
from fdl.models.kernels.token_head import token_logits
from fdl.models.layers import Dropout, Dtype, stack
from fdl.models.transformer import Block, masked_mean, normal

Size = Literal["tiny", "mini", "small", "medium", "base", "large"]
SIZES = {
    "tiny": (128, 2),
    "mini": (256, 4),
    "small": (512, 4),
    "medium": (512, 8),
    "base": (768, 12),
    "large": (1024, 24),
}
exact_gelu = functools.partial(nn.gelu, approximate=False)


class BERT(nn.Module):
    """The encoder: token, segment and position embeddings, layer normalisation, then post-norm blocks.

    types:  number of segment types (first and second sentence); 0 has no embedding of them.
    pooler: also return one vector for the whole sequence, from its first position.
    pooler_activation: of this vector.
    first_position: of the first token, in the table of position embeddings; RoBERTa leaves out two.
    """

    vocabulary: int = 30_522
    width: int = 768
    depth: int = 12
    heads: int = 12
    context: int = 512
    types: int = 2
    pooler: bool = True
    dropout: float = 0.1
    dtype: Dtype | None = None
    epsilon: float = 1e-12
    pooler_activation: Literal["tanh", "relu"] = "tanh"
    first_position: int = 0

    @nn.compact
    def __call__(
        self, inputs: Array, lengths: Array | None = None, types: Array | None = None, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array | None]:
        """Return the hidden states [B, T, D] and the pooled vector [B, D], None without a pooler.

        inputs: i32[B, T] tokens; lengths: i32[B], valid tokens per row; types: i32[B, T], segment types, 0 if None.
        """
        time = inputs.shape[1]
        if time > self.context:
            raise UserError(f"{time} positions do not fit context {self.context}; set context={time}")
        embed = functools.partial(nn.Embed, features=self.width, dtype=self.dtype, embedding_init=normal)
        x = embed(self.vocabulary, name="embed")(inputs)
        if self.types:
            x = x + embed(self.types, name="types")(jnp.zeros((1, time), jnp.int32) if types is None else types)
        places = self.first_position + jnp.arange(time)[None]
        x = x + embed(self.first_position + self.context, name="positions")(places)
        x = nn.LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm")(x)
        x = Dropout(self.dropout)(x, train=train)
        block = functools.partial(
            Block,
            self.heads,
            norm_first=False,
            activation=exact_gelu,
            epsilon=self.epsilon,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        x = apply_blocks(self, block, len(stack(self.depth)), x, train=train, lengths=lengths)
        if not self.pooler:
            return x, None
        pooled = nn.Dense(self.width, dtype=self.dtype, kernel_init=normal, name="pooler")(x[:, 0])
        return x, nn.relu(pooled) if self.pooler_activation == "relu" else jnp.tanh(pooled)


class MaskedLM(nn.Module):
    """The masked-language-model head of BERT: token logits at every position (make BERT without a pooler)."""

    bert: BERT

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        lengths: Array | None = None,
        types: Array | None = None,
        *,
        factored: bool = False,
        train: bool = False,
    ) -> jax.Array | TokenLogits:
        """Return logits f32[B, T, V], or if `factored` `TokenLogits`; the other arguments are those of `BERT`."""
        x, _ = self.bert(inputs, lengths, types, train=train)
        x = exact_gelu(nn.Dense(x.shape[-1], dtype=self.bert.dtype, kernel_init=normal, name="transform")(x))
        x = nn.LayerNorm(epsilon=self.bert.epsilon, dtype=self.bert.dtype, name="norm")(x)
        embedding = self.bert.variables["params"]["embed"]["embedding"]
        bias = self.param("bias", nn.initializers.zeros, (self.bert.vocabulary,))
        return token_logits(x, embedding, bias, factored=factored)


class SequenceClassifier(nn.Module):
    """Classify the whole sequence from BERT's pooler, or from the mean over the valid positions.

    mean: use the mean (make BERT without a pooler). Masked-token pretraining trains every position but no pooler, so
          the mean is the better start for fine-tuning such weights.
    """

    outputs: int
    bert: BERT
    mean: bool = False

    @nn.compact
    def __call__(
        self, inputs: Array, lengths: Array | None = None, types: Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Return f32[B, outputs]; the arguments are those of `BERT`."""
        x, pooled = self.bert(inputs, lengths, types, train=train)
        pooled = masked_mean(x, lengths) if self.mean else pooled
        assert pooled is not None, "without the mean, SequenceClassifier needs BERT(pooler=True)"
        pooled = Dropout(self.bert.dropout)(pooled, train=train)
        return nn.Dense(self.outputs, kernel_init=normal, name="head")(pooled)


class TokenClassifier(nn.Module):
    """Classify each token (make BERT without a pooler)."""

    outputs: int
    bert: BERT

    @nn.compact
    def __call__(
        self, inputs: Array, lengths: Array | None = None, types: Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Return f32[B, T, outputs]; the arguments are those of `BERT`."""
        x, _ = self.bert(inputs, lengths, types, train=train)
        return nn.Dense(self.outputs, kernel_init=normal, name="head")(Dropout(self.bert.dropout)(x, train=train))


def bert(size: Size = "base", *, pooler: bool = True, dropout: float = 0.1, dtype: Dtype | None = None) -> BERT:
    """Make BERT (uncased English vocabulary) in a published size, from 4 to 335 million parameters."""
    width, depth = SIZES[size]
    return BERT(width=width, depth=depth, heads=width // 64, pooler=pooler, dropout=dropout, dtype=dtype)


def roberta(size: Size = "base", *, pooler: bool = True, dropout: float = 0.1, dtype: Dtype | None = None) -> BERT:
    """Make RoBERTa, published in the sizes base and large: BERT with another vocabulary and another training."""
    made = bert(size, pooler=pooler, dropout=dropout, dtype=dtype)
    return made.clone(vocabulary=50_265, types=1, epsilon=1e-5, first_position=2)


def distilbert(*, pooler: bool = True, dropout: float = 0.1, dtype: Dtype | None = None) -> BERT:
    """Make DistilBERT: every other block of BERT's base size, without segment types; its pooler has a ReLU."""
    made = bert("base", pooler=pooler, dropout=dropout, dtype=dtype)
    return made.clone(depth=6, types=0, pooler_activation="relu")
