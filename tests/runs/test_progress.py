import math

import pytest

from fdl.core.errors import Fault
from fdl.runs.progress import Progress


def test_a_first_score_that_is_no_number_keeps_no_later_one_from_being_the_best():
    progress = Progress()
    scores = [(math.nan, False), (None, False), (3.0, True), (math.nan, False), (3.0, False), (2.0, True), (4.0, False)]
    for score, best in scores:
        assert progress.is_best(score, "lower") == best
    assert Progress.from_json(progress.as_json()) == progress
    assert progress.is_best(5.0, "higher")
    assert not progress.is_best(9.0, None)


def test_skipped_updates_are_counted_over_calls():
    import numpy as np

    from fdl.core.types import Sum

    progress = Progress()
    for skipped in ([1, 1, 0, 1], [1, 1], [0], [1]):
        progress.add_calls([{"skipped": Sum(np.float32(skipped), np.ones(len(skipped)))}], 1.0, 0.0)
    assert (progress.skipped, progress.skipped_in_a_row) == (6, 1)
    progress.raise_if_hopeless(8)
    progress.add_calls([{"skipped": Sum(np.ones(64), np.ones(64))}], 1.0, 0.0)
    with pytest.raises(Fault, match="step 72: the last 65 updates were not finite at any loss scale"):
        progress.raise_if_hopeless(72)
