import math

import pytest

from taskgraft.optimization.lr_schedule import LearningRateSchedule


def factors(shape: str, steps: int = 10, warmup: float = 0.2) -> list[float]:
    schedule = LearningRateSchedule(shape, steps, warmup)
    return [schedule.factor(step) for step in range(steps)]


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_rates_rise_linearly_over_the_warm_up(shape):
    assert factors(shape)[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_linear_schedule_falls_by_equal_amounts():
    assert factors("linear")[2:] == pytest.approx([1 - step / 8 for step in range(8)])


def test_a_cosine_schedule_falls_along_half_a_wave():
    assert factors("cosine")[2:] == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])


def test_a_constant_schedule_does_not_fall():
    assert factors("constant")[2:] == [1.0] * 8


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_a_single_step_has_the_peak_rate(shape):
    assert factors(shape, steps=1) == [1.0]


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_no_step_after_the_last_has_a_rate(shape):
    assert LearningRateSchedule(shape, 10, 0.2).factor(10) == pytest.approx(0.0)
    assert LearningRateSchedule(shape, 10, 0.2).factor(12) == pytest.approx(0.0)
