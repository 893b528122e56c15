import pyarrow as pa
import pytest

from taskgraft.plugin import ConfigError, MissingColumn, Rows, parse_config
from taskgraft.testing import SplitLaws
from taskgraft_fraud.customer_split import by_customer
from taskgraft_fraud.leak import Leak
from taskgraft_fraud.plugin import taskgraft_splits
from taskgraft_fraud.split_settings import CustomerSplitConfig

(SPEC,) = (spec for spec in taskgraft_splits() if spec.name == "customer")
WHO = [*"abcdefghij" * 3, None, None]


def table(**columns) -> Rows:
    count = len(next(iter(columns.values())))
    return Rows(pa.table({"number": list(range(count))} | columns), "train.csv", list(range(2, count + 2)))


def parts(rows, seed=0, **settings) -> dict[str, list[int]]:
    found = by_customer(rows, ("fraud",), CustomerSplitConfig(column="who", **settings), seed)
    return {name: list(members) for name, members in found.items()}


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
    found = parts(table(who=WHO), fraction=0.25)
    held = [WHO[row] for row in found["validation"]]
    assert sorted(found["train"] + found["validation"]) == list(range(len(WHO)))
    assert len({who or row for row, who in zip(found["validation"], held, strict=True)}) == 3  # of 10 and two without
    assert {who for who in held if who}.isdisjoint(WHO[row] for row in found["train"])


def test_the_seed_draws_the_customers_and_the_order_of_rows_does_not_matter():
    rows = table(who=WHO[:30])
    first, other = (parts(rows, seed, fraction=0.5)["validation"] for seed in (0, 1))
    turned = parts(table(who=WHO[:30][::-1]), 0, fraction=0.5)["validation"]
    assert first != other
    assert {WHO[row] for row in first} == {WHO[29 - row] for row in turned}


def leak(rows, **settings) -> str:
    with pytest.raises(Leak) as caught:
        parts(rows, **settings)
    return str(caught.value)


def test_a_part_that_is_given_is_kept_where_customers_are_apart():
    rows = table(who=["a", "a", "b", "c"], part=["train", "train", "validation", "test"])
    assert parts(rows, part="part") == {"train": [0, 1], "validation": [2], "test": [3]}
    assert SPEC.columns(CustomerSplitConfig(column="who", part="part")) == ("part",)


def test_a_customer_on_both_sides_is_a_leak():
    rows = table(who=["a", "b", "a", "b", "a"], part=["train", "train", "validation", "validation", "validation"])
    assert leak(rows, part="part") == (
        "train.csv, line 2 (learned from) and line 4 (judged by): both are of the customer 'a'. 3 of 5 rows are like this "
        "(lines 4, 5, 6). Put all rows of a customer on one side."
    )


def test_a_row_on_both_sides_is_a_leak_where_it_has_no_customer():
    rows = table(number=[1, 1], who=pa.array([None, None], pa.string()), part=["train", "validation"])
    assert leak(rows, part="part") == (
        "train.csv, line 2 (learned from) and line 3 (judged by): both are the same row. Keep one of the two."
    )


def test_there_is_one_way_to_say_who_is_held_out():
    for settings in ({}, {"fraction": 0.1, "part": "part"}):
        with pytest.raises(ConfigError) as caught:
            parse_config(CustomerSplitConfig, {"column": "who"} | settings, "split 'customer'")
        assert str(caught.value) == (
            "split 'customer': give either 'fraction', a share of the customers, or 'part', a column that says it already."
        )


def test_a_column_that_is_not_there_is_told():
    with pytest.raises(MissingColumn):
        parts(table(whose=["a", "b"]), fraction=0.5)
