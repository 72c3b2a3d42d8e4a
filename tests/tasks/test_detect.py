"""Detection: boxes against arithmetic by hand, and the same average precision however the split is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core.types import Batch, add_up
from fdl.tasks import detect
from fdl.tasks.boxes import giou, greedy_match, iou, nms
from fdl.tasks.detect import average_precision

UNIT = np.float32([0, 0, 2, 2])


@pytest.mark.parametrize(
    ("other", "expected_iou", "expected_giou"),
    [
        ([0, 0, 2, 2], 1, 1),
        ([1, 1, 3, 3], 1 / 7, 1 / 7 - 2 / 9),
        ([0, 0, 1, 2], 1 / 2, 1 / 2),
        ([3, 0, 5, 2], 0, -2 / 10),
        ([2, 2, 1, 1], 0, 0),  # turned over, it has no area
    ],
)
def test_overlaps_are_those_of_arithmetic(other, expected_iou, expected_giou):
    other = np.float32(other)
    assert iou(UNIT, other) == pytest.approx(expected_iou)
    assert giou(UNIT, other) == pytest.approx(expected_giou, abs=1e-6)
    assert np.isfinite(jax.grad(giou)(jnp.asarray(other), UNIT)).all()


def test_of_boxes_that_overlap_the_best_of_each_class_is_kept():
    boxes = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [4, 0, 14, 10]])
    logits = np.float32([[-9, 4, np.nan], [-9, 3, -9], [-9, 2, -9]])
    chosen, best = nms(boxes, logits, 5)
    # the second box is like the first, the third like the second alone; the other classes have boxes of their own
    assert chosen.tolist()[:2] == [0 * 3 + 1, 2 * 3 + 1]
    assert best.tolist() == [4, 2, -9, -9, -9]
    assert sorted(chosen.tolist()[2:]) == [0 * 3 + 0, 1 * 3 + 2, 2 * 3 + 0]
    assert nms(boxes[:1], logits[:1, :1], 2)[1].tolist() == [-9, -np.inf]


def test_a_thing_is_found_once_and_by_the_best():
    likeness = np.float32([[0.6, 0.8], [0.7, 0.9], [0.55, -1.0]])
    assert greedy_match(likeness, 0.5).tolist() == [True, True, False]
    assert greedy_match(likeness, 0.75).tolist() == [True, False, False]


def test_average_precision_by_hand():
    # precision 1, 1/2, 2/3, 3/4 at recalls 1/4, 1/4, 2/4, 3/4; made monotone 1, 3/4, 3/4, 3/4; the fourth is not found
    assert average_precision(np.array([1.0, 0, 1, 1]), 4) == pytest.approx((1 + 3 / 4 + 3 / 4) / 4)
    assert average_precision(np.array([]), 3) == 0


def test_equally_certain_detections_have_no_order():
    both = [average_precision(np.array(right), 1, np.array([0.5, 0.5])) for right in ([1.0, 0], [0, 1.0])]
    assert both == [1 / 2, 1 / 2]
    assert average_precision(np.array([1.0, 0, 1, 0]), 2, np.array([3, 2, 2, 1])) == pytest.approx((1 + 2 / 3) / 2)


def test_images_without_things_or_without_detections_count():
    box = np.float32([[0.1, 0.1, 0.5, 0.5]])
    targets = {"box": np.stack([box, box, 0 * box]), "label": np.zeros((3, 1), int), "row": np.arange(3)}
    logits = np.float32([3, -np.inf, 9]).reshape(3, 1, 1, 1)  # found; nothing said; a thing where there is none
    outputs = {"class": logits, "box": np.tile(box[0], (3, 1, 1, 1)).astype(np.float32)}
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        turned = jax.tree.map(lambda x, order=order: x[order], (outputs, targets))
        values = detect(1, 3).finish(detect(1, 3)(turned[0], Batch(None, turned[1], np.ones(3, np.float32))))
        assert values["map50"] == pytest.approx(1 / 2 * 1 / 2)


@pytest.mark.parametrize("box", [[0.5, 0.1, 0.2, 0.4], [10, 20, 100, 200], [0.1, 0.6, 0.9, 0.4]])
def test_boxes_in_pixels_or_turned_over_are_refused(box):
    _, batch = made()
    assert detect(3, rows=23).check(batch.targets) is None
    batch.targets["box"][5, 1] = box
    row, said = detect(3, rows=23).check(batch.targets)
    assert row == 5
    assert "is not left, top, right, bottom as fractions of the image" in said


def made(rows=23, side=6, classes=3, most=2):
    """Targets, and outputs that are right at the middle of each thing, with noise elsewhere and some boxes off."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.6, (rows, most, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.2, 0.4, low.shape)], -1).astype(np.float32)
    boxes[:7, 1] = 0
    labels = rng.integers(0, classes, (rows, most))
    logits = rng.normal(-3, 1, (rows, side, side, classes)).astype(np.float32)
    said = rng.uniform(0, 1, (rows, side, side, 4)).astype(np.float32)
    for row in range(rows):
        for box, label in zip(boxes[row], labels[row], strict=True):
            across, down = (side * (box[:2] + box[2:]) / 2).astype(int)
            logits[row, down, across, label] = rng.normal(1, 2)
            said[row, down, across] = box + rng.normal(0, 0.03, 4)
    targets = {"box": boxes, "label": labels.astype(np.int32), "row": np.arange(rows)}
    return {"class": logits, "box": said}, Batch(None, targets, np.ones(rows, np.float32))


def added(outputs, batch, size, pad=2):
    """The metrics of pieces of `size` rows, each followed by rows of NaN that weigh nothing."""
    task, pieces, count = detect(3, rows=30), [], len(batch.weights)
    filled = jax.tree.map(lambda x: np.concatenate([x, np.full_like(x[:1], np.nan)]), outputs)
    for at in range(0, count, size):
        index = np.arange(at, at + size + pad)
        index = np.where((index < at + size) & (index < count), index, count)
        piece = jax.tree.map(lambda x, index=index: x[index], filled)
        targets = jax.tree.map(lambda x, index=index: x[index % count], batch.targets)
        sums = jax.jit(task.sums)(piece, Batch(None, targets, np.float32(index < count)))
        pieces.append(jax.tree.map(lambda x: np.asarray(x)[None], sums))
    return task.finish(add_up(pieces))


def by_hand(outputs, batch, least):
    """Mean average precision in plain Python, from every place that is not beaten by a better one of its class."""
    said, things = [], np.zeros(3)
    for row, weight in enumerate(batch.weights):
        assert weight == 1
        boxes, labels = batch.targets["box"][row], batch.targets["label"][row]
        free = [box[2] > box[0] for box in boxes]
        np.add.at(things, labels[np.array(free)], 1)
        logits = outputs["class"][row].reshape(-1)
        best, chosen = [], np.argsort(-logits, kind="stable")
        for place, label in [(i // 3, i % 3) for i in chosen]:
            box = outputs["box"][row].reshape(-1, 4)[place]
            if any(other == label and float(iou(box, b)) > 0.5 for other, b in best):
                continue
            best.append((label, box))
            if len(best) > 20:
                break
            likeness = [
                float(iou(box, b)) if f and k == label else -1 for b, k, f in zip(boxes, labels, free, strict=True)
            ]
            hit = max(likeness) >= least
            if hit:
                free[int(np.argmax(likeness))] = False
            said.append((-logits[3 * place + label], label, hit))
    said.sort()
    hits = [np.array([hit for _, kind, hit in said if kind == label]) for label in range(3)]
    return np.mean([average_precision(hit, thing) for hit, thing in zip(hits, things, strict=True)])


def test_mean_average_precision_is_exact_however_the_split_is_cut():
    outputs, batch = made()
    whole = added(outputs, batch, len(batch.weights), pad=0)
    assert whole["map50"] == pytest.approx(by_hand(outputs, batch, 0.5))
    assert 0.2 < whole["map"] < whole["map50"] < 0.99
    for size in (1, 10):
        pieces = added(outputs, batch, size)
        assert (pieces["map50"], pieces["map"]) == (whole["map50"], whole["map"])
        assert pieces["loss"] == pytest.approx(whole["loss"], rel=1e-5)


def test_the_loss_is_least_where_the_outputs_are_right():
    _, batch = made()
    side = 6
    logits, said = np.full((23, side, side, 3), -20, np.float32), np.zeros((23, side, side, 4), np.float32)
    task = detect(3, rows=23, radius=0.5)
    middles = np.floor(side * (batch.targets["box"][..., :2] + batch.targets["box"][..., 2:]) / 2).astype(int)
    alone = batch._replace(targets={**batch.targets, "box": batch.targets["box"].copy()})
    alone.targets["box"][:, 1] = 0
    for row, (across, down) in enumerate(middles[:, 0]):
        logits[row, down, across, batch.targets["label"][row, 0]] = 20
        said[row, down, across] = batch.targets["box"][row, 0]
    sums = task({"class": logits, "box": said}, alone)
    values = task.finish(sums)
    assert values["loss"] == pytest.approx(0, abs=1e-5)
    assert values["map"] == pytest.approx(1)
    assert task({"class": -logits, "box": said}, alone)["loss"].total > 100


def test_classes_must_agree():
    outputs, batch = made()
    with pytest.raises(ValueError, match="3 classes"):
        detect(4, rows=30)(outputs, batch)
