"""The baseline of tags, by hand."""

import numpy as np

from fdl.core.types import Batch
from fdl.tasks import tag
from fdl.tasks.baselines import frequent_tag


def sentences(words, tags):
    """Return a batch of one sentence; each word as letters, which are numbers from 1."""
    letters = np.zeros((1, len(words), 6), np.int32)
    for i, word in enumerate(words):
        letters[0, i, : len(word)] = [ord(letter) - 96 for letter in word]
    return Batch({"letters": letters}, np.array([tags], np.int32), np.ones((1, len(words)), np.float32))


def test_a_known_word_has_its_most_frequent_tag_and_an_unknown_one_that_of_its_ending():
    train = sentences(["run", "run", "run", "sung", "rang", "dogs", "cats", "go"], [0, 0, 1, 1, 1, 2, 2, 0])
    fitted = frequent_tag().fit(train, tag(("A", "B", "C")), 3)
    test = sentences(["run", "hung", "mats", "zzz", "ng"], [0, 1, 2, 0, 1])  # zzz: of eight words three are A, three B
    assert fitted.measure(test)["accuracy"] == 1.0
    assert fitted.measure(sentences(["run"], [1]))["accuracy"] == 0.0


def test_padding_is_no_word():
    train = sentences(["ab", "ab", "b"], [1, 1, 0])
    padded = train._replace(weights=np.array([[1, 0, 1]], np.float32), targets=np.array([[1, 0, 0]], np.int32))
    assert frequent_tag().fit(padded, tag(("A", "B")), 2).measure(sentences(["ab"], [1]))["accuracy"] == 1.0
