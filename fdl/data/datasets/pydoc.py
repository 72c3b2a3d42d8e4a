"""Python's own help topics as text: some 460 kB that every Python brings along, read byte by byte."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.types import Batch
from fdl.data.dataset import Dataset, Source, Spec
from fdl.data.modalities.windows import disjoint_windows, window_count, windows
from fdl.data.split import pick, split_rows
from fdl.data.tokenizer import plain_bytes

_TELLING = 24  # characters: a line so long that stands twice was copied


def pydoc(length: int = 128, *, seed: int = 0) -> Dataset:
    """Return next-byte windows: inputs and targets i32[B, T] below 256, weights f32[B, T].

    Whole topics are held out for validation and test. Topics quote one another at length, so the training text goes
    without every line that stands in those as well. They differ between Python versions, so sizes do too.
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
        epoch=disjoint_windows(len(texts["train"]), length),
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
    rows = split_rows(len(names), seed=seed)
    lines = {split: [line for i in index for line in topics[names[i]].split("\n")] for split, index in rows.items()}
    held_out = {line.strip() for split in ("validation", "test") for line in lines[split] if len(line) >= _TELLING}
    lines["train"] = [line for line in lines["train"] if line.strip() not in held_out]
    return {split: np.frombuffer("\n".join(some).encode(), np.uint8) for split, some in lines.items()}
