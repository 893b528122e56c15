import time

import numpy as np
import pyarrow as pa
import pytest
from handbook import FOLDER, needs_handbook, train_and_validation

from taskgraft.plugin import ConfigError, InvalidRows, MissingColumn, Rows, parse_config, read_file
from taskgraft.testing import SplitLaws
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.leak_checks import DataLeak
from taskgraft_fraud.plugin import taskgraft_splits
from taskgraft_fraud.split_settings import TimeSplitConfig
from taskgraft_fraud.time_split import split_by_time

(SPEC,) = (spec for spec in taskgraft_splits() if spec.name == "time")


def table(**columns) -> Rows:
    """Rows of a file, the first on line 2. All rows are different unless `number` is given."""
    count = len(next(iter(columns.values())))
    return Rows(pa.table({"number": list(range(count))} | columns), "train.csv", list(range(2, count + 2)))


def parts(rows, **settings) -> dict[str, list[int]]:
    config = TimeSplitConfig(**({"column": "day", "unit": "days"} | settings))
    return {name: list(members) for name, members in split_by_time(rows, ("fraud",), config, 0).items() if len(members)}


class TestTime(SplitLaws):
    @pytest.fixture
    def spec(self):
        return SPEC

    @pytest.fixture
    def rows(self):
        return table(day=[0, 1, 2, 3, 4, 5], who=list("abcabc"), fraud=["1", "0", "0", "0", "1", "0"])

    @pytest.fixture
    def targets(self):
        return ("fraud",)

    @pytest.fixture
    def config(self):
        return TimeSplitConfig(column="day", unit="days", validation=2, delay=1, known="who")


# --- splitting


def test_the_last_days_are_validation_and_the_days_before_the_delay_are_training():
    rows = table(day=[9, 1, 5, 7, 6, 8], fraud=["0"] * 6)
    assert parts(rows, validation=2) == {"train": [1, 2, 3, 4], "validation": [0, 5]}
    assert parts(rows, validation=2, delay=2) == {"train": [1, 2], "validation": [0, 5], "delay": [3, 4]}


def test_customers_with_a_known_fraud_are_left_out_of_validation():
    days, who = [0, 5, 7, 8, 8, 9], ["a", "b", "a", "b", "c", "b"]
    rows = table(day=days, who=who, fraud=["1", "1", "0", "0", "1", "0"])
    assert parts(rows, validation=3, delay=3, known="who", positive="1") == {
        "train": [0],
        "validation": [3, 4],  # on day 8, the fraud of b on day 5 is not known yet
        "delay": [1],
        "known": [2, 5],
    }


def test_the_label_of_fraud_can_be_set_and_be_a_number():
    rows = table(day=[0, 1, 2], who=["a", "b", "a"], fraud=[2.0, 1.0, 1.0])
    assert parts(rows, validation=1, known="who", positive="2")["known"] == [2]
    with pytest.raises(FraudError) as caught:
        parts(rows, validation=1, known="who", positive="3")
    assert str(caught.value) == (
        "train.csv has no row in which 'fraud' is '3', so no customer is a known fraud. Name the label of fraud with the "
        "setting 'positive', or leave out 'known'."
    )


def test_a_label_of_fraud_that_is_not_rare_must_be_named():
    """In a column where 1 means a good payment, nearly all customers would be known frauds."""
    rows = table(day=list(range(10)), who=["a", "b"] * 5, fraud=["1"] * 9 + ["0"])
    with pytest.raises(FraudError) as caught:
        parts(rows, validation=3, known="who")
    assert str(caught.value) == (
        "train.csv: 'fraud' is '1' in 90 % of 10 rows, which is not rare, and 'known' leaves out customers with a fraud. Name "
        "the label of fraud with the split's setting 'positive', also if it is '1'."
    )
    assert parts(rows, validation=3, known="who", positive="0")["validation"] == [7, 8, 9]


def test_a_part_column_is_used():
    rows = table(day=[0, 1, 2, 3], fraud=["0"] * 4, part=["train", "spare", "", "validation"])
    assert parts(rows, part="part") == {"train": [0], "spare": [1], "validation": [3]}
    assert SPEC.columns(TimeSplitConfig(column="day", part="part")) == ("part",)


# --- leaks


def leak(rows, **settings) -> str:
    with pytest.raises(DataLeak) as caught:
        parts(rows, **settings)
    return str(caught.value)


def test_a_training_row_whose_label_arrives_too_late_is_a_leak():
    rows = table(day=["2018-08-01", "2018-07-31", "2018-08-08"], fraud=["0"] * 3, part=["train", "train", "validation"])
    assert parts(rows, part="part", delay=6) == {"train": [0, 1], "validation": [2]}
    assert leak(rows, part="part", delay=7) == (
        "train.csv, line 2 (train) and line 4 (validation): the first is from 2018-08-01, but validation starts on 2018-08-08 "
        "and labels arrive 7 days late, so the last training day is 2018-07-31. Remove such rows from training."
    )


def test_all_training_rows_from_the_future_are_counted():
    rows = table(day=[5, 6, 7, 6], fraud=["0"] * 4, part=["train", "train", "train", "validation"])
    assert leak(rows, part="part") == (
        "train.csv, line 3 (train) and line 5 (validation): the first is from day 6, but validation starts on day 6, so the "
        "last training day is day 5. 2 of 4 rows are like this (lines 3, 4). Remove such rows from training."
    )


def test_a_row_in_both_parts_is_a_leak():
    sides = ["train", "train", "validation", "validation", "validation"]
    rows = table(number=[1, 2, 1, 3, 2], day=[0, 0, 0, 9, 0], fraud=["0"] * 5, part=sides)
    assert leak(rows, part="part") == (
        "train.csv, line 2 (train) and line 4 (validation): both are the same row. 2 of 5 rows are like this (lines 4, "
        "6). Keep only one of them."
    )


def test_nested_and_missing_values_are_compared_too():
    rows = table(number=[None, None], day=[0, 9], fraud=["0"] * 2, tags=[["a"], ["a"]], part=["train", "validation"])
    assert parts(rows, part="part") == {"train": [0], "validation": [1]}
    same = table(number=[None, None], day=[0, 0], fraud=["0"] * 2, tags=[["a"], ["a"]], part=["train", "validation"])
    assert "both are the same row" in leak(same, part="part")


def test_customers_in_both_parts_are_a_leak_if_the_setting_forbids_it():
    rows = table(day=[0, 1, 2, 3], who=["a", "b", "a", None], fraud=["0"] * 4)
    assert parts(rows, validation=2) == {"train": [0, 1], "validation": [2, 3]}
    assert leak(rows, validation=2, apart="who") == (
        "train.csv, line 2 (train) and line 4 (validation): both belong to customer 'a'. Put all rows of a customer in "
        "one part."
    )


# --- errors


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "set either 'validation', the number of days to hold out, or 'part', a column that names the part."),
        (
            {"part": "part", "validation": 3},
            "set either 'validation', the number of days to hold out, or 'part', a column that names the part.",
        ),
        (
            {"part": "part", "known": "who"},
            "'known' leaves out rows, but 'part' already names the part of each row; set only one of them.",
        ),
    ],
    ids=["neither", "both", "known"],
)
def test_contradictory_settings_are_an_error(settings, problem):
    with pytest.raises(ConfigError) as caught:
        parse_config(TimeSplitConfig, {"column": "day"} | settings, "split 'time'")
    assert str(caught.value) == f"split 'time': {problem}"


def test_a_row_without_time_is_named_with_its_line():
    with pytest.raises(InvalidRows) as caught:
        parts(table(day=[1, None, 3], fraud=["0"] * 3), validation=1)
    assert str(caught.value) == (
        "train.csv, line 3: the column 'day' is empty.\nFix these rows, or drop them with data.on_bad_row = \"skip\"."
    )


@pytest.mark.parametrize("setting", ["column", "part", "known", "apart"])
def test_a_missing_column_is_an_error(setting):
    settings = {"validation": 1} if setting != "part" else {}
    with pytest.raises(MissingColumn):
        parts(table(day=[1, 2], fraud=["1", "0"]), **settings, **{setting: "gone"})


# --- real data


@needs_handbook
def test_the_weeks_of_the_handbook_have_the_documented_numbers_of_rows():
    sizes = [(len(rows), sum(rows.values("TX_FRAUD"))) for rows in train_and_validation()]
    assert sizes == [(67_240, 598), (58_264, 385)]


@needs_handbook
def test_all_transactions_are_split_in_seconds():
    rows = read_file(FOLDER / "transactions_all_183days.parquet")
    config = TimeSplitConfig(column="TX_TIME_SECONDS", validation=7, delay=7, known="CUSTOMER_ID")
    began = time.process_time()
    parts = split_by_time(rows, ("TX_FRAUD",), config, 0)
    assert time.process_time() - began < 15
    assert sum(map(len, parts.values())) == len(rows)
    assert np.max(parts["train"]) < np.min(parts["delay"]) < np.min(parts["validation"])
