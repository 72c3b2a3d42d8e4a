"""Bits per byte count the bytes of the split that they are of."""

import numpy as np
import pytest

from fdl.data.modalities.text import language
from fdl.data.records import Field, Records
from fdl.data.tokenizer import Tokens

TEXTS = {"train": ["the cat sat on the mat"] * 20, "validation": ["a b c d"] * 4, "test": ["internationalisation!"] * 3}


def records() -> Records:
    return Records(
        name="lines",
        fields={"text": Field(kind="text", dtype=np.dtype(object))},
        sizes={split: len(lines) for split, lines in TEXTS.items()},
        read=lambda split, indices, names: {"text": [TEXTS[split][i] for i in indices]},
    )


@pytest.mark.parametrize("tokens", ["words", "chars", "bytes"])
def test_every_split_has_its_own(tokens):
    data = language(records(), tokens=Tokens(tokens, vocabulary=50, length=4))
    counted = {
        split: sum(len(text.encode()) + 1 for text in lines)
        / sum(len(data.tokenizer.encode(text)) + 1 for text in lines)
        for split, lines in TEXTS.items()
    }
    assert data.fitted["bytes_per_token"] == pytest.approx(counted)
    assert tokens != "words" or counted["test"] > 2 * counted["validation"]
