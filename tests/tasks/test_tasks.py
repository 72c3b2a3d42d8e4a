"""Every task, against scikit-learn, in pieces of any size."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from fdl.core.types import Batch, Sums, Task, add_up
from fdl.tasks import binary, classify, masked_token, multi_label, next_token, regress, seq2seq

N = 211
RNG = np.random.default_rng(0)


def added(task: Task, outputs: np.ndarray, batch: Batch, size: int, pad: int = 3) -> Sums:
    """Add the sums of pieces of `size` rows, each followed by `pad` rows of NaN that weigh nothing."""
    step, pieces = jax.jit(task.sums), []
    for at in range(0, len(outputs), size):
        piece = slice(at, at + size)
        short = size - len(outputs[piece]) + pad
        padded = [
            np.concatenate([x[piece], np.full((short, *x.shape[1:]), fill, x.dtype)])
            for x, fill in ((outputs, np.nan), (batch.targets, 0), (batch.weights, 0))
        ]
        pieces.append(jax.tree.map(lambda x: np.asarray(x)[None], step(padded[0], Batch(None, *padded[1:]))))
    return add_up(pieces)


def examples(name: str) -> tuple[Task, np.ndarray, Batch]:
    weights = RNG.integers(1, 4, N).astype(np.float32)
    if name == "binary":
        targets = RNG.integers(0, 2, N)
        return binary(), (RNG.normal(size=(N, 1)) + targets[:, None]).astype(np.float32), Batch(None, targets, weights)
    if name == "classify":
        targets = RNG.integers(0, 7, N)
        logits = RNG.normal(size=(N, 7)) + 2 * np.eye(7)[targets]
        return classify(7), logits.astype(np.float32), Batch(None, targets, weights)
    if name == "regress":
        targets = RNG.normal(40, 9, (N, 2)).astype(np.float32)
        outputs = (targets - 40) / 9 + RNG.normal(size=(N, 2)) / 3
        return regress(center=40, scale=(9.0, 9.0)), outputs.astype(np.float32), Batch(None, targets, weights)
    targets = RNG.integers(0, 5, (N, 4))
    logits = RNG.normal(size=(N, 4, 5)) + np.eye(5)[targets]
    ragged = RNG.integers(0, 3, (N, 4)).astype(np.float32)
    return next_token(), logits.astype(np.float32), Batch(None, targets, ragged)


@pytest.mark.parametrize("name", ["binary", "classify", "regress", "next_token"])
def test_padding_does_not_change_the_mean(name: str) -> None:
    task, outputs, batch = examples(name)
    whole = task.finish(added(task, outputs, batch, N, pad=0))
    assert task.primary in whole
    assert set(whole) == set(task.metrics)
    for size in (1, 10, 64):
        pieces = task.finish(added(task, outputs, batch, size))
        for metric, value in whole.items():
            np.testing.assert_allclose(pieces[metric], value, rtol=1e-5, err_msg=f"{metric} in pieces of {size}")


@pytest.mark.parametrize("name", ["binary", "classify", "regress", "next_token"])
def test_nothing_but_padding_is_nan_without_a_warning(name: str) -> None:
    task, outputs, batch = examples(name)
    sums = task(np.full_like(outputs, np.nan), batch._replace(weights=np.zeros_like(batch.weights)))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(sums))
    assert all(np.all(s.weight == 0) for s in sums.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = task.finish(sums)
    assert np.isnan(values["loss"])
    assert np.isnan(values[task.primary])


def test_binary_agrees_with_sklearn() -> None:
    task, outputs, batch = examples("binary")
    values = task.finish(added(task, outputs, batch, 50))
    y, score, w = batch.targets, outputs[:, 0], batch.weights
    yes = score > 0
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, yes, sample_weight=w))
    assert values["f1"] == pytest.approx(sk.f1_score(y, yes, sample_weight=w))
    assert values["precision"] == pytest.approx(sk.precision_score(y, yes, sample_weight=w))
    assert values["recall"] == pytest.approx(sk.recall_score(y, yes, sample_weight=w))
    assert values["loss"] == pytest.approx(sk.log_loss(y, 1 / (1 + np.exp(-score)), sample_weight=w), rel=1e-5)
    assert values["auc"] == pytest.approx(sk.roc_auc_score(y, score, sample_weight=w), abs=1e-12)
    np.testing.assert_allclose(values["confusion"], sk.confusion_matrix(y, yes, sample_weight=w))


def test_auc_counts_ties_as_half() -> None:
    scores = np.float32([-2, -1, -0.0, 0.0, 1, 1, 1, 3])
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    values = binary().finish(binary()(scores, Batch(None, labels, np.ones(8, np.float32))))
    assert values["auc"] == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


def test_classify_agrees_with_sklearn() -> None:
    task, logits, batch = examples("classify")
    values = task.finish(added(task, logits, batch, 50))
    y, guess, w = batch.targets, logits.argmax(-1), batch.weights
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, guess, sample_weight=w))
    assert values["f1"] == pytest.approx(sk.f1_score(y, guess, average="macro", sample_weight=w))
    assert values["top5"] == pytest.approx(sk.top_k_accuracy_score(y, logits, k=5, sample_weight=w))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert values["loss"] == pytest.approx(sk.log_loss(y, shares, sample_weight=w, labels=range(7)), rel=1e-5)
    np.testing.assert_allclose(values["confusion"], sk.confusion_matrix(y, guess, sample_weight=w))


def test_smoothing_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"smoothing 2 is out of range"):
        classify(7, smoothing=2)


def test_smoothing_and_mixed_targets_are_the_same_cross_entropy() -> None:
    _, logits, batch = examples("classify")
    smooth = classify(7, smoothing=0.1)(logits, batch)
    mixed = classify(7)(logits, batch._replace(targets=np.eye(7, dtype=np.float32)[batch.targets] * 0.9 + 0.1 / 7))
    np.testing.assert_allclose(smooth["loss"].total, mixed["loss"].total, rtol=1e-6)
    assert smooth["correct"].total == mixed["correct"].total


def test_smoothing_takes_nothing_from_what_is_masked() -> None:
    _, logits, batch = examples("next_token")
    kept = batch.weights > 0
    for smoothing in (0.0, 0.2):
        task = classify(5, smoothing=smoothing)
        masked = task.finish(task(logits, batch))
        alone = task.finish(task(logits[kept], Batch(None, batch.targets[kept], batch.weights[kept])))
        for metric in ("loss", "accuracy", "f1"):
            assert masked[metric] == pytest.approx(alone[metric], rel=1e-6)


def test_many_classes_keep_no_confusion_matrix() -> None:
    sums = classify(1000)(np.zeros((2, 1000), np.float32), Batch(None, np.array([3, 4]), np.ones(2, np.float32)))
    assert "confusion" not in sums
    assert "confusion" not in classify(1000).finish(sums)


def test_a_diverged_model_is_not_in_the_top_five() -> None:
    batch = Batch(None, np.array([0, 6]), np.ones(2, np.float32))
    assert classify(7).finish(classify(7)(np.full((2, 7), np.nan, np.float32), batch))["top5"] == 0


def test_regress_agrees_with_sklearn_in_the_units_of_the_targets() -> None:
    task, outputs, batch = examples("regress")
    values = task.finish(added(task, outputs, batch, 50))
    y, guess, w = batch.targets, outputs * 9 + 40, batch.weights
    error = sk.mean_squared_error(y, guess, sample_weight=w)
    assert values["rmse"] == pytest.approx(error**0.5, rel=1e-5)
    assert values["loss"] == pytest.approx(error / 81, rel=1e-5)
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(y, guess, sample_weight=w), rel=1e-5)
    assert values["r2"] == pytest.approx(sk.r2_score(y, guess, sample_weight=w), rel=1e-6)


def test_regress_takes_one_output_with_or_without_its_dimension() -> None:
    flat, column = np.arange(4, dtype=np.float32), np.ones((4, 1), np.float32)
    weights = np.ones(4, np.float32)
    values = [regress()(a, Batch(None, b, weights)) for a in (flat, flat[:, None]) for b in (column, column[:, 0])]
    assert all(v["loss"] == (14.0 - 12.0 + 4.0, 4.0) for v in values)


def test_next_token_counts_nats_bits_and_every_token() -> None:
    task, logits, batch = examples("next_token")
    sums = added(task, logits, batch, 50)
    values, w = task.finish(sums), batch.weights
    assert sums["loss"].weight == w.sum()
    own = np.take_along_axis(logits, batch.targets[..., None], -1)[..., 0]
    nats = ((np.log(np.exp(logits).sum(-1)) - own) * w).sum() / w.sum()
    assert values["loss"] == pytest.approx(nats, rel=1e-5)
    assert values["perplexity"] == pytest.approx(np.exp(nats), rel=1e-5)
    assert values["bits_per_byte"] == pytest.approx(nats / np.log(2), rel=1e-5)
    assert values["accuracy"] == pytest.approx(((logits.argmax(-1) == batch.targets) * w).sum() / w.sum())


def test_row_weights_reach_every_token() -> None:
    task, logits, batch = examples("next_token")
    rows = np.arange(N, dtype=np.float32)
    by_row = task(logits, batch._replace(weights=rows))
    by_token = task(logits, batch._replace(weights=np.repeat(rows[:, None], 4, 1)))
    assert by_row["loss"] == by_token["loss"]


def test_bf16_outputs_are_summed_in_f32() -> None:
    for name in ("binary", "classify", "regress", "next_token"):
        task, outputs, batch = examples(name)
        assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(task(jnp.asarray(outputs, jnp.bfloat16), batch)))


def test_misfit_shapes_are_one_clear_line() -> None:
    weights = np.ones(4, np.float32)
    batch = Batch(None, np.zeros(4, np.int32), weights)
    for task, shape in ((binary(), (4, 2)), (classify(3), (4, 10)), (regress(), (4, 3)), (next_token(), (4, 3, 9))):
        with pytest.raises(ValueError, match=r"\(4, ") as error:
            task(np.zeros(shape, np.float32), batch)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="weights"):
        next_token()(np.zeros((4, 3, 9)), Batch(None, np.zeros((4, 3)), np.ones(3)))


def test_predictions_are_in_the_units_of_the_targets() -> None:
    task, outputs, _ = examples("regress")
    np.testing.assert_allclose(task.predict(outputs)["value"], outputs * 9 + 40, rtol=1e-5)
    task, outputs, _ = examples("binary")
    np.testing.assert_allclose(task.predict(outputs)["probability"], 1 / (1 + np.exp(-outputs[:, 0])), rtol=1e-5)
    task, outputs, _ = examples("classify")
    columns = task.predict(outputs)
    np.testing.assert_array_equal(columns["class"], outputs.argmax(-1))
    np.testing.assert_allclose(columns["probabilities"].sum(-1), 1, rtol=1e-5)


def test_labelling_a_sequence_is_classifying_its_tokens() -> None:
    _, logits, batch = examples("next_token")
    by_token = classify(5)(logits, batch)
    flat = classify(5)(logits.reshape(-1, 5), Batch(None, batch.targets.reshape(-1), batch.weights.reshape(-1)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), by_token, flat)


def test_multi_label_agrees_with_sklearn() -> None:
    y = RNG.integers(0, 2, (N, 6))
    logits = (RNG.normal(size=(N, 6)) + y).astype(np.float32)
    w = RNG.integers(1, 4, N).astype(np.float32)
    values = multi_label(6).finish(added(multi_label(6), logits, Batch(None, y, w), 50))
    yes = logits > 0
    assert values["exact"] == pytest.approx(sk.accuracy_score(y, yes, sample_weight=w))
    assert values["f1"] == pytest.approx(sk.f1_score(y, yes, average="macro", sample_weight=w))
    assert values["micro_f1"] == pytest.approx(sk.f1_score(y, yes, average="micro", sample_weight=w))
    assert values["accuracy"] == pytest.approx(np.average((y == yes).mean(1), weights=w))


def test_masked_tokens_alone_count() -> None:
    _, logits, batch = examples("next_token")
    hidden = (RNG.random((N, 4)) < 0.3).astype(np.float32)
    wrong = np.where(hidden[..., None] > 0, logits, -logits)
    for values in (masked_token()(logits, batch._replace(weights=hidden)),) * 2:
        other = masked_token()(wrong, batch._replace(weights=hidden))
        assert values["loss"] == other["loss"]
        assert values["correct"].weight == hidden.sum()


def test_a_sequence_is_right_when_every_token_of_it_is() -> None:
    targets = np.array([[1, 2, 0], [1, 2, 0], [2, 2, 1], [0, 0, 0]])
    guess = np.array([[1, 2, 1], [1, 1, 0], [2, 2, 1], [0, 0, 0]])
    weights = np.float32([[1, 1, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
    values = seq2seq().finish(seq2seq()(np.eye(3, dtype=np.float32)[guess], Batch(None, targets, weights)))
    assert values["sequence_accuracy"] == pytest.approx(2 / 3)
    assert values["accuracy"] == pytest.approx(6 / 7)


def test_what_was_written_is_counted_by_its_edits_up_to_the_stop() -> None:
    targets = np.array([[4, 5, 3, 0], [4, 6, 6, 3], [5, 3, 0, 0]])
    weights = np.float32([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    greedy = np.array([[4, 5, 3, 3], [4, 6, 3, 3], [4, 4, 4, 4]])  # right, one too few, padding
    beam = np.array([[5, 4, 5, 3], [4, 6, 6, 3], [4, 4, 4, 4]])
    outputs = {"logits": np.eye(7, dtype=np.float32)[targets], "greedy": greedy, "beam": beam}
    task = seq2seq(stop=3)
    values = task.finish(task(outputs, Batch(None, targets, weights)))
    assert values["sequence_accuracy"] == 1
    assert values["error_rate"] == pytest.approx(1 / 5)
    assert values["beam_error_rate"] == pytest.approx(1 / 5)
    assert values["beam_accuracy"] == pytest.approx(1 / 2)
    assert "error_rate" not in task.finish(task({"logits": outputs["logits"]}, Batch(None, targets, weights)))
