"""Mean and scale of numbers: scale 1 where they are equal."""

import numpy as np
import pytest

from taskgraft.data.standardization import is_constant, mean_and_scale


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
