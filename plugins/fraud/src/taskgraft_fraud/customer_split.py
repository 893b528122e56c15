"""The split ``customer``: all rows of a customer stand on one side."""

from collections.abc import Mapping, Sequence

import numpy as np

from taskgraft.plugin import Rows
from taskgraft_fraud.leak import JUDGED, LEARNED, customers_of, given_parts, refuse_same_rows, refuse_shared_customers
from taskgraft_fraud.split_settings import CustomerSplitConfig


def by_customer(
    rows: Rows, targets: Sequence[str], config: CustomerSplitConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    """Hold out a share of the customers, or check how a column divides them.

    Raises:
        Leak: when a row, or rows of a customer, are on both sides.
    """
    if config.part is None:
        customers, count = customers_of(rows, config.column)
        held = np.zeros(count, dtype=np.bool_)
        held[np.random.default_rng(seed).permutation(count)[: round((config.fraction or 0) * count)]] = True
        parts = {LEARNED: np.flatnonzero(~held[customers]), JUDGED: np.flatnonzero(held[customers])}
    else:
        parts = given_parts(rows, config.part)
    refuse_same_rows(rows, parts, config.part)
    refuse_shared_customers(rows, parts, config.column)
    return {name: members.tolist() for name, members in parts.items()}
