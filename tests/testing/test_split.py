"""Each check of the conformance kit for splits catches a fault planted for it, and reports it in the author's terms."""

import itertools

import pyarrow as pa
import pytest
from kit_laws import message

from taskgraft import testing as kit
from taskgraft.builtin.splits import ColumnConfig, FractionConfig, by_column, by_fraction
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import SplitSpec
from taskgraft.testing import ContractViolation, SplitLaws

ROWS = Rows(pa.table({"label": ["a", "b"] * 10, "part": ["train"] * 15 + ["dev"] * 5}), "data.csv")
CALLS = itertools.count()


def planted(split, config=EmptyConfig):
    return SplitSpec(name="planted", summary="a planted split", config=config, split=split)


def check_all(spec, config):
    kit.check_split_divides_the_rows(spec, ROWS, ["label"], config)
    kit.check_split_is_repeatable(spec, ROWS, ["label"], config)


@pytest.mark.parametrize(
    ("split", "config"),
    [(by_fraction, FractionConfig(validation=0.2)), (by_column, ColumnConfig(column="part"))],
)
def test_the_built_in_splits_keep_the_laws(split, config):
    check_all(planted(split, type(config)), config)


class TestOfAPlugin(SplitLaws):
    """A plugin's tests inherit the checks."""

    @pytest.fixture
    def spec(self):
        return planted(by_fraction, FractionConfig)

    @pytest.fixture
    def rows(self):
        return ROWS

    @pytest.fixture
    def targets(self):
        return ("label",)

    @pytest.fixture
    def config(self):
        return FractionConfig(validation=0.2)


def overlaps(rows, targets, settings, seed):
    return {"train": list(range(19)), "validation": [18, 19]}


def forgets_validation(rows, targets, settings, seed):
    return {"train": list(range(20))}


def counts_calls(rows, targets, settings, seed):
    held = next(CALLS) % len(rows)
    return {"train": [row for row in range(len(rows)) if row != held], "validation": [held]}


def fails(rows, targets, settings, seed):
    raise KeyError("part")


@pytest.mark.parametrize(
    ("split", "check", "found"),
    [
        (
            overlaps,
            kit.check_split_divides_the_rows,
            "with the seed 0, it puts row 18 into 'train' and into 'validation'",
        ),
        (
            forgets_validation,
            kit.check_split_divides_the_rows,
            "with the seed 0, it leaves no row for 'validation' (train 20)",
        ),
        (fails, kit.check_split_divides_the_rows, "splitting with the seed 0 raises KeyError: 'part'"),
        (counts_calls, kit.check_split_is_repeatable, "two splits with the seed 0 differ"),
    ],
)
def test_a_planted_fault_of_a_split_is_caught(split, check, found):
    with pytest.raises(ContractViolation) as caught:
        check_all(planted(split), EmptyConfig())
    assert str(caught.value) == message(check, "split 'planted'", found)
