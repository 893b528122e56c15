"""Numbers of any unit: intervals, comparisons with baselines and planted truth do not depend on scale and offset."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from attacks import Tally

from taskgraft.builtin.baselines import fit_mean
from taskgraft.builtin.metrics.regression import regression_metrics
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.better_baselines import BaselineComparison
from taskgraft.evaluation.bootstrap import Bootstrap
from taskgraft.evaluation.evaluation import Evaluation

POWERS = {"mean_squared_error": 2, "mean_absolute_error": 1}
"""Metric → the power of the unit that it is in."""


def numbers(seed, rows=120):
    """True numbers of deviation 1, and predictions that explain three quarters of their variance."""
    chance = np.random.default_rng(seed)
    explained = chance.normal(size=rows) * math.sqrt(0.75)
    return explained, explained + 0.5 * chance.normal(size=rows)


def evaluated(predicted, true):
    predictions = Predictions(predicted.tolist())
    metrics = regression_metrics(predictions, true.tolist())
    return Evaluation(TargetKind.NUMBERS, predictions, true.tolist(), metrics, Bootstrap(200))


@pytest.mark.parametrize("exponent", [-300, -100, -3, 3, 100, 300])
def test_values_and_intervals_scale_with_the_unit_bit_for_bit(exponent):
    predicted, true = numbers(0)
    scale = 2.0**exponent  # exact, so that nothing is rounded otherwise
    expected, found = evaluated(predicted, true), evaluated(predicted * scale, true * scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing overflows on the way
        assert found.intervals.keys() == expected.intervals.keys() == expected.keys()
    for name, value in expected.items():
        unit = scale ** POWERS.get(name, 0)
        assert found[name] / unit == pytest.approx(value, rel=1e-12)
        ends = tuple(end / unit for end in found.intervals[name])
        assert ends == pytest.approx(expected.intervals[name], rel=1e-9)


@pytest.mark.parametrize("offset", [1e8, 1e10, 1e12])
def test_an_offset_changes_no_value_beyond_the_rounding_of_the_numbers(offset):
    predicted, true = numbers(1)
    found, expected = evaluated(predicted + offset, true + offset), evaluated(predicted, true)
    rounding = 4 * offset * np.finfo(float).eps  # of each number, relative to their deviation of 1
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=8 * rounding)
    for name, ends in expected.intervals.items():
        assert found.intervals[name] == pytest.approx(ends, abs=32 * rounding)


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1.0, 1e30, 1e60])
def test_a_better_baseline_is_found_in_any_unit(scale):
    predicted, true = numbers(2)
    truth = (true * scale).tolist()
    model, baseline = (
        regression_metrics(Predictions((one * scale).tolist()), truth) for one in (predicted * 0, predicted)
    )
    comparison = BaselineComparison(model, {"other": baseline}, frozenset(POWERS))
    assert comparison.better(len(truth), Bootstrap(200))["other"].keys() == {*POWERS, "r2"}


@pytest.mark.parametrize("offset", [0.0, -1e8, 1e12])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_the_baseline_mean_is_the_exact_mean(scale, offset):
    _, true = numbers(3)
    true = true * scale + offset
    (mean,) = fit_mean({}, true.tolist(), EmptyConfig()).means
    exact = sum(map(Fraction, true.tolist())) / len(true)
    assert abs(Fraction(mean) - exact) <= 8 * Fraction(float(np.spacing(np.abs(true).max())))


def planted(seeds, tally):
    """R² of predictions that explain three quarters of the variance is 0.75 on average, and its interval says so."""
    for scale, offset in ((1e-3, 0.0), (1.0, 1e10), (1e-30, 0.0), (1e30, 1e12)):
        r2, covered = [], 0
        for seed in range(seeds):
            predicted, true = numbers((7, seed))
            found = evaluated(predicted * scale + offset, true * scale + offset)
            r2.append(found["r2"])
            low, high = found.intervals["r2"]
            covered += low <= 0.75 <= high
        mean, error = np.mean(r2), np.std(r2) / math.sqrt(seeds)
        bias = 0.25 * 1 / 120 * 2  # of a ratio of means of 120 rows, at most
        label = f"scale {scale:g}, offset {offset:g}"
        tally.count(f"{label}: mean", abs(mean - 0.75) <= 4 * error + bias, why=f"{mean:.4f} ± {error:.4f}")
        share = covered / seeds
        least = 0.95 - 4 * math.sqrt(0.95 * 0.05 / seeds) - 0.03
        tally.count(f"{label}: intervals", share >= least, why=f"{share:.3f} hold the truth")
    tally.check()


def test_a_planted_share_of_the_variance_is_found():
    planted(16, Tally("planted R²"))


@pytest.mark.attack
def test_a_planted_share_of_the_variance_is_found_over_many_seeds():
    planted(200, Tally("planted R²"))
