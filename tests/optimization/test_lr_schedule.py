"""Learning rates: the warm-up, the built-in schedules beside those of torch, and schedules that are wrong."""

import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from taskgraft.contract.config import parse_config
from taskgraft.contract.plan import Stage
from taskgraft.contract.specs import ScheduleSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.names import parse_name
from taskgraft.optimization.lr_schedule import LearningRates
from taskgraft.preparation.errors import TrainingError
from taskgraft.recipe import TrainingConfig

NAMES = ("constant", "cosine", "exponential", "linear", "polynomial", "step")


def rates(schedule, steps: int = 10, warmup: float = 0.2) -> LearningRates:
    settings = parse_config(TrainingConfig, {"schedule": schedule, "warmup": warmup}, "training")
    return LearningRates.of(Stage("one"), settings, steps)


def factors(schedule, steps: int = 10, warmup: float = 0.2) -> list[float]:
    found = rates(schedule, steps, warmup)
    return [found.factor(step) for step in range(steps)]


def torch_factors(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_these_are_all():
    assert (
        tuple(spec.name for spec, source in catalog().specs(ScheduleSpec) if source.distribution == "taskgraft")
        == NAMES
    )


@pytest.mark.parametrize("schedule", NAMES)
def test_rates_rise_linearly_over_the_warm_up(schedule):
    assert factors(schedule)[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_linear_schedule_falls_by_equal_amounts():
    assert factors("linear")[2:] == pytest.approx([1 - step / 8 for step in range(8)])


def test_a_cosine_schedule_falls_along_half_a_wave():
    assert factors("cosine")[2:] == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])


def test_a_constant_schedule_does_not_fall():
    assert factors("constant")[2:] == [1.0] * 8


@pytest.mark.parametrize("schedule", NAMES)
def test_a_single_step_has_the_peak_rate(schedule):
    assert factors(schedule, steps=1) == [1.0]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial"])
def test_no_step_after_the_last_has_a_rate(schedule):
    assert rates(schedule).factor(10) == pytest.approx(0.0)
    assert rates(schedule).factor(12) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("linear", lambda one: lr_scheduler.LinearLR(one, 1.0, 0.0, total_iters=12)),
        ("cosine", lambda one: lr_scheduler.CosineAnnealingLR(one, T_max=12)),
        ({"name": "cosine", "lowest": 0.1}, lambda one: lr_scheduler.CosineAnnealingLR(one, T_max=12, eta_min=0.1)),
        ("cosine:3", lambda one: lr_scheduler.CosineAnnealingWarmRestarts(one, T_0=4)),
        ("polynomial:3", lambda one: lr_scheduler.PolynomialLR(one, total_iters=12, power=3.0)),
        ("exponential:0.01", lambda one: lr_scheduler.ExponentialLR(one, gamma=0.01 ** (1 / 12))),
        (
            {"name": "step", "at": [0.25, 0.5], "factor": 0.3},
            lambda one: lr_scheduler.MultiStepLR(one, milestones=[3, 6], gamma=0.3),
        ),
    ],
    ids=["linear", "cosine", "cosine to 0.1", "three waves", "cubic", "exponential", "steps"],
)
def test_a_schedule_equals_that_of_torch(schedule, make):
    assert factors(schedule, 12, warmup=0.0) == pytest.approx(torch_factors(make, 12), abs=1e-12)


def test_the_schedule_of_a_stage_takes_the_place_of_the_settings():
    stage = Stage("one", schedule=lambda step, steps: 1 / (1 + step))
    found = LearningRates.of(stage, TrainingConfig(warmup=0.0), 10)
    assert [found.factor(step) for step in (0, 1, 3)] == [1.0, 1 / 2, 1 / 4]


@pytest.mark.parametrize("value", [-0.5, math.nan, None])
def test_a_factor_that_is_none_is_an_error(value):
    found = LearningRates.of(Stage("one", schedule=lambda step, steps: value), TrainingConfig(warmup=0.0), 10)
    with pytest.raises(TrainingError) as caught:
        found.factor(3)
    assert str(caught.value) == (
        f"At step 4, the schedule of the stage 'one' returned {value!r}, not a factor of the learning rate: a finite number "
        "from 0."
    )


def test_times_of_steps_must_rise():
    with pytest.raises(Exception, match="at needs rising shares of the steps between 0 and 1") as caught:
        rates({"name": "step", "at": [0.5, 0.25]})
    assert "schedule 'step'" in str(caught.value)


def test_an_unknown_schedule_names_the_nearest():
    with pytest.raises(Exception, match=r"No schedule named 'cosin'\. Did you mean 'cosine'"):
        rates("cosin")


def test_schedules_are_found_by_name():
    assert catalog().find(ScheduleSpec, parse_name("linear"))[0].name == "linear"
