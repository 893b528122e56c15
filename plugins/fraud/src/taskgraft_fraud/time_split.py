"""The split ``time``: validation rows are later than training rows, and later than their labels."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import InvalidRows, Rows, join_words, match_label
from taskgraft_fraud.days import Days, parse_days
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.leak_checks import (
    TRAIN,
    VALIDATION,
    RowIndices,
    check_no_future_rows,
    check_no_shared_customers,
    check_no_shared_rows,
    customer_ids,
    parts_from_column,
)
from taskgraft_fraud.parse_cells import InvalidCells
from taskgraft_fraud.positive_label import is_rare, percent
from taskgraft_fraud.split_settings import TimeSplitConfig


def split_by_time(
    rows: Rows, targets: Sequence[str], config: TimeSplitConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    """Split rows by their days, or check the parts that a column names.

    Returns:
        apart from "train" and "validation": "delay", rows of the days whose labels arrive too late, and "known", rows of the
        last days whose customer was already a known fraud.

    Raises:
        DataLeak: if a row or a customer is in both parts, or training rows are too late.
        InvalidRows: naming rows whose time is missing or invalid.
        FraudError: if ``known`` is set and no row is a fraud, or its label is not named and not rare.
    """
    days = _days(rows, config)
    if config.part is None:
        parts = _split(rows, targets, config, days)
    else:
        parts = parts_from_column(rows, config.part)
        check_no_shared_rows(rows, parts, config.part)
        check_no_future_rows(rows, parts, days, config.delay)
    if config.apart is not None:
        check_no_shared_customers(rows, parts, config.apart)
    return {name: members.tolist() for name, members in parts.items()}


def _days(rows: Rows, config: TimeSplitConfig) -> Days:
    try:
        return parse_days(rows.column(config.column), config.column, config.unit)
    except InvalidCells as error:
        raise InvalidRows(rows, error.reasons) from None


def _split(rows: Rows, targets: Sequence[str], config: TimeSplitConfig, days: Days) -> dict[str, RowIndices]:
    assert config.validation is not None
    if not len(rows):
        return {TRAIN: np.zeros(0, np.int64), VALIDATION: np.zeros(0, np.int64)}
    last = days.numbers.max() - config.validation  # the last day before the validation days
    validation, late = days.numbers > last, days.numbers > last - config.delay
    known = np.zeros(len(rows), dtype=np.bool_)
    if config.known is not None:
        known = _customer_known(rows, targets, config, days)
    parts = {TRAIN: ~late, VALIDATION: validation & ~known, "delay": late & ~validation, "known": validation & known}
    return {name: np.flatnonzero(mask) for name, mask in parts.items()}


def _customer_known(rows: Rows, targets: Sequence[str], config: TimeSplitConfig, days: Days) -> NDArray[np.bool_]:
    """Mark the rows whose customer had, by that day, a fraud with a known label: ``(row,)``."""
    assert config.known is not None
    ids, count = customer_ids(rows, config.known)
    fraud = np.zeros(len(rows), dtype=np.bool_)
    for target in targets:
        values = rows.table.column(target)
        positive = [
            value for value in pc.unique(values).to_pylist() if match_label(value, [config.positive]) is not None
        ]
        fraud |= pc.is_in(values, pa.array(positive, values.type)).to_numpy()
    if "positive" not in config.model_fields_set and not is_rare(int(fraud.sum()), len(rows)):
        raise FraudError(
            f"{rows.source}: {join_words(map(repr, targets))} is '{config.positive}' in {percent(fraud.sum(), len(rows))} of "
            f"{len(rows):,} rows, which is not rare, and 'known' leaves out customers with a fraud. Name the label of fraud "
            f"with the split's setting 'positive', also if it is '{config.positive}'."
        )
    if not fraud.any():
        raise FraudError(
            f"{rows.source} has no row in which {join_words(map(repr, targets))} is '{config.positive}', so no customer is a "
            "known fraud. Name the label of fraud with the setting 'positive', or leave out 'known'."
        )
    first_fraud_day = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first_fraud_day, ids[fraud], days.numbers[fraud])
    known: NDArray[np.bool_] = first_fraud_day[ids] < days.numbers - config.delay
    return known
