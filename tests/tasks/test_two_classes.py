import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

from fdl.core.types import Batch, Unreduced, add_up
from fdl.tasks import binary, classify
from fdl.tasks.two_classes import best_threshold, calibration_error


def data(n: int = 200):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, n)
    return labels, (random.normal(size=n) + labels).round(1).astype(np.float32)


def finished(task, outputs, labels, weights):
    sums = task(outputs, Batch(None, labels, weights))
    return task.finish(add_up([{k: type(s)(*(np.asarray(x)[None] for x in s)) for k, s in sums.items()}]), "test")


@pytest.mark.parametrize("task", ["binary", "classify"])
def test_both_tasks_of_two_classes_have_the_metrics_of_scikit_learn(task):
    labels, logits = data()
    labels, logits = np.append(labels, [1, 0]), np.append(logits, [np.nan, 5]).astype(np.float32)
    weights = np.append(np.ones(200), [0, 0]).astype(np.float32)
    chance = 1 / (1 + np.exp(-logits[:200]))
    outputs = logits if task == "binary" else np.stack([1 - logits / 2, 1 + logits / 2], 1)
    found = finished(binary() if task == "binary" else classify(2), outputs, labels, weights)
    assert found["auc"] == pytest.approx(roc_auc_score(labels[:200], logits[:200]))
    assert found["brier"] == pytest.approx(brier_score_loss(labels[:200], chance))
    at_threshold = f1_score(labels[:200], chance >= found["threshold"])
    assert at_threshold == max(f1_score(labels[:200], chance >= t) for t in [0, *chance])


def test_chances_that_are_true_are_calibrated():
    random = np.random.default_rng(0)
    logits = random.normal(size=100_000)
    labels = random.uniform(size=100_000) < 1 / (1 + np.exp(-logits))
    true = Unreduced(np.stack([labels, logits], 1), np.ones(100_000))
    assert calibration_error(true) < 0.01
    assert calibration_error(true._replace(total=true.total * [1, 3])) > 0.1


def test_weights_count_and_one_class_has_no_threshold():
    rows = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
    chance = 1 / (1 + np.exp(-rows[:, 1]))
    even = best_threshold(Unreduced(rows, np.ones(4)))
    assert even == pytest.approx((chance[2] + chance[3]) / 2)
    assert best_threshold(Unreduced(rows, np.array([1, 9, 1, 1.0]))) == pytest.approx((chance[0] + chance[1]) / 2)
    assert np.isnan(best_threshold(Unreduced(rows * [0, 1], np.ones(4))))


def test_other_numbers_of_classes_and_places_have_none():
    assert "auc" not in classify(3).metrics
    pixels = finished(classify(2), np.zeros((2, 3, 2), np.float32), np.zeros((2, 3), int), np.ones(2, np.float32))
    assert "auc" not in pixels
    assert "accuracy" in pixels
