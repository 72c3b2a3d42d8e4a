"""Texts with some of their tokens hidden, to be restored: what BERT learns from. Paper: Devlin et al., 2018.

Shape legend: B batch, T time (tokens).
"""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core import data_axis
from fdl.core.types import Array, Batch
from fdl.data.dataset import Augment, Dataset, Source, Spec, columns, dataset_of
from fdl.data.modalities.text import clean, known
from fdl.data.records import Records
from fdl.data.tokenizer import NUM_SPECIAL_TOKENS, UNKNOWN, Tokenizer, padded


def masked(records: Records, tokenizer: Tokenizer, *, column: str, length: int, share: float = 0.15) -> Dataset:
    """Return texts of which some tokens are hidden: inputs `{"inputs": i32[B, T], "lengths": i32[B]}`.

    Targets i32[B, T] are the tokens as they were, weights f32[B, T] are 1 where one was chosen. Training hides others
    at each step, on the device; what evaluation hides is the same each time.
    """
    augment = hide(tokenizer.size, share=share)

    @cache
    def load(split: str) -> Source:
        tokens, lengths = padded([tokenizer.encode(text) for text in clean(records, split, column)], length)
        batch = Batch({"inputs": tokens, "lengths": lengths}, tokens, (tokens >= NUM_SPECIAL_TOKENS).astype(np.float32))
        if split != "train":
            batch = jax.tree.map(np.asarray, augment(jax.random.key(0), batch))
        return columns(batch.inputs, batch.targets, np.asarray(batch.weights))

    row = jax.ShapeDtypeStruct((length,), np.int32)
    spec = Spec(
        inputs={"inputs": row, "lengths": jax.ShapeDtypeStruct((), np.int32)},
        targets=row,
        weights=(length,),
        sizes=records.sizes,
        classes=tokenizer.size,
        vocabulary=tokenizer.size,
    )
    return dataset_of(
        replace(records, name=f"masked_{records.name}"),
        spec,
        lambda split: load(known(records, split)),
        {"tokens": tokenizer.fitted, "length": length},
        augment=augment,
        tokenizer=tokenizer,
    )


def hide(vocabulary: int, *, share: float = 0.15) -> Augment:
    """Return the augmentation that chooses `share` of each example's tokens of weight, at least one, to be restored.

    Of the chosen, 80 % are UNKNOWN to the model, 10 % another token below `vocabulary` and 10 % what they were.
    """

    def one(key: jax.Array, tokens: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        place, kind, other = jax.random.split(key, 3)
        counts = weights > 0
        most = jnp.maximum(1, jnp.round(share * counts.sum()))
        lots = jnp.where(counts, jax.random.uniform(place, tokens.shape), 2)
        chosen = counts & (jnp.argsort(jnp.argsort(lots)) < most)
        says = jax.random.uniform(kind, tokens.shape)
        another = jax.random.randint(other, tokens.shape, NUM_SPECIAL_TOKENS, vocabulary)
        shown = jnp.where(says < 0.8, UNKNOWN, jnp.where(says < 0.9, another, tokens))
        return jnp.where(chosen, shown, tokens), weights * chosen

    def augment(key: Array, batch: Batch) -> Batch:
        keys = data_axis.row_keys(key, len(batch.targets))
        hidden, weights = jax.vmap(one)(keys, jnp.asarray(batch.targets), jnp.asarray(batch.weights))
        return batch._replace(inputs={**batch.inputs, "inputs": hidden}, weights=weights)

    return augment
