"""Object detection.

Shape legend: B batch, H height and W width of a grid, P = H·W cells, K classes, N ground-truth boxes, M detections,
L IoU thresholds.
"""

import math
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, PyTree, Sum, Sums, Task, Unreduced
from fdl.tasks.boxes import area, giou, greedy_match, iou, nms
from fdl.tasks.counts import counts, tally
from fdl.tasks.sums import mean, outside, weigh

THRESHOLDS = np.linspace(0.5, 0.95, 10, dtype=np.float32)  # IoU thresholds of COCO


def detect(classes: int, rows: int, *, most: int = 20, radius: float = 1.5) -> Task:
    """Make the task of anchor-free detection: focal loss for the classes, GIoU for the boxes (Tian et al., 2019).

    outputs: {"class": f32[B, H, W, K], "box": f32[B, H, W, 4]}, logits and boxes of each grid cell.
    targets: {"box": f32[B, N, 4], "label": i32[B, N], "row": i32[B]}: left, top, right and bottom as fractions of the
             image, zero area for padding; the example's row in its split, less than `rows`, which `check` verifies: a
             page written for another split is refused.
    weights: f32[B].
    most:    maximum detections per image, after non-maximum suppression over all cells.
    radius:  in cells: a cell is assigned to an object if it lies inside its box and this near its center.
    `map50` is the mean average precision at an IoU threshold of 0.5, `map` the mean over THRESHOLDS. Both use all
    detections of the split, unbinned, so they do not depend on the batching.
    """

    def sums(outputs: Mapping[str, Array], batch: Batch) -> Sums:
        if outputs["class"].shape[-1] != classes:
            raise UserError(f"detect({classes}) and a model of {outputs['class'].shape[-1]} classes; make them equal")
        boxes, labels = batch.targets["box"], batch.targets["label"]
        present = area(boxes) > 0
        top = detections(outputs, most)
        ious = iou(top["box"][:, :, None], boxes[:, None])
        same_class = (top["class"][:, :, None] == labels[:, None]) & present[:, None] & top["kept"][:, :, None]
        correct = jax.vmap(jax.vmap(greedy_match, (None, 0)), (0, None))(
            jnp.where(same_class, ious, -1.0), jnp.asarray(THRESHOLDS)
        )
        detected = jnp.stack([top["kept"], top["class"], top["logit"]], -1).astype(jnp.float32)
        detected = jnp.concatenate([detected, jnp.swapaxes(correct, 1, 2).astype(jnp.float32)], -1)
        detected = jnp.where(batch.weights[:, None, None] > 0, detected, 0.0)
        annotated = (present & (batch.weights[:, None] > 0)).astype(jnp.float32)
        return {
            "loss": weigh(losses(outputs, boxes, labels, radius), batch.weights),
            "detections": Unreduced(detected, batch.weights.astype(jnp.float32)),
            "ground_truth": tally((labels.reshape(-1),), annotated.reshape(-1), (classes,)),
        }

    def check(targets: PyTree) -> tuple[int, str] | None:
        return (
            outside(targets["label"], 0, classes - 1, f"a class of detect({classes}): 0 to {classes - 1}")
            or outside(targets["row"], 0, rows - 1, f"one of the rows=0 to {rows - 1} of detect({classes}, {rows})")
            or no_boxes(targets["box"])
        )

    return Task(
        name="detect",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "map50": Metric(("detections", "ground_truth"), lambda d, t: mean_precision(d, t)[0], "higher"),
            "map": Metric(("detections", "ground_truth"), lambda d, t: float(np.mean(mean_precision(d, t))), "higher"),
        },
        primary="map50",
        predict=lambda outputs: _predict(outputs, most),
        check=check,
    )


def no_boxes(boxes: np.ndarray) -> tuple[int, str] | None:
    """Return the first row of boxes f32[n, N, 4] that has one which is turned over or in pixels, and what it is."""
    boxes = np.asarray(boxes)
    wrong = (boxes[..., 2:] < boxes[..., :2]).any(-1) | (np.abs(boxes) > _BEYOND).any(-1)
    if not wrong.any():
        return None
    row, place = np.argwhere(wrong)[0]
    shown = ", ".join(f"{edge:g}" for edge in boxes[row, place])
    return int(row), f"box ({shown}) is not left, top, right, bottom as fractions of the image"


def losses(outputs: Mapping[str, Array], boxes: Array, labels: Array, radius: float) -> jax.Array:
    """Return f32[B]: focal loss of all cells and 1 - GIoU of the positive ones, divided by the number of the latter.

    A cell inside two objects is assigned to the smaller. Paper: FCOS, with center sampling (`radius`) in place of its
    center-ness.
    """
    batch, height, width, classes = outputs["class"].shape
    logits = outputs["class"].reshape(batch, -1, classes).astype(jnp.float32)
    proposed = outputs["box"].reshape(batch, -1, 4).astype(jnp.float32)
    grid_size = jnp.array([width, height], jnp.float32)
    points = jnp.stack([jnp.tile(jnp.arange(width), height), jnp.repeat(jnp.arange(height), width)], -1)
    points = ((points + 0.5) / grid_size[None])[None, :, None]  # [1, P, 1, 2]
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    near_center = jnp.abs(points - (low + high) / 2) * grid_size.reshape(1, 1, 1, 2) <= radius
    inside = jnp.all((points > low) & (points < high) & near_center, -1)  # [B, P, N]
    size = jnp.where(inside, area(boxes)[:, None], jnp.inf)
    assigned, positive = jnp.argmin(size, -1), jnp.any(inside, -1)
    label = jnp.take_along_axis(labels, assigned, 1)
    target = jnp.take_along_axis(boxes, assigned[..., None], 1)
    focal = optax.sigmoid_focal_loss(logits, jax.nn.one_hot(label, classes) * positive[..., None], alpha=0.25).sum(
        (1, 2)
    )
    box_loss = jnp.sum(jnp.where(positive, 1 - giou(proposed, target), 0.0), 1)
    result: jax.Array = (focal + box_loss) / jnp.maximum(jnp.sum(positive, 1), 1)
    return result


def detections(outputs: Mapping[str, Array], most: int) -> dict[str, jax.Array]:
    """Return the `most` best detections of each image, best first, after non-maximum suppression.

    {"class": i32[B, M], "logit": f32[B, M], "box": f32[B, M, 4], "kept": bool[B, M], False for padding}
    """
    batch, *_, classes = outputs["class"].shape
    logits = outputs["class"].reshape(batch, -1, classes).astype(jnp.float32)
    boxes = outputs["box"].reshape(batch, -1, 4).astype(jnp.float32)
    chosen, best = jax.vmap(partial(nms, most=min(most, logits[0].size)))(boxes, logits)
    picked = jnp.take_along_axis(boxes, (chosen // classes)[..., None], 1)
    return {"class": chosen % classes, "logit": best, "box": picked, "kept": best > -jnp.inf}


_BEYOND = 2.0  # image sides from the image that a coordinate may lie; pixels lie farther


def mean_precision(predictions: Unreduced, ground_truth: Sum) -> list[float]:
    """Return the mean average precision over the classes that occur, per IoU threshold.

    predictions: f64[n, M, 3 + L], per detection: 1, its class, its logit, and whether it is correct at each threshold;
    zeros for padding. ground_truth: counts [K] of each class.
    """
    detected = np.asarray(predictions.total).reshape(-1, predictions.total.shape[-1])
    detected = detected[detected[:, 0] == 1]
    detected = detected[np.argsort(-detected[:, 2], kind="stable")]
    present = [(label, count) for label, count in enumerate(counts(ground_truth)) if count > 0]
    if not present:
        return [math.nan] * len(THRESHOLDS)
    per_class = []
    for label, count in present:
        found = detected[detected[:, 1] == label]
        per_class.append([average_precision(hit, count, found[:, 2]) for hit in found[:, 3:].T])
    result: list[float] = np.mean(per_class, axis=0).tolist()
    return result


def average_precision(correct: np.ndarray, ground_truth: float, logits: np.ndarray | None = None) -> float:
    """Return the area under the precision-recall curve, precision interpolated as the maximum at higher recall.

    correct: [n], 1 or 0 per detection, most confident first; ground_truth: number of objects.
    logits: [n], the confidences: equal ones pass a threshold together, whatever their order. None: all differ.
    """
    hits = np.cumsum(correct)
    precision = hits / np.arange(1, len(hits) + 1)
    if logits is not None and len(logits):
        ends = np.append(np.flatnonzero(np.diff(logits) != 0), len(logits) - 1)
        precision = precision[ends[np.searchsorted(ends, np.arange(len(logits)))]]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best * correct) / ground_truth)


def _predict(outputs: Mapping[str, Array], most: int) -> dict[str, Array]:
    top = detections(outputs, most)
    probability = jnp.where(top["kept"], jax.nn.sigmoid(top["logit"]), 0.0)
    return {"class": top["class"], "probability": probability, "box": top["box"]}
