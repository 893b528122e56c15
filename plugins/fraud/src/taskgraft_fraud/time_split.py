"""The split ``time``: what is judged by comes after what is learned from, and after its labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import InvalidRows, Rows, TaskgraftError, join_words, label_key
from taskgraft_fraud.cells import BadCells
from taskgraft_fraud.day import Days, days_of
from taskgraft_fraud.leak import (
    JUDGED,
    LEARNED,
    Members,
    customers_of,
    given_parts,
    refuse_future,
    refuse_same_rows,
    refuse_shared_customers,
)
from taskgraft_fraud.split_settings import TimeSplitConfig


def by_time(rows: Rows, targets: Sequence[str], config: TimeSplitConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Divide rows by their days, or check how a column divides them.

    Returns:
        besides "train" and "validation": "delay", the days whose labels come too late, and "known", rows of the last days whose
        customer was known for a fraud by then.

    Raises:
        Leak: when rows are on both sides, or are learned from too early.
        InvalidRows: naming rows whose time cannot be read.
        NoFraud: when the customers who are known are asked for, and there are none.
    """
    days = _days(rows, config)
    if config.part is None:
        parts = _divided(rows, targets, config, days)
    else:
        parts = given_parts(rows, config.part)
        refuse_same_rows(rows, parts, config.part)
        refuse_future(rows, parts, days, config.delay)
    if config.apart is not None:
        refuse_shared_customers(rows, parts, config.apart)
    return {name: members.tolist() for name, members in parts.items()}


def _days(rows: Rows, config: TimeSplitConfig) -> Days:
    try:
        return days_of(rows.column(config.column), config.column, config.unit)
    except BadCells as error:
        raise InvalidRows(rows, error.reasons) from None


def _divided(rows: Rows, targets: Sequence[str], config: TimeSplitConfig, days: Days) -> dict[str, Members]:
    assert config.validation is not None
    if not len(rows):
        return {LEARNED: np.zeros(0, np.int64), JUDGED: np.zeros(0, np.int64)}
    last = days.numbers.max() - config.validation  # before what is judged by
    judged, late = days.numbers > last, days.numbers > last - config.delay
    known = np.zeros(len(rows), dtype=np.bool_) if config.known is None else _known(rows, targets, config, days)
    parts = {LEARNED: ~late, JUDGED: judged & ~known, "delay": late & ~judged, "known": judged & known}
    return {name: np.flatnonzero(chosen) for name, chosen in parts.items()}


def _known(rows: Rows, targets: Sequence[str], config: TimeSplitConfig, days: Days) -> NDArray[np.bool_]:
    """Say of each row whether a fraud of its customer was known on its day: one so long ago that its label was there."""
    assert config.known is not None
    fraud = np.zeros(len(rows), dtype=np.bool_)
    for target in targets:
        values = rows.table.column(target)
        positive = [one for one in pc.unique(values).to_pylist() if label_key(one) == config.positive]
        fraud |= pc.is_in(values, pa.array(positive, values.type)).to_numpy()
    if not fraud.any():
        raise NoFraud(rows.source, tuple(targets), config.positive)
    customers, count = customers_of(rows, config.known)
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, customers[fraud], days.numbers[fraud])
    found: NDArray[np.bool_] = first[customers] < days.numbers - config.delay
    return found


@dataclass(eq=False)
class NoFraud(TaskgraftError):
    """Customers with a known fraud are to be left out, but no row is one."""

    source: str
    targets: tuple[str, ...]
    positive: str

    def __str__(self) -> str:
        return (
            f"{self.source} has no row whose {join_words(map(repr, self.targets))} is '{self.positive}', so no customer is known "
            "for a fraud. Name the label of fraud (positive), or leave 'known' out."
        )
