"""The panel's sounds, from eSpeak NG's voices and Asterisk's recordings, as WAV files by split and class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fdl.data.datasets.spoken_digits import _SPEAKERS
from fdl.data.datasets.voices import RATE, Utterance, speak

_ASTERISK, _ASTERISK_RATE = Path("/usr/share/asterisk/sounds"), 8000
_DAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _write(folder: Path, split: str, kind: str, name: str, wave: np.ndarray, rate: int) -> None:
    import soundfile

    (folder / split / kind).mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / split / kind / f"{name}.wav", np.clip(wave, -1, 1), rate)


def _spoken(words: tuple[str, ...], accents: tuple[str, ...]) -> Callable[[Path], None]:
    """Return the maker of words said by speakers who are in one split only, 10 to 30 decibels above noise."""

    def make(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for split, speakers in _SPEAKERS.items():
            said = [
                (
                    word,
                    Utterance(word, f"{rng.choice(accents)}+{speaker}", *map(int, rng.integers((140, 20), (230, 80)))),
                )
                for word in words
                for speaker in speakers
            ]
            for number, ((word, _), wave) in enumerate(zip(said, speak([each for _, each in said]), strict=True)):
                voice = wave / 32768
                noise = rng.standard_normal(len(voice)) * voice.std() * 10 ** (-rng.uniform(10, 30) / 20)
                _write(folder, split, word, f"{number}", (voice + noise) * rng.uniform(0.3, 1), RATE)

    return make


def _recordings(voice: str) -> list[tuple[str, np.ndarray]]:
    """Return (name, f32[T]) of the recordings of a voice that last from one to eight seconds, in a random order."""
    import soundfile

    waves = []
    for file in sorted((_ASTERISK / voice).rglob("*.gsm")):
        wave, _ = soundfile.read(
            file, format="RAW", subtype="GSM610", samplerate=_ASTERISK_RATE, channels=1, dtype="float32"
        )
        if 1 <= len(wave) / _ASTERISK_RATE <= 8:
            waves.append((file.stem, wave))
    return [waves[i] for i in np.random.default_rng(0).permutation(len(waves))]


def _split_of(number: int) -> str:
    return {0: "test", 1: "test", 2: "validation"}.get(number % 10, "train")


def _languages(folder: Path) -> None:
    for voice in sorted(each.name for each in _ASTERISK.iterdir() if each.is_dir()):
        for number, (_, wave) in enumerate(_recordings(voice)[:150]):
            _write(folder, _split_of(number), voice[:2], f"{number}", wave, _ASTERISK_RATE)


def _effects(folder: Path) -> None:
    smooth = np.hanning(13) / np.hanning(13).sum()
    effects: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "plain": lambda wave: wave,
        "reversed": lambda wave: wave[::-1],
        "echo": lambda wave: wave + 0.6 * np.pad(wave, (1600, 0))[: len(wave)],
        "muffled": lambda wave: np.convolve(wave, smooth, "same"),
        "clipped": lambda wave: 0.3 * np.clip(12 * wave, -1, 1),
        "trembling": lambda wave: wave * (1 + 0.8 * np.sin(np.arange(len(wave)) * 2 * np.pi * 7 / _ASTERISK_RATE)),
    }
    names = list(effects)
    for number, (_, wave) in enumerate(_recordings("en_US_f_Allison")[:420]):
        kind = names[number // 10 % len(names)]
        _write(folder, _split_of(number), kind, f"{number}", effects[kind](wave[: 2 * _ASTERISK_RATE]), _ASTERISK_RATE)


def _hums(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split, size in {"train": 40, "validation": 10, "test": 20}.items():
        for note in range(6):
            for number in range(size):
                time = np.arange(_ASTERISK_RATE) / _ASTERISK_RATE
                pitch = 300 * 2 ** ((note * 3 + rng.uniform(-1, 1)) / 12)
                tone = np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6)) + 1.5 * rng.standard_normal(len(time))
                _write(folder, split, f"note{note}", f"{number}", tone * rng.uniform(0.02, 0.15), _ASTERISK_RATE)


def _clips(folder: Path, kinds: int, voice: Callable[[int, str, np.random.Generator], str], filtered: bool) -> None:
    """Write clips of one to four seconds with noise 10 to 30 decibels below; the words of a split are in no other."""
    rng = np.random.default_rng(0)
    words = (
        "river",
        "mountain",
        "seven",
        "garden",
        "window",
        "paper",
        "orange",
        "winter",
        "morning",
        "silver",
        "table",
    )
    parts = {"train": (words[:7], 40), "validation": (words[7:9], 10), "test": (words[9:], 20)}
    shapes = 10 ** rng.normal(0, 0.15, (kinds, 12))  # of each filter, at twelve frequencies
    for split, (known, size) in parts.items():
        labels = [i % kinds for i in range(size * kinds)]
        texts = [" ".join(rng.choice(known, rng.integers(1, 6))) for _ in labels]
        said = [
            Utterance(text, voice(kind, split, rng), int(rng.integers(140, 200)), 50)
            for kind, text in zip(labels, texts, strict=True)
        ]
        for number, (kind, wave) in enumerate(zip(labels, speak(said), strict=True)):
            clip = wave / 32768
            if filtered:
                spectrum = np.fft.rfft(clip)
                at = np.linspace(0, 11, len(spectrum))
                clip = np.fft.irfft(spectrum * np.interp(at, np.arange(12), shapes[kind]), len(clip))
            clip = clip + rng.standard_normal(len(clip)) * clip.std() * 10 ** (-rng.uniform(10, 30) / 20)
            _write(folder, split, f"kind{kind}", f"{number}", clip * rng.uniform(0.3, 1), RATE)


def _speakers(folder: Path) -> None:
    names = [*_SPEAKERS["train"][:4], *_SPEAKERS["test"][:2]]
    _clips(folder, len(names), lambda kind, split, rng: f"en-us+{names[kind]}", filtered=False)


def _microphones(folder: Path) -> None:
    _clips(folder, 5, lambda kind, split, rng: f"en-us+{rng.choice(_SPEAKERS[split])}", filtered=True)


MAKERS: dict[str, Callable[[Path], None]] = {
    "languages": _languages,
    "weekdays": _spoken(_DAYS, ("de",)),
    "effects": _effects,
    "english_digits": _spoken(_DIGITS, ("en", "en-us")),
    "hums": _hums,
    "speakers": _speakers,
    "microphones": _microphones,
}
