"""The linear baselines are what scikit-learn's give."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression, Ridge

from fdl.core.types import Batch
from fdl.tasks import classify, regress
from fdl.tasks.baselines import RidgeStart, bag_of_tokens, chance, columns, linear, tf_idf
from fdl.tasks.baselines.linear import _logistic, _outputs, _ridge


def data(classes: int = 3):
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4))
    y = np.argmax(x[:, :classes] + random.normal(size=(200, classes)), 1)
    return x, y, np.ones(200, np.float32)


def test_the_weights_are_those_of_scikit_learn():
    x, y, _ = data()
    theirs = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(x, y)
    ours = _logistic(x, np.eye(3)[y], 2.0)
    np.testing.assert_allclose(ours[1:].T, theirs.coef_, atol=1e-3)
    ridge = Ridge(alpha=2.0).fit(x, x @ np.arange(8).reshape(4, 2) + 5)
    for matrix in (x, csr_array(x)):
        weights = _ridge(matrix, x @ np.arange(8).reshape(4, 2) + 5, 2.0)
        np.testing.assert_allclose(_outputs(x, weights), ridge.predict(x), atol=1e-4)


def test_tf_idf_is_that_of_scikit_learn():
    texts = ["a b b c", "a c", "c c c d", "b"]
    numbers = {"a": 4, "b": 5, "c": 6, "d": 7}
    tokens = np.zeros((4, 5), np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text.split())] = [numbers[word] for word in text.split()]
    counts = bag_of_tokens(8)({"inputs": tokens, "lengths": np.array([len(text.split()) for text in texts])})
    words = CountVectorizer(token_pattern=r"\w", vocabulary=list("abcd"))
    theirs = TfidfTransformer().fit_transform(words.transform(texts)).toarray()
    np.testing.assert_allclose(tf_idf(counts)(counts).toarray()[:, 4:], theirs, rtol=1e-6)


def test_metrics_are_those_of_the_task_and_rows_of_weight_0_teach_nothing():
    x, y, weights = data()
    wrong = Batch(np.concatenate([x, x]), np.concatenate([y, 2 - y]), np.concatenate([weights, 0 * weights]))
    clean = linear(columns()).fit(Batch(x, y, weights), classify(3), 3).measure(Batch(x, y, weights))
    assert linear(columns()).fit(wrong, classify(3), 3).measure(Batch(x, y, weights)) == clean
    assert clean["accuracy"] > 0.6
    assert 0 < clean["loss"] < np.log(3)


def test_numbers_are_predicted_in_the_units_of_the_targets():
    x, _, weights = data()
    y = 1000 + 50 * x[:, 0]
    task = regress(center=1000.0, scale=50.0)
    found = linear(columns()).fit(Batch(x, y, weights), task, 1).measure(Batch(x, y, weights))
    assert found["rmse"] < 1
    guess = chance().fit(Batch(np.zeros(0), y, weights), task, 1).measure(Batch(None, y, weights))
    assert guess["rmse"] == pytest.approx(y.std(), rel=1e-5)


def test_guessing_answers_the_most_frequent_class_of_all_places():
    targets, weights = np.array([[0, 1, 1], [1, 1, 2]]), np.array([[1, 1, 1], [1, 1, 0.0]])
    found = chance().fit(Batch(np.zeros(0), targets, weights), classify(3), 3)
    assert found.name == "the most frequent class"
    assert found.measure(Batch(None, targets, weights.astype(np.float32)))["accuracy"] == 4 / 5


def test_categories_are_one_hot():
    found = columns((2, 3))({"inputs": np.array([[0.5]]), "categories": np.array([[1, 2]])})
    assert found.tolist() == [[0.5, 0, 1, 0, 0, 1]]


def test_a_model_can_begin_where_ridge_regression_ends():
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, [1.0, 10.0, 0.1], (200, 3))
    y = x @ [[1.0, 2.0], [0.5, 0.0], [-3.0, 1.0]] + [4.0, -2.0] + rng.normal(0, 0.1, (200, 2))
    weights = np.ones((200, 2))
    weights[:20, 0], y[:20, 0] = 0, 1e6  # what weighs nothing is not fitted
    task, train = regress(center=1.0, scale=2.0), Batch(x, y, weights)
    start = RidgeStart(lambda: train, task, columns())
    assert start() is start()
    kept = train._replace(inputs=x[20:], targets=y[20:], weights=weights[20:])
    fitted = linear(columns()).fit(train, task, 2).measure(kept)
    error = (x[20:] @ start()[1:] + start()[0]) * 2 + 1 - y[20:]
    assert np.sqrt((error**2).mean()) == pytest.approx(fitted["rmse"], rel=1e-4)
    assert fitted["rmse"] < 0.2


def test_a_start_answers_no_change_where_ridge_regression_predicts_later_examples_no_better():
    rng = np.random.default_rng(0)
    task, x = regress(center=1.0, scale=2.0), rng.normal(size=(30, 20))
    noise, later = (Batch(x, rng.normal(size=(30, 1)), np.ones((30, 1))) for _ in range(2))
    answers = x @ (weights := RidgeStart(lambda: noise, task, columns(), lambda: later)())[1:] + weights[0]
    np.testing.assert_allclose(answers * 2 + 1, 0, atol=1e-12)
    learned = noise._replace(targets=x[:, :1] * 3)
    start = RidgeStart(lambda: learned, task, columns(), lambda: learned)
    np.testing.assert_array_equal(start(), RidgeStart(lambda: learned, task, columns())())
    assert start() is start()
