"""The simulated transactions of the Fraud Detection Handbook, where they are at hand."""

import os
from pathlib import Path

import pytest

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
"""The inputs that the Handbook's models read."""

SPLIT = {"name": "time", "column": "TX_DATETIME", "validation": 7, "delay": 7, "known": "CUSTOMER_ID"}
"""Learn from 2018-07-25 to 31, wait for labels, judge by 2018-08-08 to 14, without cards that were known by then."""

METRIC = {"name": "fraud", "customer": "CUSTOMER_ID", "time": "TX_DATETIME"}
