"""What is to be beaten, measured on the very split that the page is judged on."""

from collections.abc import Callable

import numpy as np

from fdl.experiment import load


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


def seasonal_naive(page: str) -> Callable[[int], float]:
    """Return the RMSE of repeating the last season, whatever the seed."""
    return lambda seed: load(page).dataset.fitted["seasonal_naive"]["test"]["rmse"]


def _train_and_test(page: str, fold: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    dataset = load(page, fold=fold).dataset
    return tuple(dataset.load(split).resident().arrays for split in ("train", "test"))  # type: ignore[return-value]
