"""Python's own help topics as text: some 460 kB that every Python brings along, read byte by byte."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data.bundled import pick
from fdl.data.source import Dataset, Source, Spec, window_count, windows
from fdl.data.split import split_rows
from fdl.data.tokens import plain_bytes
from fdl.types import Batch


def pydoc(length: int = 128, *, seed: int = 0) -> Dataset:
    """Return next-byte windows: inputs and targets i32[B, T] below 256, weights f32[B, T].

    Whole topics are held out for validation and test. The topics differ between Python versions, so sizes do too.
    """
    texts = _texts(seed)
    strides = {name: 1 if name == "train" else length for name in texts}

    def load(split: str) -> Source:
        return windows(pick(texts, split), length, stride=strides[split])

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((length,), np.uint8),
        targets=jax.ShapeDtypeStruct((length,), np.uint8),
        weights=(length,),
        sizes={name: window_count(len(text), length, strides[name]) for name, text in texts.items()},
        classes=256,
        vocabulary=256,
    )
    return Dataset(name="pydoc", spec=spec, load=load, transform=bytes_to_tokens, tokenizer=plain_bytes())


def bytes_to_tokens(batch: Batch) -> Batch:
    """Widen bytes to i32 tokens on the device, after they crossed to it as bytes."""
    return batch._replace(inputs=batch.inputs.astype(jnp.int32), targets=batch.targets.astype(jnp.int32))


@cache
def _texts(seed: int) -> dict[str, np.ndarray]:
    from pydoc_data.topics import topics

    names = sorted(topics)

    def joined(index: np.ndarray) -> np.ndarray:
        return np.frombuffer("\n".join(topics[names[i]] for i in index).encode(), np.uint8)

    return {split: joined(index) for split, index in split_rows(len(names), seed=seed).items()}
