import pyarrow as pa
import pytest

from taskgraft.builtin.splits import FractionConfig, by_fraction
from taskgraft.contract.rows import Rows


def divided(labels, fraction, seed=0, **more):
    rows = Rows(pa.table({"label": labels} | more), "train.csv")
    parts = by_fraction(rows, ["label", *more], FractionConfig(validation=fraction), seed)
    assert sorted([*parts["train"], *parts["validation"]]) == list(range(len(labels)))
    return parts


def test_each_class_gives_its_share():
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    validation = [labels[row] for row in divided(labels, 0.1)["validation"]]
    assert (validation.count("a"), validation.count("b"), validation.count("c")) == (6, 3, 1)


def test_uneven_shares_sum_to_the_total():
    labels = [letter for letter in "abcdefg" for _ in range(5)]
    assert len(divided(labels, 0.1)["validation"]) == 4


def test_a_class_with_one_row_stays_in_training():
    labels = ["a"] * 10 + ["b"] * 10 + ["alone"]
    for seed in range(20):
        assert 20 in divided(labels, 0.5, seed)["train"]


def test_a_class_always_keeps_a_row_in_training():
    parts = divided(["a", "a", "b", "b", "b"], 0.9)
    assert len(parts["train"]) == 2


def test_the_same_seed_samples_the_same_rows_and_another_seed_others():
    labels = ["a", "b"] * 50
    assert divided(labels, 0.2, 3) == divided(labels, 0.2, 3)
    assert divided(labels, 0.2, 3) != divided(labels, 0.2, 4)


def test_rows_with_distinct_targets_are_sampled_without_classes():
    parts = divided([0.5 * row for row in range(100)], 0.2)
    assert len(parts["validation"]) == 20


def test_several_target_columns_make_one_class():
    parts = divided(["a", "a", "b", "b"] * 10, 0.25, other=[1, 2, 1, 2] * 10)
    combined = [row % 4 for row in parts["validation"]]
    assert {one: combined.count(one) for one in range(4)} in (
        {one: 2 + (one in more) for one in range(4)} for more in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    )


def test_lists_of_labels_can_be_classes():
    assert len(divided([["x"], ["y", "z"]] * 10, 0.2)["validation"]) == 4


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_the_validation_share_must_be_below_one(fraction):
    with pytest.raises(ValueError, match="validation"):
        FractionConfig(validation=fraction)


def test_spellings_of_one_label_are_one_class():
    plain, spelled = ["a", "b"] * 10, [label + " " * (row % 3) for row, label in enumerate(["a", "b"] * 10)]
    assert divided(spelled, 0.3) == divided(plain, 0.3)
