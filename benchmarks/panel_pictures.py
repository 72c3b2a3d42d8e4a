"""The panel's pictures and videos, from scikit-learn's and matplotlib's pictures, digits and fonts."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIZES = {"train": 240, "validation": 60, "test": 150}
_FRAMES, _SIDE = 12, 32


@cache
def _photographs() -> list[np.ndarray]:
    """Return f32[H, W] of three photographs, from 0 to 1."""
    import matplotlib
    from sklearn.datasets import load_sample_images

    hopper = np.asarray(Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    return [each.mean(-1) / 255 for each in (*load_sample_images().images, hopper)]


def _fonts() -> list[str]:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    kept = [file for file in folder.glob("*.ttf") if file.stem.startswith(("DejaVu", "STIXGeneral", "cm"))]
    kept += [*Path("/usr/share/fonts").rglob("Liberation*.ttf")]
    return [str(file) for file in sorted(kept) if file.stem not in ("cmex10", "cmsy10", "DejaVuSansDisplay")]


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return digits.images[order] / 16, digits.target[order]


def _glyph(letter: str, font: str, rng: np.random.Generator, side: int) -> np.ndarray:
    """Return f32[side, side] of a letter from 0 to 1, of any size and place."""
    size = int(rng.integers(side // 2, side))
    shown = Image.new("L", (side, side))
    centre = tuple(side / 2 + rng.uniform(-side / 10, side / 10, 2))
    ImageDraw.Draw(shown).text(centre, letter, 255, ImageFont.truetype(font, size), anchor="mm")
    return np.asarray(shown) / 255


def _patch(photograph: int, rng: np.random.Generator, side: int) -> np.ndarray:
    picture = _photographs()[photograph]
    top, left = rng.integers((0, 0), np.array(picture.shape) - side)
    return picture[top : top + side, left : left + side]


def _save(folder: Path, arrays: dict[str, tuple[list[np.ndarray], list[int]]], column: str) -> None:
    shown = {}
    for split, (pictures, labels) in arrays.items():
        pixels = (np.clip(np.stack(pictures), 0, 1) * 255).astype(np.uint8)
        shown[f"x_{split}"] = pixels if pixels.shape[-1] == 3 else pixels[..., None]
        shown[f"y_{split}"] = np.array(labels)
    np.savez_compressed(folder / f"{column}.npz", **shown)


def _videos(kinds: int, film: Callable[[int, str, int, np.random.Generator], np.ndarray]) -> Callable[[Path], None]:
    """Return the maker of videos f32[T, H, W] of (kind, split, number, rng), their kind the label."""

    def make(folder: Path) -> None:
        arrays: dict[str, tuple[list[np.ndarray], list[int]]] = {}
        for split, size in _SIZES.items():
            rng = np.random.default_rng(len(arrays))
            labels = [i % kinds for i in range(size)]
            arrays[split] = [film(kind, split, i, rng) for i, kind in enumerate(labels)], labels
        _save(folder, arrays, "video")

    return make


def _digit(split: str, rng: np.random.Generator, which: int | None = None) -> np.ndarray:
    """Return f32[12, 12] of a digit of this split, the one that is named or any."""
    images, labels = _digits()
    start, stop = {"train": (0, 1200), "validation": (1200, 1400), "test": (1400, 1797)}[split]
    fits = np.arange(start, stop) if which is None else start + np.flatnonzero(labels[start:stop] == which)
    return np.asarray(Image.fromarray(images[rng.choice(fits)].astype(np.float32)).resize((12, 12)))


def _paste(scene: np.ndarray, sprite: np.ndarray, top: float, left: float) -> np.ndarray:
    shown, side = scene.copy(), len(sprite)
    row, column = (int(np.clip(round(at), 0, len(scene) - side)) for at in (top, left))
    part = shown[row : row + side, column : column + side]
    np.maximum(part, sprite, out=part)
    return shown


def _direction(kind: int, split: str, _: int, rng: np.random.Generator) -> np.ndarray:
    scene, sprite = 0.7 * _patch(rng.integers(2), rng, _SIDE), _digit(split, rng)
    speed = rng.uniform(0.7, 1.6) * np.array(((0, 1), (0, -1), (1, 0), (-1, 0)))[kind]
    middle = (_SIDE - 12) / 2 + rng.uniform(-4, 4, 2)
    return np.stack([_paste(scene, sprite, *(middle + speed * (t - _FRAMES / 2))) for t in range(_FRAMES)])


def _which_digit(kind: int, split: str, _: int, rng: np.random.Generator) -> np.ndarray:
    sprite, start, speed = _digit(split, rng, kind), rng.uniform(0, 20, 2), rng.uniform(-1, 1, 2)
    return np.stack([_paste(np.zeros((_SIDE, _SIDE)), sprite, *(start + speed * t)) for t in range(_FRAMES)])


def _camera(kind: int, split: str, _: int, rng: np.random.Generator) -> np.ndarray:
    """Return a pan to the left or right, a zoom in or out, or a turn; test shows other halves of the photographs."""
    picture = _photographs()[rng.integers(2)]
    picture = picture[:, picture.shape[1] // 2 :] if split == "test" else picture[:, : picture.shape[1] // 2]
    centre = np.array([rng.uniform(60, each - 60) for each in picture.shape])
    frames, grid = [], np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2
    for t in np.arange(_FRAMES) - _FRAMES / 2:
        shift, size, angle = 0.0, 1.5, 0.0
        if kind < 2:
            shift = (1 - 2 * kind) * 1.5 * t
        elif kind < 4:
            size = 1.5 * np.exp((1 - 2 * (kind - 2)) * 0.05 * t)
        else:
            angle = 0.06 * t
        turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        rows, columns = np.einsum("ij,jhw->ihw", turn, grid) * size + (centre + np.array((0, shift)))[:, None, None]
        frames.append(picture[rows.astype(int), columns.astype(int)])
    return np.stack(frames)


def _turned(scene: np.ndarray, sprite: np.ndarray, kind: int, rng: np.random.Generator) -> np.ndarray:
    """Return a sprite that turns clockwise, the other way or not at all."""
    start, speed, place = rng.uniform(0, 360), (kind - 1) * rng.uniform(6, 12), rng.uniform(0, _SIDE - len(sprite), 2)
    shown = Image.fromarray(sprite.astype(np.float32))
    return np.stack([_paste(scene, np.asarray(shown.rotate(start + speed * t)), *place) for t in range(_FRAMES)])


def _turning(kind: int, split: str, _: int, rng: np.random.Generator) -> np.ndarray:
    return _turned(0.7 * _patch(2, rng, _SIDE), _digit(split, rng), kind, rng)


def _which_letter(kind: int, split: str, _: int, rng: np.random.Generator) -> np.ndarray:
    letter = _glyph("KLMNP"[kind], _font(split, rng), rng, 20)
    return _turned(np.zeros((_SIDE, _SIDE)), letter, int(rng.integers(3)), rng)


def _font(split: str, rng: np.random.Generator) -> str:
    fonts = _fonts()
    held = {"validation": fonts[2::8], "test": fonts[6::8] + fonts[7::8]}
    rest = [font for font in fonts if font not in held["validation"] + held["test"]]
    return str(rng.choice(held.get(split, rest)))


def _letters(letters: str, train: int = 1000) -> Callable[[Path], None]:
    """Return the maker of pictures of letters, in fonts that are in one split only; train: how many to train on."""

    def make(folder: Path) -> None:
        arrays: dict[str, tuple[list[np.ndarray], list[int]]] = {}
        for split, size in {"train": train, "validation": train // 5, "test": 2 * train // 5}.items():
            rng = np.random.default_rng(len(arrays))
            labels = [i % len(letters) for i in range(size)]
            pictures = [
                _glyph(letters[label], _font(split, rng), rng, 28) * rng.uniform(0.4, 1) + rng.normal(0, 0.1, (28, 28))
                for label in labels
            ]
            arrays[split] = pictures, labels
        _save(folder, arrays, "image")

    return make


def _parts(photographs: tuple[int, ...]) -> Callable[[Path], None]:
    """Return the maker of patches of six upright parts of photographs; the lower third of each is for test."""

    def make(folder: Path) -> None:
        arrays: dict[str, tuple[list[np.ndarray], list[int]]] = {}
        parts = [
            part for each in photographs for part in np.array_split(_photographs()[each], 6 // len(photographs), 1)
        ]
        bands = {"train": (0, 0.55), "validation": (0.55, 0.67), "test": (0.67, 1)}
        for split, (top, bottom) in bands.items():
            rng = np.random.default_rng(len(arrays))
            labels = [i % len(parts) for i in range({"train": 900}.get(split, 240))]
            pictures = []
            for label in labels:
                part = parts[label][int(top * len(parts[label])) : int(bottom * len(parts[label]))]
                row, column = rng.integers((0, 0), np.array(part.shape) - 27)
                pictures.append(part[row : row + 28, column : column + 28])
            arrays[split] = pictures, labels
        _save(folder, arrays, "image")

    return make


def _photograph_patches(folder: Path) -> None:
    """Write which of ten photographs a patch in colour is of; cells of 64 pixels are in one split only, 100 a class."""
    import skimage

    names = (
        "astronaut",
        "brick",
        "camera",
        "chelsea",
        "coffee",
        "grass",
        "gravel",
        "moon",
        "motorcycle_left",
        "rocket",
    )
    data = Path(skimage.__file__).parent / "data"
    files = [next(data.glob(f"{name}.*")) for name in names]
    shown = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    cells = [[(i, j) for i in range(len(x) // 64) for j in range(x.shape[1] // 64)] for x in shown]
    mixed = [[each[i] for i in np.random.default_rng(0).permutation(len(each))] for each in cells]
    arrays: dict[str, tuple[list[np.ndarray], list[int]]] = {}
    for split, (start, stop, size) in {
        "train": (0, 0.5, 1000),
        "validation": (0.5, 0.7, 300),
        "test": (0.7, 1, 500),
    }.items():
        rng = np.random.default_rng(len(arrays))
        labels = [i % len(names) for i in range(size)]
        pictures = []
        for label in labels:
            own = mixed[label][int(start * len(mixed[label])) : int(stop * len(mixed[label]))]
            row, column = np.array(own[rng.integers(len(own))]) * 64 + rng.integers(0, 33, 2)
            patch = shown[label][row : row + 32, column : column + 32] / 255
            pictures.append(patch * rng.uniform(0.5, 1) + rng.normal(0, 0.05, patch.shape))
        arrays[split] = pictures, labels
    _save(folder, arrays, "image")


def _few_digits(folder: Path) -> None:
    images, labels = _digits()
    parts = {"train": slice(0, 600), "validation": slice(600, 800), "test": slice(800, 1797)}
    _save(folder, {split: (list(images[part]), list(labels[part])) for split, part in parts.items()}, "image")


MAKERS: dict[str, Callable[[Path], None]] = {
    "directions": _videos(4, _direction),
    "cameras": _videos(5, _camera),
    "which_digit": _videos(10, _which_digit),
    "turning": _videos(3, _turning),
    "which_letter": _videos(5, _which_letter),
    "letters": _letters("ABCDEFGHIJ"),
    "many_letters": _letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 50_000),
    "more_letters": _letters("KLMNOPQRST"),
    "textures": _parts((0, 1)),
    "portrait": _parts((2,)),
    "few_digits": _few_digits,
    "photographs": _photograph_patches,
}
