"""95 % intervals of metrics: their error from rows left out or drawn again, their ends on the scale of each metric.

Which intervals hold, and where none does, was found by simulation: ``python tests/benchmarks/intervals.py``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.specs import MetricFunction
from taskgraft.evaluation.bootstrap import Bootstrap, finite_only
from taskgraft.evaluation.detailed_metric import DetailedMetric, combine_metrics
from taskgraft.evaluation.student import student_quantile

_Numbers = NDArray[np.float64]

_LEAST_UNITS = 10
"""With fewer rows, or groups of rows, nothing is said."""

_LEAST_UNEVEN_UNITS = 20
"""With fewer rows or groups, shares over several elements of each have no interval."""

_BLOCKS = 200
"""Rows are left out one by one up to this number; more are left out in that many blocks."""

_MOST_BIAS = 1.5
"""The largest bias of a value, in its standard errors, with which it has an interval."""

_MOST_UNDEFINED = 0.1
"""The largest share of rows without which, or of resamples in which, a value may be undefined."""

_MOST_POWER = 30.0
"""The end of an interval is at most this power of e from its value: far beyond what such an interval can say."""

_NO_ERROR = 1e-9
"""A standard error below this is rounding, relative to the value."""


_LEAST_MEANS = (0.0, 0.0513, 0.3554, 0.8177)
"""The lowest mean of a Poisson distribution that gives at least 0, 1, 2 and 3 with a chance of 5 %."""


@dataclass(frozen=True)
class Intervals:
    """The lowest and highest value of each metric that has an interval, and for the others why they have none."""

    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Spread:
    """How a value varies between samples of rows.

    Attributes:
        error: its standard error.
        bias: how far its mean over samples is above the true value.
        influences: ``(block,)``, what each block of rows adds to it; their sum of squares is the squared error.
        units: the number of rows or groups.
    """

    error: float
    bias: float
    influences: _Numbers
    units: int

    @property
    def shares(self) -> _Numbers:
        """The influences relative to the largest: powers of them are floats, whatever the unit."""
        return self.influences / (float(np.abs(self.influences).max(initial=0.0)) or 1.0)

    @property
    def degrees(self) -> float:
        """The degrees of freedom of the standard error (Satterthwaite, 1946): few if few rows make up most of it."""
        squares = self.shares**2
        total, count = squares.sum(), len(squares)
        spread = (squares**2).sum() - total**2 / count
        most = min(count, self.units) - 1
        return float(min(2 * total**2 / spread, most)) if spread > 0 else most


def estimate_intervals(metrics: MetricFunction, values: Mapping[str, float], rows: int, how: Bootstrap) -> Intervals:
    """Compute the 95 % interval of each value that has one.

    The standard error comes from the jackknife (Efron and Tibshirani, 1993, An introduction to the bootstrap, chapter 11): the
    values without each row, or block of rows, or group, in turn; for values that jump when one row is left out, from resamples.
    The same gives the bias, which is subtracted, and the degrees of freedom of Student's t. Ends are symmetric on the scale of
    the logit for values with two bounds (for a share: Wilson, 1927), of the logarithm for those with one; for values with one
    bound or none, the asymmetry of the jackknifed values widens them (bootstrap-t, chapter 12). The value itself is inside.

    Args:
        metrics: any metric function; a :class:`DetailedMetric` has better intervals, in less time.
        values: of all rows.
        how: units, seed and number of resamples; 0 resamples give no intervals, and no reasons.
    """
    if how.count == 0:
        return Intervals()
    unit, units = how.units(rows)
    if units < _LEAST_UNITS:
        what = "rows" if how.members is None else "groups" if how.groups is None else f"groups by '{how.groups}'"
        return Intervals({}, dict.fromkeys(values, f"fewer than {_LEAST_UNITS} {what}"))
    metric = metrics if isinstance(metrics, DetailedMetric) else combine_metrics([metrics], rows)
    missing = {name: reason for name, reason in metric.no_intervals.items() if name in values}
    wanted = {name: value for name, value in values.items() if name not in missing}
    ends = {}
    for name, spread in _spreads(metric, wanted, unit, units, how).items():
        found = spread if isinstance(spread, str) else _interval(name, values[name], spread, metric, how)
        if isinstance(found, str):
            missing[name] = found
        else:
            ends[name] = found
    order = list(values)
    return Intervals(
        {name: ends[name] for name in order if name in ends}, {n: missing[n] for n in order if n in missing}
    )


def _spreads(
    metric: DetailedMetric, values: Mapping[str, float], unit: NDArray[np.int64], units: int, how: Bootstrap
) -> dict[str, _Spread | str]:
    """Find how each value varies, or why that cannot be found."""
    grouped = how.members is not None
    given: Mapping[str, _Numbers] = {}
    if metric.leave_one_out is not None and not (grouped and units <= _BLOCKS):
        given = metric.leave_one_out()
    by_calls = _without_blocks(metric, [name for name in values if name not in given], unit, units, how.seed)
    drawn = _resampled(metric, [name for name in values if name in metric.rough], len(unit), how)
    spreads: dict[str, _Spread | str] = {}
    for name, value in values.items():
        left = given[name] if name in given else by_calls[name]
        if (undefined := int(np.isnan(left).sum())) > _MOST_UNDEFINED * len(left):
            what = ("group" if grouped else "row") if len(left) == units else "block of rows"
            spreads[name] = f"undefined without {undefined:,} of {len(left):,} {what}s"
            continue
        count = len(left)
        changes = np.where(np.isnan(left), 0.0, value - left)
        bias = -(count - 1) * changes.mean()
        influences = (changes - changes.mean()) * math.sqrt((count - 1) / count)
        if name in given and grouped:
            influences = np.bincount(unit, influences, units) * math.sqrt(units / (units - 1))
        error = _length(influences)
        if name in drawn:
            again = drawn[name][~np.isnan(drawn[name])]
            if len(again) < (1 - _MOST_UNDEFINED) * how.count:
                spreads[name] = f"undefined in {how.count - len(again):,} of {how.count:,} resamples"
                continue
            error, bias = float(again.std()) * math.sqrt(units / (units - 1)), float(again.mean() - value)
        spreads[name] = _Spread(error, float(metric.biases.get(name, bias)), influences, units)
    return spreads


def _without_blocks(
    metric: DetailedMetric, names: Sequence[str], unit: NDArray[np.int64], units: int, seed: int
) -> dict[str, _Numbers]:
    """Compute values without each block of units in turn, ``(block,)``; NaN where they are undefined."""
    if not names:
        return {}
    count = min(units, _BLOCKS)
    block = np.random.default_rng(seed).permutation(np.arange(units) % count)[unit]
    found = [finite_only(metric(np.flatnonzero(block != one))) for one in range(count)]
    return {name: np.array([values.get(name, math.nan) for values in found]) for name in names}


def _resampled(metric: DetailedMetric, names: Sequence[str], rows: int, how: Bootstrap) -> dict[str, _Numbers]:
    """Compute values of resamples, ``(resample,)``; NaN where they are undefined."""
    if not names:
        return {}
    found = [finite_only(metric(some)) for some in how.resamples(rows)]
    return {name: np.array([values.get(name, math.nan) for values in found]) for name in names}


def _interval(
    name: str, value: float, spread: _Spread, metric: DetailedMetric, how: Bootstrap
) -> tuple[float, float] | str:
    """Compute the ends of an interval, or say why there is none."""
    lowest, highest = metric.bounds.get(name, (-math.inf, math.inf))
    if name in metric.uneven and spread.units < _LEAST_UNEVEN_UNITS:
        return f"fewer than {_LEAST_UNEVEN_UNITS} {'rows' if how.members is None else 'groups'}"
    size = metric.sizes.get(name)
    if size is not None:
        size = min(size, spread.units)
    width = highest - lowest
    share = min(max((value - lowest) / width, 0.0), 1.0) if math.isfinite(width) else math.nan
    if size and min(share, 1 - share) < _NO_ERROR:
        low, high = (lowest + width * end for end in _wilson(round(share), size, student_quantile(size - 1)))
        return min(low, value), max(high, value)
    error = max(spread.error, metric.least_errors.get(name, 0.0))
    if error <= _NO_ERROR * max(abs(value), 1e-300):
        return f"the same without any of the {'rows' if how.members is None else 'groups'}"
    if abs(spread.bias) > _MOST_BIAS * error:
        return "over so few rows its bias is larger than its standard error"
    if math.isfinite(width):
        uneven = size is None or how.members is not None or name in metric.uneven
        degrees = spread.degrees if size is None or uneven else size - 1
        center = min(max(share - spread.bias / width, 0.0), 1.0)
        trials = share * (1 - share) * (width / error) ** 2
        ends = _wilson(center, trials, student_quantile(degrees)) if trials > 0 else (center, center)
        if not uneven:
            ends = _widen_for_few(share, size or 0, ends)
        low, high = (lowest + width * end for end in ends)
    else:
        low, high = _by_bootstrap_t(value, spread, (lowest, highest), how)
    return min(low, value), max(high, value)


def _length(values: _Numbers) -> float:
    """Return the square root of the sum of squares, of values of any unit."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest * float(np.linalg.norm(values / largest)) if largest else 0.0


def _wilson(share: float, trials: float, quantile: float) -> tuple[float, float]:
    """Compute the score interval of a share, symmetric on the scale of the logit.

    Source: Wilson, 1927, Probable inference, the law of succession, and statistical inference.

    Args:
        trials: the number of independent rows that would give the same standard error.
    """
    square = quantile**2
    center = (share + square / (2 * trials)) / (1 + square / trials)
    half = quantile / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(min(center - half, share), 0.0), min(max(center + half, share), 1.0)


def _widen_for_few(share: float, size: int, ends: tuple[float, float]) -> tuple[float, float]:
    """Move the end beside 0 or 1 outwards, where up to three rows are on the rarer side; without, it holds in 84 % there.

    Source: Brown, Cai and DasGupta, 2001, Interval estimation for a binomial proportion, section 4.1.2.
    """
    least = [float(np.interp(part * size, range(4), _LEAST_MEANS)) / size for part in (share, 1 - share)]
    few = [part * size <= 3 for part in (share, 1 - share)]
    return min(ends[0], least[0]) if few[0] else ends[0], max(ends[1], 1 - least[1]) if few[1] else ends[1]


def _by_bootstrap_t(value: float, spread: _Spread, bounds: tuple[float, float], how: Bootstrap) -> tuple[float, float]:
    """Compute ends from Student's t, and from the t statistics of resampled influences where those reach further."""
    student = student_quantile(spread.degrees)
    reach_up, reach_down = max(student, -_t_quantile(spread, 0.025, how)), max(student, _t_quantile(spread, 0.975, how))
    for bound, (toward, away) in zip(bounds, ((reach_down, reach_up), (reach_up, reach_down)), strict=True):
        if math.isfinite(bound) and value != bound:
            distance = value - bound
            relative = spread.error / abs(distance)
            ends = (bound + distance * math.exp(min(reach * relative, _MOST_POWER)) for reach in (-toward, away))
            low, high = sorted(ends)
            return low, high
    center = value - spread.bias
    return center - reach_down * spread.error, center + reach_up * spread.error


def _t_quantile(spread: _Spread, probability: float, how: Bootstrap) -> float:
    """Return a quantile of t statistics over resamples of the influences."""
    influences = spread.shares
    count = len(influences)
    times = np.random.default_rng(how.seed).multinomial(count, np.full(count, 1 / count), how.count).astype(np.float64)
    sums = times @ influences
    squares = times @ influences**2 - sums**2 / count
    varied = squares > _NO_ERROR * (influences**2).sum()
    return float(np.quantile(sums[varied] / np.sqrt(squares[varied]), probability)) if varied.any() else 0.0
