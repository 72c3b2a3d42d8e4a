"""Examples in the report with what they are and what was predicted: pictures, texts, or rows of a table.

Shape legend: H height, W width, C channels.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from fdl.runs.report.elements import element, table

LONGEST = 420  # letters of a text that are shown
COLUMNS = 10  # of a row of a table
LARGEST = 192  # pixels of a side of a picture
SMALL = 64  # a picture of at most so many pixels a side is shown pixel by pixel


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example of a split and what a model answers about it.

    row: its number. true, predicted: in words. right: whether they agree; None of numbers.
    picture: an address of data. text: its own. marked: a text in pieces, each with the token predicted instead where
    that is wrong, "" where it is right. values: of a row, by column. note: what else is said of a text or sequence, as
    its error rate; where there is one, what is true stands in a line of its own.
    """

    row: int
    true: str = ""
    predicted: str = ""
    right: bool | None = None
    picture: str = ""
    text: str = ""
    marked: Sequence[tuple[str, str]] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def answer(self) -> str:
        """What was predicted, beside what is true where they differ."""
        if self.right is None:
            return f"{self.true} → {self.predicted}" if self.true else self.predicted
        return self.predicted if self.right or self.note else f"{self.predicted}, not {self.true}"


def gallery(examples: Sequence[Example]) -> str:
    """Return examples as a table where they are rows, else as cards."""
    if not examples:
        return ""
    if not any(each.picture or each.text or each.marked or each.note for each in examples):
        return _rows(examples)
    kind = "cards pictures" if all(each.picture and not each.note for each in examples) else "cards"
    return f'<div class="{kind}">{"".join(map(_card, examples))}</div>'


def _rows(examples: Sequence[Example]) -> str:
    names = list(dict.fromkeys(name for each in examples for name in each.values))
    shown = names[:COLUMNS]
    head = ("row", "true", "predicted", *shown)
    rows = [(each.row, each.true, each.predicted, *(each.values.get(name, "") for name in shown)) for each in examples]
    more = element("p", f"and {len(names) - COLUMNS} columns more", ' class="note"') if len(names) > COLUMNS else ""
    return table(head, rows) + more


def _card(example: Example) -> str:
    parts = []
    if example.picture:
        parts.append(f'<img alt="example {example.row}" src="{escape(example.picture)}">')
    if example.text:
        cut = f"{example.text[:LONGEST]}…" if len(example.text) > LONGEST else example.text
        parts.append(element("p", cut, ' class="words"'))
    if example.marked:
        pieces = [
            element("mark", piece, f' title="predicted {escape(instead)}"') if instead else escape(piece)
            for piece, instead in example.marked
        ]
        parts.append(f'<p class="words">{"".join(pieces)}</p>')
    kind = {None: "", True: "right", False: "wrong"}[example.right]
    parts.append(element("p", example.answer or "nothing", f' class="answer {kind}" title="row {example.row}"'))
    if example.note:
        truth = f"true {example.true}" if example.true and not example.right else ""
        parts += [element("p", each, ' class="note"') for each in (truth, example.note) if each]
    return f'<div class="card">{"".join(parts)}</div>'


def picture(pixels: np.ndarray) -> str:
    """Return numbers [H, W, 1 or 3], bytes or of any range, as an address of data that a page shows."""
    from PIL import Image

    if pixels.dtype != np.uint8:
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
        pixels = np.nan_to_num(255 * (pixels - low) / max(high - low, 1e-6)).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((LARGEST, LARGEST))
    form = "PNG" if max(image.size) <= SMALL else "JPEG"
    file = io.BytesIO()
    image.save(file, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
