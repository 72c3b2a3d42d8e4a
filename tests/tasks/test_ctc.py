import itertools

import jax
import numpy as np
import pytest

from fdl.core.types import Batch
from fdl.tasks import ctc
from fdl.tasks.ctc import edit_distance, greedy
from fdl.tasks.ctc_search import prefix_beam_search


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(s for s, _ in itertools.groupby(path) if s)


def slow_distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    if not a or not b:
        return len(a) + len(b)
    cut = (slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1, slow_distance(a[1:], b[1:]) + (a[0] != b[0]))
    return min(cut)


def test_the_loss_is_the_chance_of_every_path_that_reads_the_labels() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 4, 3)).astype(np.float32)
    shares = np.asarray(jax.nn.softmax(logits))[0]
    for labels in ([1, 0], [1, 2], [1, 1], [2, 0]):
        paths = [p for p in itertools.product(range(3), repeat=4) if collapse(p) == tuple(s for s in labels if s)]
        chance = sum(np.prod([shares[t, s] for t, s in enumerate(p)]) for p in paths)
        sums = ctc()(logits, Batch(None, np.array([labels]), np.ones(1, np.float32)))
        assert sums["loss"].total == pytest.approx(-np.log(chance), rel=1e-4)


def test_edits_are_the_fewest_that_mend_the_transcription() -> None:
    rng = np.random.default_rng(1)
    paths = rng.integers(0, 3, (40, 6))
    labels = np.array([np.pad(rng.integers(1, 3, n), (0, 4 - n)) for n in rng.integers(0, 5, 40)])
    symbols, heard = greedy(np.eye(3, dtype=np.float32)[paths])
    said = [tuple(s for s in row if s) for row in labels]
    expected = [slow_distance(collapse(tuple(p)), ref) for p, ref in zip(paths, said, strict=True)]
    np.testing.assert_array_equal(edit_distance(symbols, heard, labels), expected)
    weights = np.float32(rng.integers(0, 3, 40))
    values = ctc().finish(ctc()(np.eye(3, dtype=np.float32)[paths], Batch(None, labels, weights)))
    assert values["error_rate"] == pytest.approx(
        weights @ expected / sum(w * len(s) for w, s in zip(weights, said, strict=True))
    )
    assert values["sequence_accuracy"] == pytest.approx(weights @ (np.array(expected) == 0) / weights.sum())


def test_a_target_that_no_path_reads_is_left_out_of_the_loss_and_counted() -> None:
    task, logits = ctc(), np.zeros((10, 3, 5), np.float32)
    labels = np.tile([1, 2, 0], (10, 1))
    whole = task.finish(task(logits, Batch(None, labels, np.ones(10, np.float32))))
    assert whole["unalignable"] == 0
    labels[0], labels[1] = [1, 1, 1], [2, 2, 0]  # need five frames and three, of which there are three
    batch = Batch(None, labels, np.ones(10, np.float32))
    found = task.finish(task(logits, batch))
    assert found["unalignable"] == 1
    paths = {(1, 2): 5, (2, 2): 1}  # the paths of three frames that read them, of the 5**3 that are equally likely
    expected = (8 * -np.log(paths[1, 2] / 125) - np.log(paths[2, 2] / 125)) / 9
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    gradient = jax.grad(lambda logits: task(logits, batch)["loss"].total)(logits)
    assert np.all(gradient[0] == 0)
    assert np.any(gradient[1] != 0)


def test_a_wide_beam_holds_every_transcript_with_its_probability() -> None:
    frames = np.asarray(jax.nn.log_softmax(2 * np.random.default_rng(0).normal(size=(5, 4))))
    chances: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(4), repeat=5):
        chance = np.exp(sum(frames[t, s] for t, s in enumerate(path)))
        chances[collapse(path)] = chances.get(collapse(path), 0) + chance
    found = {prefix: np.exp(score) for prefix, score in prefix_beam_search(frames, 10_000)}
    assert found == pytest.approx(chances, rel=1e-5)
    assert prefix_beam_search(frames, 3)[0][0] == max(chances, key=chances.__getitem__)
