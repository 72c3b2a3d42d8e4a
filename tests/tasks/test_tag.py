"""Spans are counted as conlleval counts them; sums are checked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core.types import Batch, add_up
from fdl.tasks import tag

NAMES = ("B-LOC", "B-PER", "E-PER", "I-LOC", "I-PER", "O", "S-LOC")


def metrics(names, predicted, targets, weights=None):
    """Return the metrics of sentences given as tags with blanks between."""
    number = {name: i for i, name in enumerate(names)}
    rows = [[number[each] for each in sentence.split()] for sentence in (*predicted, *targets)]
    time = max(map(len, rows))
    padded = np.array([row + [0] * (time - len(row)) for row in rows], np.int32)
    wrote, true = padded[: len(predicted)], padded[len(predicted) :]
    lengths = np.array([len(each.split()) for each in targets])
    there = (np.arange(time) < lengths[:, None]).astype(np.float32) if weights is None else weights
    task = tag(names)
    sums = task(jnp.eye(len(names))[wrote] * 9.0, Batch(None, true, there))
    whole = add_up([{name: type(s)(*(np.asarray(x)[None] for x in s)) for name, s in sums.items()}])
    return task.finish(whole, "test")


@pytest.mark.parametrize(
    ("predicted", "target", "right", "of_predicted", "of_true"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", 1, 1, 1),
        ("B-PER O O", "B-PER I-PER O", 0, 1, 1),  # too short
        ("B-LOC I-LOC O", "B-PER I-PER O", 0, 1, 1),  # another kind
        ("B-PER B-PER O", "B-PER I-PER O", 0, 2, 1),  # divided
        ("I-PER I-PER O", "B-PER I-PER O", 1, 1, 1),  # begins without B
        ("B-PER I-LOC O", "B-PER I-LOC O", 2, 2, 2),  # the kind changes: two spans
        ("S-LOC S-LOC O", "S-LOC S-LOC O", 2, 2, 2),
        ("B-PER E-PER I-PER", "B-PER E-PER I-PER", 2, 2, 2),  # E ends, whatever follows
        ("O O B-PER", "O O B-PER", 1, 1, 1),  # ends with the sentence
        ("O O O", "B-PER I-PER O", 0, 0, 1),
    ],
)
def test_a_span_is_right_where_its_ends_and_its_kind_are(predicted, target, right, of_predicted, of_true):
    found = metrics(NAMES, [predicted], [target])
    assert found["recall"] == right / of_true
    assert found["span_f1"] == 2 * right / (of_predicted + of_true)
    assert found["precision"] == (right / of_predicted if of_predicted else 0)


def test_padding_counts_nothing():
    alone = metrics(NAMES, ["B-PER I-PER"], ["B-PER I-PER"])
    beside = metrics(NAMES, ["B-PER I-PER", "O O O O B-LOC"], ["B-PER I-PER", "O O O O B-LOC"])
    assert alone["accuracy"] == beside["accuracy"] == 1
    assert beside["span_f1"] == 1
    # What a model writes after the end of a sentence, here a span that goes on, is no part of it.
    longer = metrics(NAMES, ["B-PER I-PER I-PER"], ["B-PER I-PER"])
    assert longer["span_f1"] == 1
    none = metrics(NAMES, ["B-PER O"], ["O B-PER"], weights=np.zeros((1, 2), np.float32))
    assert np.isnan(none["span_f1"])
    assert np.isnan(none["loss"])


@pytest.mark.parametrize("names", [("NOUN", "VERB", "O"), ("O", "X"), ("B", "I", "O")])
def test_tags_that_mark_no_spans_are_classes(names):
    assert "span_f1" not in tag(names).metrics
    assert tag(names).primary == "accuracy"
