"""Visualised examples for the report, as SVG text: boxes on images, and attention weights.

Each function makes a `Visualize`. Shape legend: B batch, T target positions, S source positions.
"""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np

from fdl.core.types import Array, Batch, PyTree
from fdl.data.tokenizer import NUM_SPECIAL_TOKENS
from fdl.runs.report.svg_plot import BOX, STRONG, text

# (the task's predictions, the sown "intermediates", the batch) -> heading: SVG
Visualize = Callable[[Mapping[str, Array], PyTree, Batch], Mapping[str, str]]

_SIDE, _GAP = 200, 12


def detections(names: Sequence[str] | None = None, *, least: float = 0.3) -> Visualize:
    """Visualise boxes on images: detections with a probability of at least `least`, over the ground truth.

    For the targets and predictions of `fdl.tasks.detect` and images f32[B, height, width, 1 or 3].
    """

    def show(predictions: Mapping[str, Array], sown: PyTree, batch: Batch) -> dict[str, str]:
        drawn = []
        for i, image in enumerate(np.asarray(batch.inputs)):
            low, high = float(image.min()), float(image.max())
            pixels = (255 * (image - low) / max(high - low, 1e-6)).astype(np.uint8)
            parts = [
                f'<image width="{_SIDE}" height="{_SIDE}" style="image-rendering:pixelated" href="{_png(pixels)}"/>'
            ]
            ground_truth = [box for box in batch.targets["box"][i] if box[2] > box[0]]
            parts += [_box(box, 'stroke="white" stroke-opacity="0.6" stroke-dasharray="4"') for box in ground_truth]
            for class_index, probability, box in zip(
                *(predictions[name][i] for name in ("class", "probability", "box")), strict=True
            ):
                if probability >= least:
                    label = f"{names[int(class_index)] if names else int(class_index)} {probability:.2f}"
                    x, y = _SIDE * box[0], _SIDE * box[1] - 3
                    parts += [_box(box, f'stroke="{BOX}" stroke-width="2"'), text(label, x, y, "start", BOX)]
            drawn.append(f'<g transform="translate({i * (_SIDE + _GAP)} 0)">{"".join(parts)}</g>')
        return {"Detections (orange) and ground truth (dashed)": _svg(drawn, len(drawn) * (_SIDE + _GAP) - _GAP, _SIDE)}

    return show


def attention(read: Sequence[str], write: Sequence[str]) -> Visualize:
    """Visualise attention weights: rows are target tokens, columns source tokens.

    read, write: the vocabularies of source and target, from NUM_SPECIAL_TOKENS on; special tokens are omitted.
    For batches of `modalities.pairs`; uses the last weights f32[B, H, T, S] sown, averaged over heads.
    """

    def pieces(tokens: Array, of: Sequence[str]) -> list[tuple[int, str]]:
        return [
            (place, of[token - NUM_SPECIAL_TOKENS]) for place, token in enumerate(tokens) if token >= NUM_SPECIAL_TOKENS
        ]

    def show(predictions: Mapping[str, Array], sown: PyTree, batch: Batch) -> dict[str, str]:
        sources = np.asarray(batch.inputs["sources"])
        weights = _last_attention(sown, sources.shape[1])
        maps, across, tallest = [], 0, 0
        for target, source, attended in zip(np.asarray(batch.targets), sources, weights, strict=True):
            rows, columns = pieces(target, write), pieces(source, read)
            parts = [text(mark, 40 + 18 * j, 12, "middle") for j, (_, mark) in enumerate(columns)]
            for i, (t, mark) in enumerate(rows):
                parts.append(text(mark, 26, 31 + 18 * i, "end"))
                for j, (s, _) in enumerate(columns):
                    place = f'x="{31 + 18 * j}" y="{18 + 18 * i}" width="17" height="17"'
                    parts.append(f'<rect {place} fill="{STRONG}" fill-opacity="{attended[t, s]:.2f}"/>')
            maps.append(f'<g transform="translate({across} 0)">{"".join(parts)}</g>')
            across, tallest = across + 50 + 18 * len(columns), max(tallest, 24 + 18 * len(rows))
        return {"Attention weights": _svg(maps, across, tallest)}

    return show


def _last_attention(sown: PyTree, length: int) -> np.ndarray:
    """Return f32[B, T, S], the last sown attention over S = `length` source positions."""
    found: list[np.ndarray] = [
        np.asarray(leaf).mean(1)
        for path, leaf in jax.tree_util.tree_leaves_with_path(sown)
        if "attention" in jax.tree_util.keystr(path[-2:]) and leaf.ndim == 4 and leaf.shape[3] == length
    ]
    return found[-1]


def _box(box: Array, style: str) -> str:
    left, top, right, bottom = (_SIDE * float(edge) for edge in box)
    size = f'width="{max(right - left, 0):.1f}" height="{max(bottom - top, 0):.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="none" {style}/>'


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _svg(drawn: Iterable[str], width: float, height: float) -> str:
    box = f'viewBox="0 0 {width} {height}" width="{width}" role="img" overflow="visible"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{"".join(drawn)}</svg>'
