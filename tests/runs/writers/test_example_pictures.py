import base64
import io

import numpy as np
from PIL import Image

from fdl.runs.report.gallery import Example, picture
from fdl.runs.writers.pictures import CAPTION, COLUMNS, GAP, SIDE, markdown, png, sheet
from fdl.runs.writers.writer import tag_of


def test_pictures_of_any_size_are_on_a_sheet_above_what_was_predicted():
    pixels = np.full((3, 7, 3), (200, 30, 30), np.uint8)
    wrong = Example(row=1, true="cat" * 99, predicted="dog 0.9", right=False, picture=picture(pixels))
    right = Example(row=2, true="cat", predicted="cat 0.8", right=True, picture=picture(pixels[..., :1]))
    page = sheet([wrong] * COLUMNS + [right])
    assert page.size == (COLUMNS * (SIDE + GAP) + GAP, 2 * (SIDE + CAPTION + GAP) + GAP)
    assert page.getpixel((GAP + 5, GAP + 5)) == (200, 30, 30)
    captions = page.crop((0, GAP + SIDE, GAP + SIDE, GAP + SIDE + CAPTION))
    assert np.asarray(captions)[..., 1].min() < 100  # dark letters on white
    encoded, width, height = png([right])
    assert Image.open(io.BytesIO(encoded)).size == (width, height) == (SIDE + 2 * GAP, SIDE + CAPTION + 2 * GAP)
    assert base64.b64decode(right.picture.partition(",")[2])[1:4] == b"PNG"


def test_texts_and_values_are_a_table_whose_cells_hold_anything():
    assert sheet([Example(row=0)]) is None
    assert png([]) is None
    text = Example(row=3, true="a|b", predicted="c", right=False, text="two\nlines | and \\ more")
    marked = Example(row=4, predicted="50% right", marked=[("ab", ""), ("c", "d")])
    assert markdown([text, marked]).splitlines() == [
        "| row | true | predicted | text |",
        "| --- | --- | --- | --- |",
        r"| 3 | a\|b | c | two ↵ lines \| and \\ more |",
        "| 4 |  | 50% right | ab[c→d] |",
    ]
    rows = [Example(row=5, true="1", predicted="2", values={"x": "7"}), Example(row=6, values={"y": "8"})]
    assert markdown(rows).splitlines()[2:] == ["| 5 | 1 | 2 | 7 |  |", "| 6 |  |  |  | 8 |"]


def test_examples_have_one_tag_in_all_runs():
    titles = "The surest mistakes, 6 of 9", "The surest mistakes, 12 of 130"
    assert {tag_of("test", title) for title in titles} == {"test/the_surest_mistakes"}
    assert tag_of("validation", "Examples") == "validation/examples"


def test_a_sequence_has_its_error_rate_in_a_table_even_with_a_picture():
    said = Example(row=7, true="one two", predicted="one", right=False, picture="data:,", note="error rate 0.5")
    assert png([said]) is None
    assert markdown([said]).splitlines()[2] == "| 7 | one two | one | error rate 0.5 |"
