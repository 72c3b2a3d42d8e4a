"""What linear baselines read of pictures, sounds and videos, by hand."""

import numpy as np

from fdl.tasks.baselines import columns, over_time, pixels
from fdl.tasks.baselines.linear import standardised


def test_pixels_are_averaged_over_rectangles_until_they_are_few():
    picture = np.arange(16.0).reshape(1, 4, 4, 1)
    assert pixels(4)(picture).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert pixels(16)(picture).tolist() == [list(range(16))]
    for shape in ((1, 64, 64, 3), (1, 2, 5000, 1), (1, 5000, 2, 3), (1, 33, 31, 3)):
        assert 1024 / 4 < pixels(1024)(np.ones(shape)).shape[1] <= 1024, shape


def test_what_lasts_is_the_mean_over_time_and_the_deviation_from_it():
    film = np.array([[[1.0, 9], [5, 9]], [[3, 9], [5, 9]]])[None, ..., None]  # [1, T, H, W, C]
    assert over_time(pixels())(film).tolist() == [[2, 9, 5, 9, 1, 0, 0, 0]]
    both = np.concatenate([film, 100 * film], -1)
    assert over_time(pixels(), channels=1)(both).tolist() == over_time(pixels())(film).tolist()
    assert over_time(columns())(both).shape == (1, 16)


def test_a_feature_that_train_holds_constant_does_not_blow_up_where_another_value_comes():
    train = np.full((1000, 1), 0.1, np.float32)
    assert abs(standardised(train)(np.array([[0.5]], np.float32))) < 1
    assert standardised(np.array([[0.0], [1e-12]]))(np.array([[1e-12]])) == 1  # small is not constant
