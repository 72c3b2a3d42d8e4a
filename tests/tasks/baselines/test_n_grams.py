import math
from collections import Counter

import numpy as np

from fdl.core.types import Batch
from fdl.tasks import next_token
from fdl.tasks.baselines import n_grams
from fdl.tasks.baselines.n_grams import witten_bell


def by_hand(train: bytes, longest: int, head: bytes, byte: int) -> float:
    chance = 1 / 256
    for length in range(min(longest, len(head) + 1)):
        told = head[len(head) - length :]
        places = range(len(train) - length)
        after = Counter(train[i + length] for i in places if train[i : i + length] == told)
        if after:
            chance = (after[byte] + len(after) * chance) / (after.total() + len(after))
    return chance


def test_a_five_gram_is_its_formula_and_its_chances_add_up_to_one():
    train, test = b"the cat sat on the mat, the rat sat on the cat", b"the hat sat"
    arrays = [np.frombuffer(text, np.uint8)[None].astype(np.int64) for text in (train, test)]
    want = [by_hand(train, 5, test[:i], test[i]) for i in range(len(test))]
    np.testing.assert_allclose(witten_bell(arrays[0], arrays[1], 5)[0], want)
    ends = [np.frombuffer(b"the " + bytes([byte]), np.uint8)[None].astype(np.int64) for byte in range(256)]
    np.testing.assert_allclose(sum(witten_bell(arrays[0], end, 5)[0, -1] for end in ends), 1)


def test_windows_are_apart_and_what_weighs_nothing_does_not_count():
    rows = np.array([[1, 2, 1, 2], [2, 1, 2, 1], [1, 2, 1, 2]])
    train = Batch(rows[:, :3], rows[:, 1:], np.ones((3, 3)))
    test = Batch(np.array([[1, 2, 2]]), np.array([[2, 1, 1]]), np.array([[1.0, 1.0, 0.0]]))
    fitted = n_grams(2).fit(train, next_token(bytes_per_token={"test": 2.0}), 3)
    chances = witten_bell(rows, np.array([[1, 2, 1]]), 2, 3)[0, 1:]
    found = fitted.measure(test)
    assert math.isclose(found["loss"], np.mean(-np.log(chances)))
    assert math.isclose(found["bits_per_byte"], found["loss"] / math.log(2) / 2)
