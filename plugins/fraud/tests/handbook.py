"""The simulated transactions of the Fraud Detection Handbook, if they are available."""

import os
from pathlib import Path

import pytest

from taskgraft.plugin import Rows, read_file
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.split_settings import TimeSplitConfig
from taskgraft_fraud.time_split import split_by_time

FOLDER = Path(os.environ.get("TASKGRAFT_DATA", "")) / "tabular" / "fraud_handbook_simulated"
FEATURES = FOLDER / "features_20180725_20180814.parquet"

needs_handbook = pytest.mark.skipif(
    not FEATURES.is_file(), reason="TASKGRAFT_DATA names no folder with tabular/fraud_handbook_simulated"
)

FIFTEEN = (
    "TX_AMOUNT",
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    *(
        f"{whose}_{what}_{days}DAY_WINDOW"
        for whose, kinds in (("CUSTOMER_ID", ("NB_TX", "AVG_AMOUNT")), ("TERMINAL_ID", ("NB_TX", "RISK")))
        for days in (1, 7, 30)
        for what in kinds
    ),
)
"""The inputs of the Handbook's models."""

SPLIT = TimeSplitConfig(column="TX_DATETIME", validation=7, delay=7, known="CUSTOMER_ID")
"""Train on 2018-07-25 to 31, wait for labels, validate on 2018-08-08 to 14, without cards that were known frauds by then."""

METRIC = FraudMetricConfig(customer="CUSTOMER_ID", time="TX_DATETIME")


def train_and_validation() -> tuple[Rows, Rows]:
    """The rows with features, split as the Handbook does."""
    rows = read_file(FEATURES)
    split = split_by_time(rows, ("TX_FRAUD",), SPLIT, seed=0)
    return rows.take(split["train"]), rows.take(split["validation"])
