"""What was known of a customer and of a terminal when a transaction came: windows of time over its key, in one sorted pass.

Definitions are those of the Fraud Detection Handbook (https://fraud-detection-handbook.github.io, "Baseline feature
transformation"). A window looks back only, so a transaction is never told anything that comes after it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskgraft_fraud.times import DAY

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """What lies in one window of each transaction.

    Attributes:
        count: how many transactions, ``(row,)`` int32.
        mean: of their values, ``(row,)`` float32; 0 where there is none.
    """

    count: NDArray[np.int32]
    mean: NDArray[np.float32]


def customer_windows(
    customers: Numbers, times: Numbers, amounts: NDArray[np.float64], days: Sequence[int]
) -> Iterator[Window]:
    """Give count and mean amount of a customer's transactions in ``(t - days, t]``, the transaction itself among them.

    Of several at one moment, each knows of itself and of those that stand before it.

    Args:
        customers: a number per customer from 0, ``(row,)``; less than 0 for a transaction of nobody, whose windows are empty.
        times: in microseconds since any moment, ``(row,)``, in any order.
        amounts: ``(row,)``, finite.
    """
    return windows(customers, times, amounts, [(some * DAY, 0) for some in days])


def terminal_windows(
    terminals: Numbers, times: Numbers, frauds: NDArray[np.bool_], days: Sequence[int], delay: int
) -> Iterator[Window]:
    """Give count and share of frauds of a terminal's transactions in ``(t - delay - days, t - delay]``.

    Those are the transactions whose labels had come in. With a delay above 0 the transaction itself is not among them.

    Args:
        terminals, times: as for :func:`customer_windows`.
        frauds: what is known to be fraud, ``(row,)``.
        delay: days until a label comes in.
    """
    return windows(terminals, times, frauds.astype(np.float64), [((delay + some) * DAY, delay * DAY) for some in days])


def windows(
    keys: Numbers, times: Numbers, values: NDArray[np.float64], spans: Sequence[tuple[int, int]]
) -> Iterator[Window]:
    """Count and average the rows of the same key at times in ``(t - oldest, t - latest]``, for each span (oldest, latest).

    Where the latest is 0, rows at time t itself count up to the row, in the order of rows. Sums are differences of one
    running sum in float64, whose error is about 1e-16 of all values together.
    """
    moments, ranks = np.unique(times, return_inverse=True)
    known = np.flatnonzero(keys >= 0)
    places = (
        keys[known] * (len(moments) + 1) + ranks[known]
    )  # times as ranks: no unit is too fine to stand beside a key
    order = known[np.argsort(places, kind="stable")]
    first_place = keys[order] * (len(moments) + 1)
    places = first_place + ranks[order]
    sums = np.concatenate([[0.0], np.cumsum(values[order])])

    def before(span: int) -> Numbers:
        """Count the sorted rows that are older than a row's key at t - span, or as old."""
        reached = np.searchsorted(moments, moments - span, side="right")
        return np.searchsorted(places, first_place + reached[ranks[order]], side="left")

    for oldest, latest in spans:
        start, end = before(oldest), before(latest) if latest else np.arange(1, len(order) + 1)
        count, mean = np.zeros(len(keys), np.int32), np.zeros(len(keys), np.float32)
        count[order] = end - start
        mean[order] = (sums[end] - sums[start]) / np.maximum(end - start, 1)
        yield Window(count, mean)
