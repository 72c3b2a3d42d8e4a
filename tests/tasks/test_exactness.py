"""What public bug reports of other frameworks found: numbers that float32, bins and ties make wrong without a word."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from fdl.core import data_axis, steps
from fdl.core.types import Batch, Task, add_up
from fdl.data.dataset import columns
from fdl.engine import loader
from fdl.parallel.compiled import Call
from fdl.parallel.executors import EXECUTORS
from fdl.tasks import binary, classify, detect, embed, masked_token, multi_label, next_token, regress
from fdl.tasks.counts import class_counts, counts, tally
from fdl.tasks.embed import retrieval, verification

RNG = np.random.default_rng(0)


def finished(task: Task, outputs, targets, weights=None, size=None, split="train") -> dict:
    """Return the metrics of examples that come in batches of `size`."""
    weights = np.ones(len(targets), np.float32) if weights is None else weights
    size = size or len(targets)
    step = jax.jit(task.sums)
    calls = [
        step(jnp.asarray(outputs[at : at + size]), Batch(None, targets[at : at + size], weights[at : at + size]))
        for at in range(0, len(targets), size)
    ]
    return task.finish(add_up(jax.tree.map(lambda x: np.asarray(x)[None], call) for call in calls), split)


def test_counts_go_on_beyond_what_one_float32_counts():
    size = 2**24 + 1_000_001
    zeros, ones = jnp.zeros(size, jnp.int32), jnp.ones(size)
    counted = jax.jit(lambda i, w: tally((i, i), w, (2, 2)))(zeros, ones)
    assert counts(jax.tree.map(lambda x: np.asarray(x, np.float64), counted)).tolist() == [[size, 0], [0, 0]]


def test_counts_of_shards_add_up_exactly():
    parts = [tally((jnp.zeros(4099, jnp.int32),), jnp.ones(4099), (1,)) for _ in range(3)]
    total = jax.tree.map(lambda *x: np.sum(np.stack(x), 0, dtype=np.float32), *parts)
    assert counts(total).tolist() == [3 * 4099]
    assert parts[0].total.tolist() == [[4096], [3]]


def test_fractions_do_not_drift():
    labels = np.repeat([0, 1], 500_000)
    weights = np.full(1_000_000, 0.1, np.float32)
    sure = np.eye(2, dtype=np.float32)[np.zeros(1_000_000, int)]
    metrics = finished(classify(2), sure, labels, weights)
    np.testing.assert_allclose(metrics["confusion"], [[5e4, 0], [5e4, 0]], rtol=2e-5)
    assert metrics["f1"] == pytest.approx(1 / 3, rel=1e-5)


def test_answers_of_many_rows_are_counted_exactly():
    yes, weights = RNG.random((5000, 3)) < 0.7, np.float32(RNG.integers(0, 3, 5000))
    counted = counts(class_counts(jnp.asarray(yes), jnp.asarray(~yes), jnp.asarray(weights)))
    assert counted.tolist() == [[0, 0, 0], (weights @ yes).tolist(), (weights @ ~yes).tolist()]


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("size", [1, 64, 1000])
def test_determination_does_not_depend_on_the_mean(mean, size):
    targets = (mean + RNG.normal(size=1000)).astype(np.float32)
    outputs = (targets + RNG.normal(0, 0.1, 1000)).astype(np.float32)
    right = sk.r2_score(targets.astype(float), outputs.astype(float))
    assert finished(regress(), outputs, targets, size=size)["r2"] == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("unit", [1e-30, 1e-24, 1e-6, 1.0, 1e21, 1e30])
def test_errors_of_any_size_have_a_root_mean_square(unit):
    targets = (unit * RNG.normal(size=50)).astype(np.float32)
    outputs = (targets + unit * RNG.normal(size=50)).astype(np.float32)
    error = outputs.astype(float) - targets
    metrics = finished(regress(), outputs, targets, size=7)
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert metrics["r2"] == pytest.approx(sk.r2_score(targets / unit, outputs / unit), abs=1e-5)


@pytest.mark.parametrize("unit", [1e-24, 1e-6, 1e21])
@pytest.mark.parametrize("executor", ["mesh", "pmap"])
def test_devices_do_not_change_how_errors_are_squared(unit, executor):
    rng = np.random.default_rng(0)
    targets = (unit * rng.normal(size=(64, 2))).astype(np.float32)
    outputs = (targets + unit * rng.normal(size=(64, 2))).astype(np.float32)
    task, source = regress(), columns(outputs, targets)

    def step(state, batch):
        return state, data_axis.add(task(batch.inputs, batch))

    placed = EXECUTORS[executor](jax.devices())
    call = Call(placed, steps.fuse(steps.take_rows(step, source.take)), (source.arrays,))
    _, sums = call(placed.put_state({}), loader.evaluation_rows(batch_size=64, size=64))
    metrics = task.finish(add_up([jax.device_get(sums)]))
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean((outputs - targets.astype(float)) ** 2)), rel=1e-5)
    assert metrics["r2"] == pytest.approx(sk.r2_score(targets / unit, outputs / unit), abs=1e-5)


def test_an_infinite_error_stays_infinite():
    metrics = finished(regress(), np.float32([np.inf, 1]), np.float32([0, 0]))
    assert metrics["rmse"] == np.inf
    assert np.isnan(finished(regress(), np.float32([np.nan, 1]), np.float32([0, 0]))["rmse"])


def test_errors_of_very_different_sizes_share_a_root_mean_square():
    outputs = np.float32([1e-24, 1.0, 3e20])
    assert finished(regress(), outputs, np.zeros(3, np.float32))["rmse"] == pytest.approx(3e20 / 3**0.5, rel=1e-6)


def test_targets_that_no_square_can_hold_are_refused():
    assert regress().check(np.float32([0, 1e21])) == (1, "target 1e+21, in units of regress(scale=1.0), overflows in "
                                                         "float32 when squared")  # fmt: skip
    assert "vanishes" in regress().check(np.float32([0, 1e-24]))[1]
    assert regress(center=3e21, scale=1e21).check(np.float32([2e21, 3e21])) is None


@pytest.mark.parametrize(("base", "spread"), [(0, 0.03), (-4, 0.3), (-4, 0.003), (-8, 0.03), (-16, 0.03)])
def test_the_area_under_the_curve_is_exact_where_scores_are_close(base, spread):
    labels = (RNG.random(4000) < 0.02).astype(int)
    scores = (base + spread * RNG.normal(size=4000) + 2 * spread * labels).astype(np.float32)
    weights = RNG.uniform(0, 2, 4000).astype(np.float32)
    right = sk.roc_auc_score(labels, scores, sample_weight=weights)
    assert finished(binary(), scores, labels, weights, size=64)["auc"] == pytest.approx(right, abs=1e-12)


def test_a_score_that_is_not_a_number_is_the_last():
    scores, labels = np.float32([np.nan, 2, -3, 1]), np.array([1, 1, 0, 0])
    assert finished(binary(), scores, labels)["auc"] == sk.roc_auc_score(labels, [-9, 2, -3, 1])


def test_a_class_that_is_ruled_out_costs_nothing():
    logits = jnp.zeros((2, 5)).at[:, 4].set(-jnp.inf)
    for task, outputs, targets in (
        (classify(5), logits, np.array([1, 2])),
        (next_token(), logits[None], np.array([[1, 2]])),
    ):
        assert finished(task, outputs, targets)["loss"] == pytest.approx(np.log(4), rel=1e-6)
        batch = Batch(None, targets, np.ones(len(targets), np.float32))
        slope = jax.grad(lambda x, task=task, batch=batch: task(x, batch)["loss"].total)(outputs)
        assert np.isfinite(slope).all()


def test_a_certain_right_answer_costs_nothing():
    sure = np.float32([np.inf, -np.inf])
    assert finished(binary(), sure, np.array([1, 0]))["loss"] == 0
    assert finished(multi_label(2), sure[None], np.array([[1, 0]]))["loss"] == 0
    assert finished(binary(), sure, np.array([0, 0]))["loss"] == np.inf


def test_constant_logits_score_as_argmax_scores_them():
    metrics = finished(classify(10), np.zeros((10, 10), np.float32), np.arange(10))
    assert metrics["accuracy"] == 0.1
    assert metrics["top5"] == 0.5


def test_of_equals_the_first_classes_are_among_the_best():
    logits = np.float32([[1, 0, 0, 0, 0, 0, 2]] * 7)
    hits = [finished(classify(7), logits[:1], np.array([label]))["top5"] for label in range(7)]
    assert hits == [1, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("task", "targets", "row", "said"),
    [
        (binary(), np.array([0, 1, 2]), 2, "target 2 is not 0 or 1, as binary()"),
        (binary(), np.array([-1.0, 1.0]), 0, "target -1 is not 0 or 1"),
        (binary(), np.array([1.0, 0.5]), 1, "target 0.5 is not 0 or 1"),
        (multi_label(2), np.array([[0, 1], [2, 1]]), 1, "target 2 is not 0 or 1, as multi_label()"),
        (classify(3), np.array([0, 3]), 1, "target 3 is not a class of classify(3): 0 to 2"),
        (next_token(), np.array([[0, 7], [3, -100]]), 1, "target -100 is not a token, 0 or more"),
        (masked_token(), np.array([[-1]]), 0, "target -1 is not a token"),
        (embed(4), {"label": np.zeros(5, int), "row": np.arange(5)}, 4, "target 4 is not one of the rows"),
        (detect(2, 3), {"label": np.array([[0, 2]]), "row": np.zeros(1, int)}, 0, "target 2 is not a class of detect"),
    ],
)
def test_a_task_says_what_its_targets_may_be(task, targets, row, said):
    wrong = task.check(targets)
    assert wrong[0] == row
    assert said in wrong[1]


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (binary(), np.array([[0.0], [1.0]])),
        (multi_label(2), np.array([[True, False]])),
        (classify(3), np.array([[0.2, 0.8, 0.0]])),
        (classify(3), np.array([[0, 2], [1, 1]])),
        (embed(4), {"label": np.array([7, 9]), "row": np.arange(2)}),
    ],
)
def test_right_targets_pass(task, targets):
    assert task.check(targets) is None


def scene(things: int, seed: int):
    """Return outputs that the loss calls right: each place that learns a thing says so, some surer than others."""
    rng, side = np.random.default_rng(seed), 12
    cells = [(i, j) for i in range(3) for j in range(3)]
    rng.shuffle(cells)
    boxes, labels = np.zeros((1, 9, 4), np.float32), np.zeros((1, 9), np.int32)
    logits, said = np.full((1, side, side, 10), -9, np.float32), np.zeros((1, side, side, 4), np.float32)
    middles = (np.arange(side) + 0.5) / side
    for k, sure in zip(range(things), np.sort(rng.uniform(3, 9, 9))[::-1], strict=False):
        corner = np.array([cells[k][1], cells[k][0]]) * 16 + 1
        box = np.concatenate([corner, corner + rng.integers(12, 15, 2)]) / 48
        boxes[0, k], labels[0, k] = box, rng.integers(0, 10)
        across, down = (
            (middles > box[i]) & (middles < box[i + 2]) & (np.abs(middles - (box[i] + box[i + 2]) / 2) * side <= 1.5)
            for i in (0, 1)
        )
        for place in zip(*np.nonzero(down[:, None] & across[None]), strict=True):
            logits[0, *place, labels[0, k]] = sure + rng.normal(0, 0.1)
            said[0, *place] = box
    targets = {"box": boxes, "label": labels, "row": np.zeros(1, np.int32)}
    return {"class": jnp.asarray(logits), "box": jnp.asarray(said)}, Batch(None, targets, np.ones(1, np.float32))


@pytest.mark.parametrize("things", [1, 4, 9])
def test_a_crowd_is_found_whole(things):
    task = detect(10, 1)
    for seed in range(2):
        assert task.finish(task(*scene(things, seed)))["map50"] == pytest.approx(1)


def test_examples_are_judged_whatever_their_number_in_the_split():
    outputs = RNG.normal(size=(8, 4)).astype(np.float32)
    sums = embed(4)(outputs, Batch(None, {"label": np.arange(8) % 2, "row": np.arange(8)}, np.ones(8, np.float32)))
    assert np.asarray(sums["embeddings"].total)[:, -1].sum() == 8


def test_likeness_of_all_pairs_is_never_held_together():
    size, classes = 3000, 100
    labels = RNG.integers(0, classes, size)
    vectors = RNG.normal(size=(size, 8)) + RNG.normal(size=(classes, 8))[labels]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    targets = {"label": labels, "row": np.arange(size)}
    table = embed(size)(unit.astype(np.float32), Batch(None, targets, np.ones(size, np.float32)))["embeddings"]
    table = jax.tree.map(lambda x: np.asarray(x, np.float64), table)
    tracemalloc.start()
    found = retrieval(table), verification(table)[0]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * size**2 / 2  # all pairs held together took eight times as much
    near = unit @ unit.T
    above = np.triu_indices(size, 1)
    assert found[1] == pytest.approx(sk.roc_auc_score((labels[:, None] == labels)[above], near[above]), abs=1e-6)
    np.fill_diagonal(near, -np.inf)
    assert found[0] == pytest.approx(np.mean(labels[near.argmax(1)] == labels), abs=1e-3)


def test_an_embedding_that_is_not_a_number_is_like_nothing():
    table = np.float64([[1, 0, 5, 1], [np.nan, 0, 5, 1], [1, 0.1, 5, 1], [0, 1, 6, 1]])
    embeddings = embed(4)(np.zeros((4, 2)), Batch(None, {"label": np.zeros(4)}, np.ones(4)))["embeddings"]
    embeddings = embeddings._replace(total=table, weight=np.ones(4))
    assert retrieval(embeddings) == 2 / 4
    assert 0 < verification(embeddings)[0] < 1


def test_equal_embeddings_tell_nothing_apart():
    table = np.concatenate([np.ones((6, 2)) / 2**0.5, np.arange(6)[:, None] % 2, np.ones((6, 1))], 1)
    embeddings = embed(6)(np.ones((6, 2)), Batch(None, {"label": np.arange(6)}, np.ones(6)))["embeddings"]
    embeddings = embeddings._replace(total=table, weight=np.ones(6))
    assert verification(embeddings) == (0.5, 0.5)
    assert retrieval(embeddings) == 2 / 6  # the nearest is the first other: of class 0, and of the first one of class 1


def test_bits_per_byte_are_those_of_the_split():
    task = next_token(bytes_per_token={"train": 4.0, "test": 2.0})
    logits, targets = np.zeros((1, 3, 8), np.float32), np.zeros((1, 3), int)
    assert finished(task, logits, targets)["bits_per_byte"] == pytest.approx(3 / 4)
    assert finished(task, logits, targets, split="test")["bits_per_byte"] == pytest.approx(3 / 2)
