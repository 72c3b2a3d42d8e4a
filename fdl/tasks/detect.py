"""What stands where in an image.

Shape legend: B batch, H height and W width of a grid, P = H·W places, K classes, N boxes of the targets, M detections,
L least overlaps.
"""

import math
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.core.types import Array, Batch, Metric, PyTree, Sum, Sums, Task, Unreduced
from fdl.tasks.boxes import area, giou, greedy_match, iou, suppress
from fdl.tasks.counts import counts, tally
from fdl.tasks.sums import mean, outside, weigh

LEAST = np.linspace(0.5, 0.95, 10, dtype=np.float32)  # overlaps from which a detection is right, as in COCO


def detect(classes: int, rows: int, *, most: int = 20, radius: float = 1.5) -> Task:
    """Make the task of detection without anchors: focal loss for the classes, GIoU for the boxes (Tian et al., 2019).

    outputs: {"class": f32[B, H, W, K], "box": f32[B, H, W, 4]}, logits and boxes of each place of a grid.
    targets: {"box": f32[B, N, 4], "label": i32[B, N], "row": i32[B]}: left, top, right and bottom as fractions of the
             image, without area where there is nothing; the example's place in its split of at most `rows`, which the
             check holds: a page that was written for another split is refused.
    weights: f32[B].
    most:    detections that an image can have, of which none is another again: all places compete before they are cut.
    radius:  in cells: a place learns a thing if it lies in the thing's box and this near its middle.
    `map50` is the mean over the classes of the average precision, where a detection is right if it overlaps a thing of
    its class by half; `map` is the mean over LEAST. Both come from all detections of the split, whose numbers are kept
    and not binned: they are the same however the split was cut into batches.
    """

    def sums(outputs: Mapping[str, Array], batch: Batch) -> Sums:
        if outputs["class"].shape[-1] != classes:
            raise ValueError(f"detect({classes}) and a model of {outputs['class'].shape[-1]} classes; make them equal")
        boxes, labels = batch.targets["box"], batch.targets["label"]
        present = area(boxes) > 0
        found = detections(outputs, most)
        likeness = iou(found["box"][:, :, None], boxes[:, None])
        alike = (found["class"][:, :, None] == labels[:, None]) & present[:, None] & found["kept"][:, :, None]
        right = jax.vmap(jax.vmap(greedy_match, (None, 0)), (0, None))(
            jnp.where(alike, likeness, -1.0), jnp.asarray(LEAST)
        )
        said = jnp.stack([found["kept"], found["class"], found["logit"]], -1).astype(jnp.float32)
        said = jnp.concatenate([said, jnp.swapaxes(right, 1, 2).astype(jnp.float32)], -1)
        said = jnp.where(batch.weights[:, None, None] > 0, said, 0.0)
        there = (present & (batch.weights[:, None] > 0)).astype(jnp.float32)
        return {
            "loss": weigh(losses(outputs, boxes, labels, radius), batch.weights),
            "detections": Unreduced(said, batch.weights.astype(jnp.float32)),
            "things": tally((labels.reshape(-1),), there.reshape(-1), (classes,)),
        }

    def check(targets: PyTree) -> tuple[int, str] | None:
        return outside(
            targets["label"], 0, classes - 1, f"a class of detect({classes}): 0 to {classes - 1}"
        ) or outside(targets["row"], 0, rows - 1, f"one of the rows=0 to {rows - 1} of detect({classes}, {rows})")

    return Task(
        name="detect",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "map50": Metric(("detections", "things"), lambda d, t: mean_precision(d, t)[0], "higher"),
            "map": Metric(("detections", "things"), lambda d, t: float(np.mean(mean_precision(d, t))), "higher"),
        },
        primary="map50",
        predict=lambda outputs: _predict(outputs, most),
        check=check,
    )


def losses(outputs: Mapping[str, Array], boxes: Array, labels: Array, radius: float) -> jax.Array:
    """Return f32[B]: focal loss of all places and 1 - GIoU of those that learn a thing, by the number of the latter.

    A place within two things learns the smaller. Paper: FCOS, without its centre-ness: `radius` does as much.
    """
    batch, height, width, classes = outputs["class"].shape
    logits = outputs["class"].reshape(batch, -1, classes).astype(jnp.float32)
    proposed = outputs["box"].reshape(batch, -1, 4).astype(jnp.float32)
    cells = jnp.array([width, height], jnp.float32)
    places = jnp.stack([jnp.tile(jnp.arange(width), height), jnp.repeat(jnp.arange(height), width)], -1)
    places = ((places + 0.5) / cells[None])[None, :, None]  # [1, P, 1, 2]
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    near = jnp.abs(places - (low + high) / 2) * cells.reshape(1, 1, 1, 2) <= radius
    inside = jnp.all((places > low) & (places < high) & near, -1)  # [B, P, N]
    size = jnp.where(inside, area(boxes)[:, None], jnp.inf)
    owner, learns = jnp.argmin(size, -1), jnp.any(inside, -1)
    kind = jnp.take_along_axis(labels, owner, 1)
    wanted = jnp.take_along_axis(boxes, owner[..., None], 1)
    focal = optax.sigmoid_focal_loss(logits, jax.nn.one_hot(kind, classes) * learns[..., None], alpha=0.25).sum((1, 2))
    apart = jnp.sum(jnp.where(learns, 1 - giou(proposed, wanted), 0.0), 1)
    return (focal + apart) / jnp.maximum(jnp.sum(learns, 1), 1)


def detections(outputs: Mapping[str, Array], most: int) -> dict[str, jax.Array]:
    """Return the `most` likeliest detections of each image, the best first, after non-maximum suppression.

    {"class": i32[B, M], "logit": f32[B, M], "box": f32[B, M, 4], "kept": bool[B, M], False where there are no more}
    """
    batch, classes = len(outputs["class"]), outputs["class"].shape[-1]
    logits = outputs["class"].reshape(batch, -1, classes).astype(jnp.float32)
    boxes = outputs["box"].reshape(batch, -1, 4).astype(jnp.float32)
    chosen, best = jax.vmap(partial(suppress, most=min(most, logits[0].size)))(boxes, logits)
    picked = jnp.take_along_axis(boxes, (chosen // classes)[..., None], 1)
    return {"class": chosen % classes, "logit": best, "box": picked, "kept": best > -jnp.inf}


def mean_precision(detected: Unreduced, things: Sum) -> list[float]:
    """Return for each least overlap the mean average precision of the classes that occur.

    detected: f64[n, M, 3 + L], of each detection 1, its class, its logit, and whether it is right by each overlap;
    zeros where there is none. things: counts [K], how many there are of each class.
    """
    said = detected.total.reshape(-1, detected.total.shape[-1])
    said = said[said[:, 0] == 1]
    said = said[np.argsort(-said[:, 2], kind="stable")]
    present = [(label, count) for label, count in enumerate(counts(things)) if count > 0]
    if not present:
        return [math.nan] * len(LEAST)
    per_class = [[average_precision(hit, count) for hit in said[said[:, 1] == label, 3:].T] for label, count in present]
    return np.mean(per_class, axis=0).tolist()


def average_precision(right: np.ndarray, things: float) -> float:
    """Return the area under precision by recall, each precision being the best at that recall or a higher one.

    right: [n], 1 or 0 for each detection, the most certain first; things: how many there are to be found.
    """
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best * right) / things)


def _predict(outputs: Mapping[str, Array], most: int) -> dict[str, Array]:
    found = detections(outputs, most)
    probability = jnp.where(found["kept"], jax.nn.sigmoid(found["logit"]), 0.0)
    return {"class": found["class"], "probability": probability, "box": found["box"]}
