"""Voices: text spoken by the synthesiser eSpeak NG, whose library the package espeakng-loader brings along.

Run as a script, this file is the process in which that happens. It has one to itself, for the library's state outlives
what was said: only a fresh one says the same again.
"""

import ctypes
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdl.core.errors import UserError

RATE = 11025  # samples per second, half of the synthesiser's own


class Utterance(NamedTuple):
    """What is said and how. voice: as "en-us+f3", an accent and a speaker; speed: words a minute; pitch: 0 to 99."""

    text: str
    voice: str
    speed: int = 175
    pitch: int = 50


def speak(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """Return i16[T] of each utterance at RATE samples per second; the same list sounds the same again."""
    if importlib.util.find_spec("espeakng_loader") is None:
        raise UserError("the voices are of espeakng-loader, which is not installed; run: pip install espeakng-loader")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.npz"
        command = [sys.executable, __file__, str(file)]
        done = subprocess.run(command, input=json.dumps(utterances), text=True, capture_output=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise UserError(f"eSpeak NG cannot speak here ({reason}); install another espeakng-loader")
        with np.load(file) as said:
            return np.split(said["waves"], said["ends"][:-1])


def _synthesise(utterances: Sequence[Utterance], file: str) -> None:
    import espeakng_loader

    library, spoken = ctypes.CDLL(espeakng_loader.get_library_path()), []
    receive = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    @receive
    def keep(samples, count, _):  # type: ignore[no-untyped-def]
        if samples and count > 0:
            spoken.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    synchronous, rate, pitch, utf8 = 2, 1, 3, 1
    found = library.espeak_Initialize(synchronous, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    assert found == 2 * RATE, f"it speaks at {found} samples per second"
    library.espeak_SetSynthCallback(keep)
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))
    waves = []
    for text, voice, words, height in utterances:
        assert library.espeak_SetVoiceByName(voice.encode()) == 0, f"it has no voice {voice}"
        library.espeak_SetParameter(rate, words, 0)
        library.espeak_SetParameter(pitch, height, 0)
        spoken.clear()
        said = text.encode()
        library.espeak_Synth(said, len(said) + 1, 0, 1, 0, utf8, None, None)
        wave = np.concatenate([*spoken, np.zeros(1, np.int16)])
        waves.append(wave[: len(wave) // 2 * 2].reshape(-1, 2).mean(1).astype(np.int16))
    np.savez(file, waves=np.concatenate(waves), ends=np.cumsum([len(wave) for wave in waves]))


if __name__ == "__main__":
    _synthesise(json.loads(sys.stdin.read()), sys.argv[1])
