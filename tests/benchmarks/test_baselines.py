from collections import Counter

import numpy as np

from benchmarks.baselines import witten_bell


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
    arrays = [np.frombuffer(text, np.uint8) for text in (train, test)]
    want = [by_hand(train, 5, test[:i], test[i]) for i in range(len(test))]
    np.testing.assert_allclose(witten_bell(arrays[0], arrays[1], 5), want)
    every = [witten_bell(arrays[0], np.frombuffer(b"the " + bytes([byte]), np.uint8), 5)[-1] for byte in range(256)]
    np.testing.assert_allclose(sum(every), 1)
