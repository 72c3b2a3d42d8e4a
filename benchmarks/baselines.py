"""What is to be beaten, measured on the very split that the page is judged on."""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np

from fdl.data.datasets.library import library_lines
from fdl.data.tokenizer import END, NUM_SPECIAL_TOKENS, PAD
from fdl.experiment import load
from fdl.tasks.baselines.n_grams import witten_bell
from fdl.tasks.ctc import edit_distance


def logistic_regression(page: str) -> Callable[[int], float]:
    """Return the AUC of scikit-learn's logistic regression, by fold."""

    def auc(fold: int) -> float:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score

        (x, y), (unseen, truth) = _train_and_test(page, fold)
        return float(roc_auc_score(truth, LogisticRegression(max_iter=5000).fit(x, y).decision_function(unseen)))

    return auc


def ridge(page: str) -> Callable[[int], float]:
    """Return the RMSE of scikit-learn's ridge regression with its penalty cross-validated, by fold."""

    def rmse(fold: int) -> float:
        from sklearn.linear_model import RidgeCV

        (x, y), (unseen, truth) = _train_and_test(page, fold)
        error = RidgeCV(np.logspace(-3, 3, 25)).fit(x, y).predict(unseen) - truth
        return float(np.sqrt(np.mean(error**2)))

    return rmse


def tf_idf(kind: Literal["words", "letters"]) -> Callable[[int], float]:
    """Return the accuracy on the lines of `library_bag` of logistic regression over tf-idf, whatever the seed.

    words:   scikit-learn's own choice of features. letters: runs of one to four within words, that occur twice.
    The strength of the penalty is chosen on the validation split.
    """

    @cache
    def accuracy() -> float:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        lines = library_lines()
        (train, seen), (held_out, chooses), (unseen, truth) = (
            (lines.column(split, "line"), lines.column(split, "package")) for split in ("train", "validation", "test")
        )
        runs = {"analyzer": "char_wb", "ngram_range": (1, 4), "sublinear_tf": True, "min_df": 2}
        features = TfidfVectorizer(**(runs if kind == "letters" else {}))
        x = features.fit_transform(train)
        models = [LogisticRegression(C=c, max_iter=300).fit(x, seen) for c in (3.0, 10.0)]
        best = max(models, key=lambda model: model.score(features.transform(held_out), chooses))
        return float(best.score(features.transform(unseen), truth))

    return lambda seed: accuracy()


def five_gram(page: str) -> Callable[[int], float]:
    """Return the bits per byte of an interpolated 5-gram on a page's test text."""

    def bits(seed: int) -> float:
        dataset = load(page).dataset
        train, test = (dataset.load(split).resident().arrays for split in ("train", "test"))
        (chances,) = witten_bell(train[None], test[None], 5)
        return float(-np.log2(chances[1:]).mean())  # a net is not asked for the first byte either

    return bits


def seasonal_naive(page: str) -> Callable[[int], float]:
    """Return the RMSE of repeating the last season, whatever the seed."""
    return lambda seed: load(page).dataset.fitted["seasonal_naive"]["test"]["rmse"]


def letter_by_letter(page: str, metric: str) -> Callable[[int], float]:
    """Return the error rate or accuracy of copying: each letter says what it says most often in words as long as said.

    Such a word has as many phonemes as letters, and letter and phoneme of one place are taken for each other's.
    """

    def score(seed: int) -> float:
        data = load(page, seed=seed).dataset
        (inputs, targets, _), (unseen, truth, _) = (data.load(split).arrays for split in ("train", "test"))
        counts = np.zeros((data.spec.vocabulary, data.spec.classes))
        said = [np.where(labels == END, PAD, labels) for labels in (targets, truth)]
        alike = inputs["source_lengths"] == np.sum(said[0] != PAD, -1)
        length = inputs["sources"].shape[1]
        np.add.at(counts, (inputs["sources"][alike], said[0][alike, :length]), 1)
        copied = counts[:, NUM_SPECIAL_TOKENS:].argmax(1)[unseen["sources"]] + NUM_SPECIAL_TOKENS
        edits = np.asarray(edit_distance(copied, unseen["sources"] != PAD, said[1]))
        return float(edits.sum() / np.sum(said[1] != PAD) if metric == "error_rate" else np.mean(edits == 0))

    return score


def _train_and_test(page: str, fold: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    dataset = load(page, fold=fold).dataset
    return tuple(dataset.load(split).resident().arrays for split in ("train", "test"))  # type: ignore[return-value]
