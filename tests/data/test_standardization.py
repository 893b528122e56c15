"""Mean and scale of numbers: scale 1 where they are equal."""

import numpy as np
import pytest

from taskgraft.data.standardization import LARGEST_SCALED, is_constant, mean_and_scale, scale_numbers, too_far


@pytest.mark.parametrize("constant", [14.62, 0.1, 0.0, -7.3, 1e-300, 1e300, 3.3e9])
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_equal_numbers_have_scale_1_whatever_their_deviation(constant, rows):
    assert mean_and_scale(np.full(rows, constant)) == (constant, 1.0)


@pytest.mark.parametrize("step", [1e-7, 2e-7])
def test_numbers_that_differ_by_rounding_alone_have_scale_1(step):
    assert mean_and_scale(1e9 + np.arange(8) % 2 * step)[1] == 1.0
    assert mean_and_scale(np.array([0.3, 0.1 + 0.2, 0.3]))[1] == 1.0


@pytest.mark.parametrize(
    "numbers",
    [[1.0, 3.0], [1e9, 1e9 + 1e-3], [1.7e9, 1.7e9 + 1], [1e15, 1e15 + 1000], [0.0, 1e-20], [-1e-9, 1e-9]],
)
def test_small_differences_are_kept(numbers):
    numbers = np.array(numbers)
    assert not is_constant(numbers)
    assert mean_and_scale(numbers) == (numbers.mean(), numbers.std())


def test_numbers_whose_squares_underflow_have_scale_1():
    assert mean_and_scale(np.array([0.0, 1e-200]))[1] == 1.0


def test_a_scale_that_overflows_is_not_finite():
    assert not np.isfinite(mean_and_scale(np.array([1e300, -1e300]))[1])


def test_numbers_too_far_from_the_mean_are_marked():
    scaled, far = scale_numbers(np.array([1.0, 5.0, 4e18, -4e18, 1e308, np.nan]), 1.0, 2.0)
    assert scaled[:2].tolist() == [0.0, 2.0]
    assert far.tolist() == [False, False, True, True, True, True]
    assert not scale_numbers(np.array([LARGEST_SCALED, -LARGEST_SCALED]), 0.0, 1.0)[1].any()
    assert np.isfinite(np.float32(LARGEST_SCALED) ** 2)


def test_a_number_too_far_is_named_with_the_limit():
    assert too_far(3.25, 2.0) == "more than 1e+18 standard deviations (2) from the mean of the training split (3.25)"
    assert too_far(0.0, 1.0) == "which is beyond ±1e+18, too large to compute with"
