"""Metric functions that say more about themselves, for intervals that hold and take less time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.specs import MetricFunction

LEAST_ROWS_OF_A_CLASS = 5
"""With fewer rows, an average over classes is biased by more than its intervals can make up for."""

_LEAST_ROWS_OF_ALL = 20
"""With fewer than four classes, each needs its part of these rows."""

_MOST_THIN_CLASSES = 0.1
"""The largest share of classes with fewer rows."""


@dataclass(frozen=True)
class DetailedMetric:
    """A metric function, and what is known about its values. A plain function works too; its intervals take longer.

    Attributes:
        compute: the metric function.
        bounds: name → the least and the largest possible value; infinite for none. A name that is left out has no bounds.
        sizes: name → the number of rows that a share is taken over: all of them, or, for an average over classes, the number of
            classes times the rows of the rarest one. Intervals of a share of 0 or 1, where rows show no variation, need it.
        least_errors: name → the smallest standard error to believe, where few rows may show too little variation.
        biases: name → how far its mean over samples is above the true value, where rows left out say it less well.
        no_intervals: name → why no 95 % interval of these rows would hold.
        rough: the values that jump when one row is left out (those of the k highest rows). Their error comes from resamples;
            that of the others from leaving out rows (the jackknife).
        uneven: the shares over several elements of a row, whose rows count unevenly.
        leave_one_out: computes name → the values without each row in turn, ``(row,)`` float64, NaN where undefined; for any of
            the names. None calls the metric function for blocks of rows.
    """

    compute: MetricFunction
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    least_errors: Mapping[str, float] = field(default_factory=dict)
    biases: Mapping[str, float] = field(default_factory=dict)
    no_intervals: Mapping[str, str] = field(default_factory=dict)
    rough: frozenset[str] = frozenset()
    uneven: frozenset[str] = frozenset()
    leave_one_out: Callable[[], Mapping[str, NDArray[np.float64]]] | None = None

    def __call__(self, rows: NDArray[np.int64]) -> Mapping[str, float]:
        """Compute the values. Arguments as for every metric function."""
        return self.compute(rows)


def combine_metrics(functions: Sequence[MetricFunction], rows: int) -> DetailedMetric:
    """Make one metric function of several; where two compute the same name, the last counts.

    Args:
        rows: the number of rows; of a plain function, which says nothing about its values, every one is rough.
    """
    detailed = [
        one if isinstance(one, DetailedMetric) else DetailedMetric(one, rough=frozenset(one(np.arange(rows))))
        for one in functions
    ]

    def compute(some: NDArray[np.int64]) -> Mapping[str, float]:
        return {name: value for function in functions for name, value in function(some).items()}

    def leave_one_out() -> Mapping[str, NDArray[np.float64]]:
        found: dict[str, NDArray[np.float64]] = {}
        for one in detailed:
            if one.leave_one_out is not None:
                found |= one.leave_one_out()
        return found

    return DetailedMetric(
        compute,
        {name: ends for one in detailed for name, ends in one.bounds.items()},
        {name: size for one in detailed for name, size in one.sizes.items()},
        {name: error for one in detailed for name, error in one.least_errors.items()},
        {name: bias for one in detailed for name, bias in one.biases.items()},
        {name: reason for one in detailed for name, reason in one.no_intervals.items()},
        frozenset(name for one in detailed for name in one.rough),
        frozenset(name for one in detailed for name in one.uneven),
        leave_one_out,
    )


def thin_classes(counts: NDArray[Any], what: str = "rows", of_all: int = _LEAST_ROWS_OF_ALL) -> str | None:
    """Say why an average over classes has no interval: more than a tenth of the classes have too few rows.

    Args:
        counts: ``(class,)``, of the classes that the average is over.
        of_all: the number of rows of which each class needs its part.
    """
    least = max(LEAST_ROWS_OF_A_CLASS, math.ceil(of_all / max(len(counts), 1)))
    thin = int((counts < least).sum())
    if thin <= _MOST_THIN_CLASSES * len(counts):
        return None
    return f"fewer than {least} {what} in {thin:,} of {len(counts):,} classes"
