"""The split ``customer``: all rows of a customer are in one part."""

from collections.abc import Mapping, Sequence

import numpy as np

from taskgraft.plugin import Rows
from taskgraft_fraud.leak_checks import (
    TRAIN,
    VALIDATION,
    check_no_shared_customers,
    check_no_shared_rows,
    customer_ids,
    parts_from_column,
)
from taskgraft_fraud.split_settings import CustomerSplitConfig


def split_by_customer(
    rows: Rows, targets: Sequence[str], config: CustomerSplitConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    """Hold out a share of the customers, or check the parts that a column names.

    Raises:
        DataLeak: if a row or a customer is in both parts.
    """
    if config.part is None:
        ids, count = customer_ids(rows, config.column)
        held_out = np.zeros(count, dtype=np.bool_)
        held_out[np.random.default_rng(seed).permutation(count)[: round((config.fraction or 0) * count)]] = True
        parts = {TRAIN: np.flatnonzero(~held_out[ids]), VALIDATION: np.flatnonzero(held_out[ids])}
    else:
        parts = parts_from_column(rows, config.part)
    check_no_shared_rows(rows, parts, config.part)
    check_no_shared_customers(rows, parts, config.column)
    return {name: members.tolist() for name, members in parts.items()}
