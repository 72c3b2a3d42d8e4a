"""What is given to `fdl.fit` by mistake ends in one line: the value, the rule and the argument that helps."""

import numpy as np
import pandas
import pytest

import fdl
from fdl.core.errors import UserError
from fdl.modes.fit import _records

X, Y = np.arange(60.0).reshape(20, 3) ** 2, np.arange(20) % 2


class Sparse:
    nnz, shape = 3, (20, 3)

    def todense(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("x", "y", "line"),
    [
        (X[:, 0], Y, "float64 of shape .20,.; give "),
        ([[1, 2], [3]], [0, 1], "x, a list, is no array"),
        (None, Y, "x is a NoneType, no rows"),
        (Sparse(), Y, "sparse Sparse of shape .*toarray"),
        (X, np.eye(2)[Y], "one-hot, of shape .20, 2.; give the classes: y.argmax"),
        (X, Y[:-1], "y has the shape .19,. and x 20 rows"),
        (X, "label", "y is 'label', a column's name"),
        (["a b"] * 19 + [None], Y, "x holds texts, and row 19 is None"),
        (X, np.where(np.arange(20) == 3, np.nan, X[:, 0]), 'leave such rows out with missing="drop"'),
        (X, np.zeros(20, int), "1 class: nothing to learn; give another y"),
        (X * 1e300, Y, "not finite in 32 bits"),
    ],
)
def test_wrong_values_are_one_line_in_python_s_words(tmp_path, x, y, line):
    with pytest.raises(UserError, match=line) as raised:
        fdl.fit(x, y, workdir=tmp_path / "run", epochs=1.0, log=None)
    assert "--" not in str(raised.value)


@pytest.mark.parametrize(
    ("x", "page"),
    [
        (np.array(["a b", "c d"] * 10), "text"),
        (pandas.Series(["a b", "c d"] * 10), "text"),
        (np.zeros((20, 8, 8, 3), np.float32), "image"),
        (X.tolist(), "table"),
    ],
)
def test_the_page_is_that_of_the_kind(x, page):
    assert _records(x, Y, "")[0] == page
