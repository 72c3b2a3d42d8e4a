"""Error rates: edits and lengths are added over examples before they are divided."""

import pytest

from fdl.engine.error_rates import error_rate, text_rates


def test_edits_and_lengths_are_added_before_they_are_divided():
    assert error_rate([[1, 2, 3], [4]], [[1, 2, 3], [5]]) == 1 / 4
    assert error_rate(["kitten", ""], ["sitting", "ab"]) == (3 + 2) / 9
    assert error_rate([[7] * 3] * 300, [[7] * 4] * 300) == 1 / 4  # more than one batch
    assert error_rate(["abc"], ["a"]) == 2.0


def test_texts_have_the_rates_of_their_units():
    pytest.importorskip("sacrebleu")
    same = ["the cat sat on the mat"]
    assert text_rates(same, same, "token") == {
        "word_error_rate": 0.0,
        "character_error_rate": 0.0,
        "bleu": pytest.approx(100),
    }
    assert text_rates(["a b"], ["a c"], "character")["word_error_rate"] == 1 / 2
    assert text_rates(["ab"], ["ac"], "character") == {}
