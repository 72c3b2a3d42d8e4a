import jax
import numpy as np
import pytest

from fdl.data.log_mel import LogMel, log_mel, mel_bands
from fdl.data.modalities.audio import sounds
from fdl.data.modalities.text import language, texts
from fdl.data.modalities.videos import videos, with_motion
from fdl.data.records import Field, Records
from fdl.data.tokenizer import END, UNKNOWN, Tokens, bucket, fit_tokens, packed, padded

TEXTS = ["the cat sat on the mat", "a dog, a bone; a day", "über den Wolken", "one two three four five six"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def records(name, field, values, **more):
    labels = [i % 2 for i in range(len(values))]
    columns = {name: values, "label": labels, **more}

    def read(split, indices, names):
        return {each: [columns[each][i] for i in indices] for each in names}

    fields = {name: field, "label": Field(kind="label", classes=2, names=("a", "b"))}
    return Records(name="made", fields=fields, sizes={"train": len(values)}, read=read)


def check_spec(dataset):
    for split, size in dataset.spec.sizes.items():
        batch = dataset.load(split).fetch(np.arange(2) % size)
        if dataset.transform is not None:
            batch = jax.jit(dataset.transform)(batch)
        shapes = jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), batch)
        assert shapes == jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), dataset.shapes(2))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(batch))


@pytest.mark.parametrize("unit", ["bytes", "chars", "bpe", "words"])
def test_tokens_go_there_and_back(unit):
    if unit == "bpe":
        pytest.importorskip("tokenizers")
    tokenizer = fit_tokens(unit, TEXTS, 400)
    for text in TEXTS:
        tokens = tokenizer.encode(text)
        assert tokens.min() >= 4
        assert tokens.max() < tokenizer.size
        back = tokenizer.decode(tokens.tolist())
        assert back.split() == text.split() if unit != "words" else set(back.split()) <= set(tokenizer.fitted["pieces"])


def test_unknown_words_are_one_token():
    tokenizer = fit_tokens("words", TEXTS)
    assert tokenizer.encode("zebra cat").tolist()[0] == UNKNOWN
    assert fit_tokens("words", TEXTS, 6).size == 6
    with pytest.raises(ValueError, match=r"vocabulary 4 holds no more than padding.* give 5 or more"):
        fit_tokens("words", TEXTS, 4)


def test_padding_cuts_and_counts():
    tokens, lengths = padded([np.array([5, 6]), np.arange(4, 14), np.array([], np.int32)], 4)
    assert tokens.tolist() == [[5, 6, 0, 0], [4, 5, 6, 7], [0, 0, 0, 0]]
    assert lengths.tolist() == [2, 4, 1]


def test_packing_loses_nothing():
    assert packed([np.array([5, 6]), np.array([7])]).tolist() == [5, 6, END, 7, END]


def test_lengths_come_from_a_small_fixed_set():
    assert bucket([3, 5, 9]) == 16
    assert bucket([100] * 99 + [5000]) == 128
    assert bucket([10**6]) == 2048


@pytest.mark.parametrize("unit", ["bytes", "words"])
def test_texts_become_a_dataset(unit):
    dataset = texts(records("text", Field(kind="text"), TEXTS * 8), tokens=Tokens(unit))
    check_spec(dataset)
    assert dataset.spec.vocabulary == fit_tokens(unit, TEXTS * 8).size
    assert dataset.load("train").arrays[0]["lengths"].max() <= dataset.fitted["length"]


def test_running_text_becomes_a_dataset():
    dataset = language(records("text", Field(kind="text"), TEXTS * 8), tokens=Tokens(length=16))
    check_spec(dataset)
    batch = dataset.load("train").fetch(np.arange(3))
    assert np.array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])


def test_an_empty_text_is_named():
    rows = [*TEXTS[:3], ""]
    made = Records(
        name="made",
        fields={"text": Field(kind="text")},
        sizes={"train": 4, "validation": 4, "test": 4},
        read=lambda split, indices, names: {"text": [rows[i] for i in indices]},
    )
    with pytest.raises(ValueError, match="example 3: text is empty"):
        language(made)


def tones(count, rate=8000, dtype=np.int16):
    time = np.arange(rate // 4) / rate
    return [
        (8000 * np.sin(2 * np.pi * (500 + 1500 * (i % 2)) * time)).astype(dtype)[: rate // 4 - i] for i in range(count)
    ]


def test_sounds_become_a_dataset():
    dataset = sounds(
        records("sound", Field(kind="audio", shape=(None,), dtype=np.dtype(np.int16), rate=8000), tones(20))
    )
    check_spec(dataset)
    assert dataset.fitted["length"] == 2000
    assert dataset.shapes(3).inputs.shape == (3, 23, 40, 1)


@pytest.mark.parametrize("loud", [2**15, -(2**15) - 1])
def test_a_sound_that_does_not_fit_16_bits_is_refused(loud):
    sound = np.zeros((20, 800), np.int32)
    sound[:, 5] = loud
    field = Field(kind="audio", shape=(None,), dtype=np.dtype(np.int32), rate=8000)
    with pytest.raises(ValueError, match=f"is {loud}, which does not fit 16 bits; scale it"):
        sounds(records("sound", field, list(sound))).load("train").fetch(np.arange(1))


def test_a_tone_lights_its_own_band():
    low, high = (log_mel(np.asarray(tone[None, :1900], np.float32), rate=8000).mean(1)[0].argmax() for tone in tones(2))
    assert high > low + 5


def test_log_mel_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    wave = rng.normal(size=256).astype(np.float32)
    mel = log_mel(wave[None], rate=4000, bands=8, window=0.032, hop=0.016)
    frame = wave[64:192] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128))
    expected = np.log(np.abs(np.fft.rfft(frame, 128)) ** 2 @ mel_bands(4000, 128, 8) + 1e-6)
    assert mel.shape == (1, 3, 8)
    assert np.allclose(mel[0, 1], expected, atol=1e-4)


def test_a_spectrogram_is_centred_per_band_and_clip():
    rng = np.random.default_rng(0)
    waves = [(rng.standard_normal(1600) * loud).astype(np.float32) for loud in np.geomspace(0.01, 1, 20)]
    field = Field(kind="audio", shape=(1600,), dtype=np.dtype(np.float32), rate=4000)
    made = {
        kind: sounds(records("sound", field, waves), spectrogram=LogMel(bands=8, normalise=kind))
        for kind in ("none", "clip", "both")
    }
    plain, clip, both = (
        np.asarray(each.transform(each.load("train").fetch(np.arange(4))).inputs) for each in made.values()
    )
    mel = plain[..., 0] * 7 - 7
    expected = (mel - mel.mean(1, keepdims=True)) / 4
    np.testing.assert_allclose(clip[..., 0], expected, atol=1e-3)
    np.testing.assert_allclose(both, np.concatenate([plain, clip], -1), atol=1e-6)
    check_spec(made["both"])


def test_motion_is_what_a_clip_has_besides_its_mean_over_time():
    rng = np.random.default_rng(0)
    films = rng.integers(0, 255, (20, 4, 6, 5, 3), np.uint8)
    films[::2] = films[::2, :1]  # stand still
    field = Field(kind="video", shape=(4, 6, 5, 3), dtype=np.dtype(np.uint8))
    dataset = with_motion(videos(records("film", field, list(films))))
    check_spec(dataset)
    batch = dataset.load("train").fetch(np.arange(16))
    inputs, pixels = np.asarray(dataset.transform(batch).inputs), batch.inputs.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(inputs[..., :3], pixels, atol=1e-6)
    np.testing.assert_allclose(inputs[..., 3:], pixels - pixels.mean(1, keepdims=True), atol=1e-6)
    still = np.ptp(pixels, 1).max((1, 2, 3)) == 0
    assert 0 < still.sum() < 16
    assert np.abs(inputs[still][..., 3:]).max() < 1e-6


def test_videos_become_a_dataset():
    rng = np.random.default_rng(0)
    films = [rng.integers(0, 255, (4 + i % 3, 6, 5, 1), np.uint8) for i in range(20)]
    field = Field(kind="video", shape=(None, 6, 5, 1), dtype=np.dtype(np.uint8))
    dataset = videos(records("film", field, films), frames=3)
    check_spec(dataset)
    assert dataset.shapes(2).inputs.shape == (2, 3, 6, 5, 1)
    assert videos(records("film", field, films), size=8).shapes(2).inputs.shape == (2, 4, 8, 8, 1)
