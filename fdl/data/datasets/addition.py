"""Sums of two numbers as text pairs: arithmetic as sequence to sequence."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from fdl.core.errors import UserError
from fdl.data.records import Field, Records
from fdl.data.split import pick

SIZES = {"train": 50_000, "validation": 1_000, "test": 5_000}


def addition(digits: int = 3, *, aligned: bool = True, sizes: Mapping[str, int] = SIZES, seed: int = 0) -> Records:
    """Return records with a `sum` to read and its `answer` to write.

    aligned: one number below the other and units first, as is taught at school: "75 48 03" and "2340". Each digit then
             hangs on one column and a carry. Else "047+385" and "0432".
    No sum is in two splits, nor twice in one, but 385+047 may be where 047+385 is not.
    """
    if not 2 <= digits <= 9 or 100**digits < 2 * sum(sizes.values()):
        raise UserError(f"digits {digits} has not twice the {sum(sizes.values())} sums wanted; give 3 to 9")

    @cache
    def rows() -> dict[str, dict[str, list[str]]]:
        found = np.unique(np.random.default_rng(seed).integers(0, 100**digits, 2 * sum(sizes.values())))
        found = np.random.default_rng(seed + 1).permutation(found)
        ends = np.cumsum(list(sizes.values()))
        return {
            split: _written(found[end - size : end], digits, aligned)
            for (split, size), end in zip(sizes.items(), ends, strict=True)
        }

    return Records(
        name="addition",
        fields={"sum": Field(kind="text"), "answer": Field(kind="text")},
        sizes=sizes,
        read=lambda split, indices, names: {name: [pick(rows(), split)[name][i] for i in indices] for name in names},
        supervised=("sum", "answer"),
        fingerprint=lambda: f"addition {digits} {aligned} {sizes} {seed}",
    )


def _written(found: np.ndarray, digits: int, aligned: bool) -> dict[str, list[str]]:
    pairs = [divmod(number, 10**digits) for number in found.tolist()]
    terms = [(f"{a:0{digits}}", f"{b:0{digits}}") for a, b in pairs]
    answers = [f"{a + b:0{digits + 1}}" for a, b in pairs]
    if not aligned:
        return {"sum": [f"{a}+{b}" for a, b in terms], "answer": answers}
    columns = [" ".join(map("".join, zip(a[::-1], b[::-1], strict=True))) for a, b in terms]
    return {"sum": columns, "answer": [answer[::-1] for answer in answers]}
