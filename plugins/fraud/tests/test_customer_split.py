import pyarrow as pa
import pytest

from taskgraft.plugin import ConfigError, MissingColumn, Rows, parse_config
from taskgraft.testing import SplitLaws
from taskgraft_fraud.customer_split import split_by_customer
from taskgraft_fraud.leak_checks import DataLeak
from taskgraft_fraud.plugin import taskgraft_splits
from taskgraft_fraud.split_settings import CustomerSplitConfig

(SPEC,) = (spec for spec in taskgraft_splits() if spec.name == "customer")
WHO = [*"abcdefghij" * 3, None, None]


def table(**columns) -> Rows:
    count = len(next(iter(columns.values())))
    return Rows(pa.table({"number": list(range(count))} | columns), "train.csv", list(range(2, count + 2)))


def parts(rows, seed=0, **settings) -> dict[str, list[int]]:
    split = split_by_customer(rows, ("fraud",), CustomerSplitConfig(column="who", **settings), seed)
    return {name: list(members) for name, members in split.items()}


class TestCustomer(SplitLaws):
    @pytest.fixture
    def spec(self):
        return SPEC

    @pytest.fixture
    def rows(self):
        return table(who=WHO)

    @pytest.fixture
    def targets(self):
        return ("fraud",)

    @pytest.fixture
    def config(self):
        return CustomerSplitConfig(column="who", fraction=0.25)


def test_a_share_of_the_customers_is_held_out_with_all_their_rows():
    split = parts(table(who=WHO), fraction=0.25)
    held_out = [WHO[row] for row in split["validation"]]
    assert sorted(split["train"] + split["validation"]) == list(range(len(WHO)))
    assert (
        len({who or row for row, who in zip(split["validation"], held_out, strict=True)}) == 3
    )  # of 10 and two without
    assert {who for who in held_out if who}.isdisjoint(WHO[row] for row in split["train"])


def test_the_seed_chooses_the_customers_whatever_the_order_of_rows():
    rows = table(who=WHO[:30])
    first, other = (parts(rows, seed, fraction=0.5)["validation"] for seed in (0, 1))
    reversed_rows = parts(table(who=WHO[:30][::-1]), 0, fraction=0.5)["validation"]
    assert first != other
    assert {WHO[row] for row in first} == {WHO[29 - row] for row in reversed_rows}


def leak(rows, **settings) -> str:
    with pytest.raises(DataLeak) as caught:
        parts(rows, **settings)
    return str(caught.value)


def test_a_part_column_is_used_if_no_customer_is_in_two_parts():
    rows = table(who=["a", "a", "b", "c"], part=["train", "train", "validation", "test"])
    assert parts(rows, part="part") == {"train": [0, 1], "validation": [2], "test": [3]}
    assert SPEC.columns(CustomerSplitConfig(column="who", part="part")) == ("part",)


def test_a_customer_in_both_parts_is_a_leak():
    rows = table(who=["a", "b", "a", "b", "a"], part=["train", "train", "validation", "validation", "validation"])
    assert leak(rows, part="part") == (
        "train.csv, line 2 (train) and line 4 (validation): both belong to customer 'a'. 3 of 5 rows are like this "
        "(lines 4, 5, 6). Put all rows of a customer in one part."
    )


def test_a_row_in_both_parts_is_a_leak_even_without_customer():
    rows = table(number=[1, 1], who=pa.array([None, None], pa.string()), part=["train", "validation"])
    assert leak(rows, part="part") == (
        "train.csv, line 2 (train) and line 3 (validation): both are the same row. Keep only one of them."
    )


def test_contradictory_settings_are_an_error():
    for settings in ({}, {"fraction": 0.1, "part": "part"}):
        with pytest.raises(ConfigError) as caught:
            parse_config(CustomerSplitConfig, {"column": "who"} | settings, "split 'customer'")
        assert str(caught.value) == (
            "split 'customer': set either 'fraction', a share of the customers, or 'part', a column that names the part."
        )


def test_a_missing_column_is_an_error():
    with pytest.raises(MissingColumn):
        parts(table(whose=["a", "b"]), fraction=0.5)
