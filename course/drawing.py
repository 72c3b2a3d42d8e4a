"""The pictures of the course, drawn by Matplotlib for a light and a dark page.

Each function takes the picture's name and what is drawn. Outside of `into` nothing is kept: a notebook shows it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

mpl.use("agg", force=False)

BLUE, ORANGE = "#3f7fbf", "#d9722e"
CYCLE = (BLUE, ORANGE, "#4c9a57", "#8f63b8", "#b5504f", "#7f7f7f")
SIDES = LinearSegmentedColormap.from_list("sides", [BLUE, "#8886", ORANGE])
SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "light": {"ink": "#33373d", "pale": "#d5d9de", "page": "#ffffff"},
    "dark": {"ink": "#d7dade", "pale": "#4a4f57", "page": "#0d1117"},
}
SIMILAR = 0.02  # mean absolute difference of two grey pictures, of 1, up to which they are the same
_folder: list[Path] = []
_in_notebook: list[bool] = []


@contextmanager
def into(folder: Path) -> Iterator[Path]:
    """Keep the pictures that are drawn in the block as PNG files in `folder`."""
    _folder.append(folder / "pictures")
    _folder[-1].mkdir()
    try:
        yield _folder[-1]
    finally:
        _folder.pop()


def show_in_notebook() -> None:
    """Show each picture as the output of its cell from now on."""
    _in_notebook[:] = [True]


def compare(drawn: Path, kept: Path, *, update: bool) -> list[str]:
    """Return which pictures differ from the kept ones; with `update` keep the new ones instead."""
    wrong = []
    for file in sorted(drawn.glob("*.png")):
        other = kept / file.name
        if other.exists() and (difference := _difference(file, other)) <= SIMILAR:
            continue
        wrong.append(f"{file.name} differs by {difference:.3f}" if other.exists() else f"{file.name} is new")
        if update:
            other.write_bytes(file.read_bytes())
    return wrong


def _difference(one: Path, other: Path) -> float:
    """Return the mean absolute difference of two pictures on their page, in grey values from 0 to 1, at 160 x 120."""
    page = SCHEMES[one.stem.rpartition("-")[2]]["page"]

    def grey(file: Path) -> np.ndarray:
        with Image.open(file) as image:
            flat = Image.new("RGBA", image.size, page)
            flat.alpha_composite(image.convert("RGBA"))
            return np.asarray(flat.convert("L").resize((160, 120)), np.float32) / 255

    return float(np.abs(grey(one) - grey(other)).mean())


def picture(name: str, size: tuple[float, float], draw: Callable[[Figure, Mapping[str, Any]], None]) -> None:
    """Draw a picture of `size` inches in both schemes and keep it, or show it in a notebook."""
    for scheme, colours in SCHEMES.items():
        style: Any = {
            "axes.facecolor": "none", "axes.axisbelow": True,
            "axes.edgecolor": colours["pale"], "axes.labelcolor": colours["ink"], "axes.titlecolor": colours["ink"],
            "text.color": colours["ink"], "xtick.color": colours["ink"], "ytick.color": colours["ink"],
            "grid.color": colours["pale"], "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=CYCLE), "font.size": 9, "axes.titlesize": 9, "legend.frameon": False,
        }  # fmt: skip
        with mpl.rc_context(style):
            figure = Figure(figsize=size, dpi=130, layout="constrained")
            draw(figure, colours)
            if _in_notebook:
                from IPython import display  # type: ignore[import-not-found, unused-ignore]

                display.display(display.Image(_png(figure, "white")))
                return
            if _folder:
                (_folder[-1] / f"{name}-{scheme}.png").write_bytes(_png(figure, "none"))


def _png(figure: Figure, background: str) -> bytes:
    """Return the picture as a PNG of few colours, a quarter of the bytes."""
    with BytesIO() as file, BytesIO() as small:
        figure.savefig(file, format="png", facecolor=background)
        Image.open(file).quantize(96, method=Image.Quantize.FASTOCTREE).save(small, format="png", optimize=True)
        return small.getvalue()


def boundaries(
    name: str,
    models: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    x: np.ndarray,
    y: np.ndarray,
    *,
    columns: int = 3,
) -> None:
    """Draw the points x[n, 2] of two classes y[n] and, as a surface, the probability of class 1 by each model."""
    low, high = x.min(0) - 0.5, x.max(0) + 0.5
    grid = np.stack(np.meshgrid(*(np.linspace(low[i], high[i], 120) for i in (0, 1))), -1).astype(np.float32)
    rows = -(-len(models) // columns)

    def draw(figure: Figure, colours: Mapping[str, Any]) -> None:
        axes = figure.subplots(rows, min(columns, len(models)), squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(models) :]:
            axis.axis("off")
        for axis, (title, probability) in zip(axes.flat, models.items(), strict=False):
            surface = probability(grid.reshape(-1, 2)).reshape(grid.shape[:2])
            axis.contourf(*np.moveaxis(grid, -1, 0), surface, np.linspace(0, 1, 11), cmap=SIDES, alpha=0.45)
            axis.contour(*np.moveaxis(grid, -1, 0), surface, [0.5], colors=[colours["ink"]], linewidths=1.2)
            for side, colour in enumerate((BLUE, ORANGE)):
                axis.scatter(*x[y == side].T, s=9, color=colour, edgecolor=colours["ink"], linewidth=0.25)
            axis.set_title(title)

    picture(name, (2.6 * min(columns, len(models)) + 0.3, 2.4 * rows + 0.2), draw)


def curves(
    name: str,
    lines: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]],
    *,
    x: str,
    y: str,
    log: str = "",
) -> None:
    """Draw one labelled line per `(xs, ys)`; log: the axes that are logarithmic, such as "y" or "xy"."""

    def draw(figure: Figure, colours: Mapping[str, Any]) -> None:
        axis = figure.subplots()
        for label, (xs, ys) in lines.items():
            axis.plot(xs, ys, label=label, linewidth=1.8)
        _finish(axis, x, y, log)
        axis.legend()

    picture(name, (6, 3.2), draw)


def bars(name: str, values: Mapping[str, float], *, x: str) -> None:
    """Draw one horizontal bar per value, the first on top."""

    def draw(figure: Figure, colours: Mapping[str, Any]) -> None:
        axis = figure.subplots()
        drawn = axis.barh(list(values)[::-1], list(values.values())[::-1], color=BLUE, height=0.65)
        labels = [f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" for value in values.values()]
        axis.bar_label(drawn, labels[::-1], padding=3, color=colours["ink"])
        axis.margins(x=0.12)
        _finish(axis, x, "", "")
        axis.grid(visible=False, axis="y")

    picture(name, (6, 0.36 * len(values) + 0.8), draw)


def heatmap(
    name: str, values: np.ndarray, *, rows: Sequence[str], columns: Sequence[str], x: str = "", y: str = ""
) -> None:
    """Draw values[rows, columns] as shades, the labels beside."""

    def draw(figure: Figure, colours: Mapping[str, Any]) -> None:
        axis = figure.subplots()
        shades = LinearSegmentedColormap.from_list("shades", ["#8880", BLUE])
        axis.imshow(values, cmap=shades, aspect="auto", vmin=0)
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
        axis.set_xlabel(x)
        axis.set_ylabel(y)

    picture(name, (max(3.0, 0.32 * len(columns) + 1), max(1.6, 0.3 * len(rows) + 0.7)), draw)


def images(name: str, pictures: Mapping[str, np.ndarray], *, columns: int = 8) -> None:
    """Draw pictures [H, W] or [H, W, 3] side by side, each with its title; one that begins with # stays empty."""
    rows = -(-len(pictures) // columns)

    def draw(figure: Figure, colours: Mapping[str, Any]) -> None:
        axes = figure.subplots(rows, min(columns, len(pictures)), squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, (title, pixels) in zip(axes.flat, pictures.items(), strict=False):
            if title.startswith("#"):  # a place that stays empty
                continue
            axis.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, interpolation="nearest")
            axis.set_title(title, fontsize=8)

    picture(name, (1.05 * min(columns, len(pictures)), 1.2 * rows), draw)


def surface(
    name: str,
    height: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, np.ndarray],
    *,
    across: tuple[float, float],
    up: tuple[float, float],
) -> None:
    """Draw a function of two parameters by its level lines, and paths [steps, 2] on it."""
    grid = np.meshgrid(np.linspace(*across, 160), np.linspace(*up, 160))

    def draw(figure: Figure, colours: Mapping[str, Any]) -> None:
        axis = figure.subplots()
        levels = np.quantile(values := height(*grid), np.linspace(0, 1, 12) ** 2)
        axis.contour(*grid, values, np.unique(levels), colors=[colours["pale"]], linewidths=0.7)
        for label, path in paths.items():
            axis.plot(*path.T, marker="o", markersize=2.5, linewidth=1.2, label=label)
        axis.set(xlim=across, ylim=up)
        _finish(axis, "first parameter", "second parameter", "")
        axis.grid(visible=False)
        figure.legend(loc="outside right upper")

    picture(name, (8, 4), draw)


def _finish(axis: Axes, x: str, y: str, log: str) -> None:
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if "x" in log:
        axis.set_xscale("log")
    if "y" in log:
        axis.set_yscale("log")
    axis.grid(visible=True)
