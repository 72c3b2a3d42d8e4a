"""BERT, a bidirectional Transformer encoder, and its heads. Paper: Devlin et al., 2018.

Shape legend: B batch, T positions, D width, V vocabulary.
"""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

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
EPSILON = 1e-12

exact_gelu = functools.partial(nn.gelu, approximate=False)


class BERT(nn.Module):
    """The encoder: token, segment and position embeddings, layer normalisation, then post-norm blocks.

    types:  number of segment types (first and second sentence).
    pooler: also return one vector for the whole sequence, from its first position.
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
        x = x + embed(self.types, name="types")(jnp.zeros((1, time), jnp.int32) if types is None else types)
        x = x + embed(self.context, name="positions")(jnp.arange(time)[None])
        x = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, name="norm")(x)
        x = Dropout(self.dropout)(x, train=train)
        block = functools.partial(
            Block,
            self.heads,
            norm_first=False,
            activation=exact_gelu,
            epsilon=EPSILON,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        x = apply_blocks(self, block, len(stack(self.depth)), x, train=train, lengths=lengths)
        if not self.pooler:
            return x, None
        pooled = nn.Dense(self.width, dtype=self.dtype, kernel_init=normal, name="pooler")(x[:, 0])
        return x, jnp.tanh(pooled)


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
        x = nn.LayerNorm(epsilon=EPSILON, dtype=self.bert.dtype, name="norm")(x)
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


def bert_variables(model: BERT, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Convert Hugging Face's BERT tensors to variables, including those heads that the tensors hold.

    The variables are those of a head module whose `bert` is `model`; `["params"]["bert"]` are those of `model` itself.
    """
    # Original TensorFlow checkpoints call the scale gamma and the bias beta.
    renamed = (
        (name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight"), tensor)
        for name, tensor in tensors.items()
    )
    tensors = {name.replace("LayerNorm.beta", "LayerNorm.bias"): tensor for name, tensor in renamed}
    heads, width = model.heads, model.width
    if f"encoder.layer.{model.depth}.output.dense.weight" in tensors:
        raise UserError(f"the weights have more than the model's {model.depth} blocks; choose a larger size")

    def dense(name: str) -> dict[str, np.ndarray]:
        return {"kernel": tensors[f"{name}.weight"].T, "bias": tensors[f"{name}.bias"]}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": tensors[f"{name}.weight"], "bias": tensors[f"{name}.bias"]}

    def block(name: str) -> dict[str, Any]:
        attention: dict[str, Any] = {}
        for part in ("query", "key", "value"):
            layer = dense(f"{name}.attention.self.{part}")
            attention[part] = {
                "kernel": layer["kernel"].reshape(width, heads, -1),
                "bias": layer["bias"].reshape(heads, -1),
            }
        out = dense(f"{name}.attention.output.dense")
        attention["out"] = {"kernel": out["kernel"].reshape(heads, -1, width), "bias": out["bias"]}
        return {
            "attention": attention,
            "attention_norm": norm(f"{name}.attention.output.LayerNorm"),
            "up": dense(f"{name}.intermediate.dense"),
            "down": dense(f"{name}.output.dense"),
            "mlp_norm": norm(f"{name}.output.LayerNorm"),
        }

    encoder: dict[str, Any] = {
        "embed": {"embedding": tensors["embeddings.word_embeddings.weight"]},
        "positions": {"embedding": tensors["embeddings.position_embeddings.weight"]},
        "types": {"embedding": tensors["embeddings.token_type_embeddings.weight"]},
        "norm": norm("embeddings.LayerNorm"),
        **{f"Block_{i}": block(f"encoder.layer.{i}") for i in range(model.depth)},
    }
    if "pooler.dense.weight" in tensors:
        encoder["pooler"] = dense("pooler.dense")
    params: dict[str, Any] = {"bert": encoder}
    if "cls.predictions.bias" in tensors:
        params["transform"] = dense("cls.predictions.transform.dense")
        params["norm"] = norm("cls.predictions.transform.LayerNorm")
        params["bias"] = tensors["cls.predictions.bias"]
    if "classifier.weight" in tensors:
        params["head"] = dense("classifier")
    return {"params": params}
