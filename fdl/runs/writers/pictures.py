"""Examples with predictions as one picture, or as a table of text: what trackers can show."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fdl.runs.report.gallery import Example

if TYPE_CHECKING:
    from PIL import Image

SIDE, CAPTION, COLUMNS, GAP = 128, 44, 4, 4  # pixels of a picture's side and its caption, pictures in a row, between
LETTERS = 18  # pixels high, since trackers show the sheet smaller than it is
GROUND, INK, WRONG = "white", "#222", "#b3261e"


def sheet(examples: Sequence[Example]) -> "Image.Image | None":
    """Return the pictures of examples in rows, each above what was predicted; None of texts and sequences."""
    from PIL import Image, ImageDraw, ImageFont

    shown = [each for each in examples if each.picture and not each.note]
    if not shown:
        return None
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    wide, high = SIDE + GAP, SIDE + CAPTION + GAP
    page = Image.new("RGB", (columns * wide + GAP, rows * high + GAP), GROUND)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(LETTERS)
    for i, each in enumerate(shown):
        x, y = GAP + i % columns * wide, GAP + i // columns * high
        picture = Image.open(io.BytesIO(base64.b64decode(each.picture.partition(",")[2]))).convert("RGB")
        scale = SIDE / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        page.paste(picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS), (x, y))
        truth = {False: f"not {each.true}", None: f"true {each.true}" if each.true else "", True: ""}[each.right]
        for line, words in enumerate((each.predicted, truth)):
            while words and draw.textlength(words, font) > SIDE:
                words = words[:-1]
            place = x, y + SIDE + line * (LETTERS + 2)
            draw.text(place, words, font=font, fill=WRONG if each.right is False else INK)
    return page


def png(examples: Sequence[Example]) -> tuple[bytes, int, int] | None:
    """Return the sheet of examples as a PNG with its width and height; None where they have no pictures."""
    page = sheet(examples)
    if page is None:
        return None
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue(), page.width, page.height


def table(examples: Sequence[Example]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table of examples: row, true, predicted, and their text, note or values."""
    names = list(dict.fromkeys(name for each in examples for name in each.values))
    texts, notes = any(each.text or each.marked for each in examples), any(each.note for each in examples)
    head = ["row", "true", "predicted", *(["text"] if texts else []), *(["note"] if notes else []), *names]
    rows = []
    for each in examples:
        text = each.text or "".join(f"[{piece}→{instead}]" if instead else piece for piece, instead in each.marked)
        values = [each.values.get(name, "") for name in names]
        more = [*([text] if texts else []), *([each.note] if notes else []), *values]
        rows.append([str(each.row), each.true, each.predicted, *more])
    return head, rows


def markdown(examples: Sequence[Example]) -> str:
    """Return the table of examples in Markdown."""
    head, rows = table(examples)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ↵ ")
