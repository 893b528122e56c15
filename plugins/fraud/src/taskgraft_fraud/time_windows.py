"""Counts and means over the past of each customer and each terminal, in time windows: one sorted pass over all rows.

The definitions are those of the Fraud Detection Handbook (https://fraud-detection-handbook.github.io, "Baseline feature
transformation"). A window only looks back, so a row never depends on a later one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskgraft_fraud.parse_times import DAY

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """The transactions inside one window of each row.

    Attributes:
        count: how many, ``(row,)`` int32.
        mean: of their values, ``(row,)`` float32; 0 if the window is empty.
    """

    count: NDArray[np.int32]
    mean: NDArray[np.float32]


def customer_windows(
    customers: Integers, times: Integers, amounts: NDArray[np.float64], days: Sequence[int]
) -> Iterator[Window]:
    """Yield count and mean amount of a customer's transactions in ``(t - days, t]``, including the transaction itself.

    Of several at the same time, each sees itself and those in earlier rows.

    Args:
        customers: customer index from 0, ``(row,)``; negative for a transaction without customer, whose windows are empty.
        times: in microseconds since any origin, ``(row,)``, in any order.
        amounts: ``(row,)``, finite.
        days: the lengths of the windows.
    """
    return count_and_average(customers, times, amounts, [(length * DAY, 0) for length in days])


def terminal_windows(
    terminals: Integers, times: Integers, frauds: NDArray[np.bool_], days: Sequence[int], delay: int
) -> Iterator[Window]:
    """Yield count and fraud share of a terminal's transactions in ``(t - delay - days, t - delay]``.

    These are the transactions whose labels were known at time t. With a delay above 0 the transaction itself is not among them.

    Args:
        terminals, times, days: as in :func:`customer_windows`.
        frauds: known frauds, ``(row,)``.
        delay: days until a label is known.
    """
    spans = [((delay + length) * DAY, delay * DAY) for length in days]
    return count_and_average(terminals, times, frauds.astype(np.float64), spans)


def count_and_average(
    keys: Integers, times: Integers, values: NDArray[np.float64], spans: Sequence[tuple[int, int]]
) -> Iterator[Window]:
    """Count and average the rows of the same key at times in ``(t - oldest, t - latest]``, for each span (oldest, latest).

    If latest is 0, rows at time t count up to and including the row itself, in row order. Sums are differences of one
    cumulative sum in float64; their error is about 1e-16 of the sum of all values.
    """
    # Sort keys are key * (number of times + 1) + rank of the time. Ranks, since key and microseconds may not fit one int64.
    distinct_times, ranks = np.unique(times, return_inverse=True)
    rows = np.flatnonzero(keys >= 0)
    order = rows[np.argsort(keys[rows] * (len(distinct_times) + 1) + ranks[rows], kind="stable")]
    key_starts = keys[order] * (len(distinct_times) + 1)
    sort_keys = key_starts + ranks[order]
    sums = np.concatenate([[0.0], np.cumsum(values[order])])

    def count_until(span: int) -> Integers:
        """For each sorted row, count the sorted rows before the end of the same key's times up to t - span."""
        reached = np.searchsorted(distinct_times, distinct_times - span, side="right")
        return np.searchsorted(sort_keys, key_starts + reached[ranks[order]], side="left")

    for oldest, latest in spans:
        start, end = count_until(oldest), count_until(latest) if latest else np.arange(1, len(order) + 1)
        count, mean = np.zeros(len(keys), np.int32), np.zeros(len(keys), np.float32)
        count[order] = end - start
        mean[order] = (sums[end] - sums[start]) / np.maximum(end - start, 1)
        yield Window(count, mean)
