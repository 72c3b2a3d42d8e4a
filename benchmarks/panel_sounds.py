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


MAKERS: dict[str, Callable[[Path], None]] = {
    "languages": _languages,
    "weekdays": _spoken(_DAYS, ("de",)),
    "effects": _effects,
    "english_digits": _spoken(_DIGITS, ("en", "en-us")),
    "hums": _hums,
}
