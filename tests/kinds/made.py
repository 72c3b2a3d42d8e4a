"""What the small files of the kinds that people have are made of."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

CASES = {}


def case(*commands):
    """Keep a function that makes files in a folder, with what to ask of them: (suffix, page, knobs) each."""

    def keep(make):
        CASES[make.__name__] = (make, commands)
        return make

    return keep


def table(suffix="", **knobs):
    return (suffix, "table", {"dataset": "a.csv", "target": "y", **knobs})


def base(n=300, seed=0):
    r = np.random.default_rng(seed)
    a, b = r.normal(size=n), r.normal(size=n)
    return pd.DataFrame(
        {"a": a.round(3), "b": b.round(3), "y": np.where(a + b > 0, "pos", "neg"), "v": (a * 10 + b).round(2)}
    )


def write(path, text, encoding="utf-8"):
    Path(path).write_bytes(text.encode(encoding) if isinstance(text, str) else text)


def noise(h, w, c=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, c) if c > 1 else (h, w), dtype=np.uint8)


def wav(path, x, rate=16000):
    import soundfile

    soundfile.write(str(path), x, rate, subtype="PCM_16")


def tone(frequency, seconds=0.3, rate=16000):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def pictures_and_labels(n=200):
    r = np.random.default_rng(0)
    return r.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8), r.integers(0, 5, n)


def classes(d, n=20, names=("cat", "dog"), ext=".png", size=(24, 24), root="", save=None):
    from PIL import Image

    for k, name in enumerate(names):
        folder = d / root / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(n):
            picture = (noise(size[0], size[1], 3, i) // 4 + k * 120 % 180).astype(np.uint8)
            (save or (lambda image, path: image.save(path)))(Image.fromarray(picture), folder / f"{i:03d}{ext}")


def image(suffix="", **knobs):
    return (suffix, "image", {"dataset": "d", **knobs})


def audio(suffix="", **knobs):
    return (suffix, "audio", {"dataset": "d", **knobs})


def series(suffix="", **knobs):
    return (suffix, "series", {"dataset": "a.csv", "length": 12, **knobs})


WORDS = ["good", "fine", "nice", "bad", "poor", "awful", "film", "plot", "the", "a", "of", "and"]


def docs(n=200, seed=0):
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n)
    texts = [" ".join([*r.choice(WORDS[6:], 6), *r.choice(WORDS[:3] if q else WORDS[3:6], 3)]) for q in y]
    return pd.DataFrame({"text": texts, "label": np.where(y, "pos", "neg")})


def sentences(n=200):
    r = np.random.default_rng(0)
    ours = ["I", "you", "go", "see", "a", "dog", "the", "cat", "run", "eat"]
    theirs = ["ich", "du", "geh", "seh", "ein", "Hund", "die", "Katze", "lauf", "iss"]
    picked = [r.integers(0, 10, 4) for _ in range(n)]
    return [(" ".join(ours[j] for j in k) + ".", " ".join(theirs[j] for j in k) + ".") for k in picked]


def days(n=400):
    r = np.random.default_rng(0)
    i = np.arange(n)
    dates = [dt.date(2020, 1, 1) + dt.timedelta(days=int(k)) for k in i]
    return pd.DataFrame({"date": dates, "v": (10 * np.sin(i / 7) + i * 0.1 + r.normal(size=n)).round(2)})
