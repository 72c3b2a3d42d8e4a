import re
from xml.etree import ElementTree

import numpy as np

from fdl.core.types import Batch
from fdl.data.tokenizer import END, NUM_SPECIAL_TOKENS, START
from fdl.runs.report.visualize import attention, detections


def test_boxes_are_drawn_where_they_are_and_the_unlikely_are_not():
    answers = {
        "class": np.array([[1, 0]]),
        "probability": np.array([[0.9, 0.1]]),
        "box": np.array([[[0.25, 0.5, 0.75, 1.0], [0, 0, 1, 1]]]),
    }
    targets = {"box": np.float32([[[0.2, 0.5, 0.7, 1.0], [0, 0, 0, 0]]]), "label": np.array([[1, 0]])}
    batch = Batch(np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1), targets, np.ones(1))
    ((_, drawn),) = detections(("<nought>", "one"))(answers, {}, batch).items()
    ElementTree.fromstring(drawn)
    assert drawn.count("<rect") == 2
    assert 'x="50.0" y="100.0" width="100.0" height="100.0"' in drawn
    assert "one 0.90" in drawn
    assert "data:image/png;base64," in drawn
    assert "nought" not in drawn


def test_a_row_of_the_map_is_a_written_piece_and_a_column_a_read_one():
    sources = np.array([[NUM_SPECIAL_TOKENS, NUM_SPECIAL_TOKENS + 1, 0]])
    inputs = {
        "sources": sources,
        "decoder_inputs": np.array([[START, NUM_SPECIAL_TOKENS]]),
        "source_lengths": np.array([2]),
    }
    batch = Batch(inputs, np.array([[NUM_SPECIAL_TOKENS, END]]), np.ones((1, 2)))
    heads = np.float32([[[[0.2, 0.8, 0], [1, 0, 0]], [[0.4, 0.6, 0], [1, 0, 0]]]])
    sown = {"model": {"Attention_0": {"attention": (heads,)}, "other": {"attention": (heads[..., :2],)}}}
    ((_, drawn),) = attention(["&", "b"], ["c"])({}, sown, batch).items()
    texts = [element.text for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("text")]
    assert texts == ["&", "b", "c"]
    assert re.findall('fill-opacity="(.*?)"', drawn) == ["0.30", "0.70"]
