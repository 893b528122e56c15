"""What is said about input columns, tested against planted truth: every plant is found, and noise is left alone."""

import time
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.preparation.column_checks import column_warnings, constant_inputs
from taskgraft.preparation.leak_checks import find_leaks

CLASS, NUMBER, LABELS = TargetKind.CATEGORY, TargetKind.NUMBERS, TargetKind.CATEGORIES


def warned(columns, target, kind=CLASS):
    rows = Rows(pa.table(columns), "train.csv")
    return column_warnings(rows, list(columns), {"label": list(target)}, kind)


def drawn(seed, count=300):
    """A generator, and labels that nothing predicts."""
    random = np.random.default_rng(seed)
    return random, random.choice(["ok", "fraud"], count).tolist()


# --- constant columns, identifiers, copies


def test_a_constant_column_is_reported_with_the_setting_to_write():
    random, labels = drawn(0)
    assert warned({"fee": [14.62] * 300, "amount": random.normal(size=300)}, labels) == (
        "'fee' has the same value in all training rows. Leave it out with data.exclude = [\"fee\"].",
    )


def test_several_constant_columns_are_reported_together():
    random, labels = drawn(0)
    columns = {"a": ["x"] * 300, "b": [None] * 300, "amount": random.normal(size=300), 'c "d"': [1] * 300}
    assert warned(columns, labels) == (
        "'a', 'b', 'c \"d\"' have the same value in all training rows. "
        'Leave them out with data.exclude = ["a", "b", "c \\"d\\""].',
    )


def test_a_constant_text_is_reported_where_the_backbone_names_its_inputs():
    rows = Rows(pa.table({"text": ["same"] * 9, "id": range(9)}), "train.csv")
    assert constant_inputs(rows, ["text"]) == ("'text' has the same value in all training rows.",)
    assert constant_inputs(rows, ["id"]) == ()


IDENTIFIERS = {
    "1 to n": lambda random, count: list(range(1, count + 1)),
    "1 to n, shuffled": lambda random, count: (random.permutation(count) + 1).tolist(),
    "1 to n, as texts": lambda random, count: [str(value) for value in random.permutation(count)],
    "1 to n, as floats": lambda random, count: (random.permutation(count) + 1.0).tolist(),
    "part of 1 to n, as after a split": lambda random, count: random.permutation(5 * count)[:count].tolist(),
    "texts": lambda random, count: [f"C{value:08}" for value in random.choice(10**8, count, replace=False)],
    "hashes": lambda random, count: [random.bytes(8).hex() for _ in range(count)],
}


@pytest.mark.parametrize("kind", IDENTIFIERS)
@pytest.mark.parametrize("seed", range(5))
def test_an_identifier_is_reported(kind, seed):
    random, labels = drawn(seed)
    columns = {"a1": IDENTIFIERS[kind](random, 300), "amount": random.lognormal(size=300)}
    assert warned(columns, labels) == (
        "'a1' has a different value in every training row, as an identifier has. "
        'Leave it out with data.exclude = ["a1"].',
    )


@pytest.mark.parametrize("name", ["id", "customer_id", "customerId", "ID", "row number", "uuid"])
def test_large_numbers_are_an_identifier_by_their_name(name):
    random, labels = drawn(1)
    values = random.choice(10**9, 300, replace=False)
    assert len(warned({name: values}, labels)) == 1
    assert warned({"amount": values}, labels) == ()


MEASURES = {
    "amounts": lambda random, count: random.lognormal(3, 1, count),
    "amounts as texts": lambda random, count: [f"{value:.2f}" for value in random.lognormal(9, 3, count)],
    "amounts in cents": lambda random, count: random.lognormal(12, 2, count).astype(int),
    "whole numbers": lambda random, count: random.integers(0, count**2, count),
    "counts": lambda random, count: random.poisson(4, count),
    "hours": lambda random, count: np.arange(count) * 3600,
    "times": lambda random, count: [datetime(2026, 1, 1) + timedelta(hours=row) for row in range(count)],
    "dates as texts": lambda random, count: [
        str((datetime(2000, 1, 1) + timedelta(days=row)).date()) for row in range(count)
    ],
    "days as in Germany": lambda random, count: [
        f"{datetime(2000, 1, 1) + timedelta(days=row):%d.%m.%Y}" for row in range(count)
    ],
    "categories": lambda random, count: random.choice(list("abcdefgh"), count),
    "rare categories": lambda random, count: [f"c{value}" for value in random.integers(0, count, count)],
    "booleans": lambda random, count: random.integers(0, 2, count).astype(bool),
    "with missing cells": lambda random, count: [None if value < 0 else value for value in random.normal(size=count)],
    "lists": lambda random, count: [[value] for value in random.normal(size=count)],
}


@pytest.mark.parametrize("kind", MEASURES)
def test_what_measures_something_is_left_alone(kind):
    wrong = 0
    for seed in range(40):
        random, labels = drawn(seed)
        wrong += bool(warned({"x": MEASURES[kind](random, 300)}, labels))
    assert wrong == 0


@pytest.mark.parametrize("count", [8, 19])
def test_few_rows_show_nothing(count):
    _random, labels = drawn(0, count)
    columns = {"a": list(range(count)), "b": [f"t{row}" for row in range(count)], "c": labels}
    assert warned(columns, labels) == ()


TYPES = [
    *(
        (kind, (0, 1))
        for kind in (pa.int8(), pa.uint64(), pa.float32(), pa.date32(), pa.timestamp("ns"), pa.time64("us"))
    ),
    *((kind, (0, 1)) for kind in (pa.duration("s"), pa.dictionary(pa.int32(), pa.int64()))),
    (pa.float16(), (np.float16(0), np.float16(1))),
    (pa.decimal128(10, 2), (Decimal(0), Decimal(1))),
    (pa.bool_(), (False, True)),
    *((kind, ("a", "b")) for kind in (pa.string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))),
    *((kind, (b"a", b"b")) for kind in (pa.binary(), pa.binary_view())),
]


@pytest.mark.parametrize(("kind", "values"), TYPES, ids=[str(kind) for kind, _ in TYPES])
def test_columns_of_every_type_are_checked(kind, values):
    columns = {"x": pa.array(list(values) * 30, kind), "fee": pa.array([values[0]] * 60, kind)}
    (line,) = warned(columns, random_labels())
    assert line == "'fee' has the same value in all training rows. Leave it out with data.exclude = [\"fee\"]."


class Shapes(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.list_(pa.int64()), "shapes")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


def test_values_that_cannot_be_compared_are_not_checked():
    lists = pa.array([[1]] * 60)
    columns = {
        "lists": lists,
        "structs": pa.array([{"a": 1}] * 60),
        "shapes": pa.ExtensionArray.from_storage(Shapes(), lists),
    }
    assert warned(columns, random_labels()) == ()


def random_labels(count=60):
    return drawn(0, count)[1]


def test_a_copy_is_reported():
    random, labels = drawn(0)
    amount = random.normal(size=300)
    amount[3] = np.nan
    city = random.choice(["A", "B"], 300)
    columns = {
        "amount": amount,
        "city": city,
        "amount_2": amount.copy(),
        "town": city,
        "place": city,
        "near": amount + 1e-9,
    }
    assert warned(columns, labels) == (
        "'amount_2' has the same values as 'amount' in all training rows. Leave it out with data.exclude = [\"amount_2\"].",
        "'town', 'place' have the same values as 'city' in all training rows. "
        'Leave them out with data.exclude = ["town", "place"].',
    )


# --- columns that alone predict the target


def test_a_possible_leak_is_reported_with_figures_and_the_setting_to_write():
    random, labels = drawn(0, 2_000)
    approved = [None if label == "fraud" else f"2026-0{1 + row % 9}-11" for row, label in enumerate(labels)]
    assert warned({"approved_at": approved, "amount": random.normal(size=2_000)}, labels) == (
        "'approved_at' alone predicts 'label' almost perfectly (AUROC 1.0000 on 2,000 rows), which may be a leak. "
        'If it is not known when the model predicts, leave it out with data.exclude = ["approved_at"].',
    )


def a_class_of(random, count, share=0.5):
    labels = (random.random(count) < share).astype(int)
    return labels, [["ok", "fraud"][label] for label in labels]


LEAKS = {
    "a copy of the label": lambda random, y: y,
    "other names": lambda random, y: ["yes" if label else "no" for label in y],
    "the other way round": lambda random, y: -y.astype(float),
    "a score": lambda random, y: y + random.normal(0, 0.15, len(y)),
    "a score as text": lambda random, y: [f"{value:.3f}" for value in y + random.normal(0, 0.15, len(y))],
    "empty for one class": lambda random, y: [
        None if label else value for label, value in zip(y, random.normal(size=len(y)), strict=False)
    ],
    "only filled for one class": lambda random, y: ["" if label else "done" for label in y],
    "codes of each class": lambda random, y: np.array([[1, 4, 7], [2, 3, 9]])[y, random.integers(0, 3, len(y))],
    "names of each class": lambda random, y: np.array([["red", "tin"], ["blue", "zinc"]])[
        y, random.integers(0, 2, len(y))
    ],
    "bands": lambda random, y: (
        np.where(y == 1, random.choice([3.0, 9.0], len(y)), random.choice([1.0, 6.0, 12.0], len(y)))
        + random.normal(0, 0.1, len(y))
    ),
    "rows sorted by class": lambda random, y: np.argsort(np.argsort(y, kind="stable")),
    "one wrong in each class": lambda random, y: np.where(
        np.isin(np.arange(len(y)), [y.argmin(), y.argmax()]), 1 - y, y
    ),
}


@pytest.mark.parametrize("kind", LEAKS)
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_planted_leak_is_found(kind, share):
    if kind == "one wrong in each class" and share < 0.5:
        share = 0.25  # with 75 rows of a class, one is more than one in a hundred
    missed = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        y, labels = a_class_of(random, 1_500, share)
        columns = {"noise": random.normal(size=1_500), "leak": LEAKS[kind](random, y)}
        missed += not any("'leak' alone predicts 'label'" in line for line in warned(columns, labels))
    assert missed == 0


def test_a_leak_of_many_classes_is_found():
    random = np.random.default_rng(0)
    y = random.integers(0, 12, 2_000)
    columns = {
        "code": 100 - y,
        "name": [f"c{value}" for value in y],
        "half": y % 6,
        "noise": random.integers(0, 12, 2_000),
    }
    lines = warned(columns, [f"class {value}" for value in y])
    assert [line.partition(" ")[0] for line in lines] == ["'code'", "'name'"]
    assert "(balanced accuracy 1.0000 on 2,000 rows)" in lines[0]


@pytest.mark.parametrize(
    "leak",
    [
        lambda y: y,
        lambda y: 3 - 0.01 * y,
        lambda y: np.exp(y / 100),
        lambda y: [f"{value:.4f}" for value in y],
    ],
    ids=["copy", "linear", "monotone", "text"],
)
def test_a_leak_of_a_number_is_found(leak):
    random = np.random.default_rng(0)
    y = np.round(random.normal(100, 20, 1_000), 1)
    found = [one.column for one in find_leaks({"leak": pa.chunked_array([leak(y)])}, {"label": y.tolist()}, NUMBER)]
    assert found == ["leak"]


def test_a_good_feature_of_a_number_is_left_alone():
    random = np.random.default_rng(0)
    y = random.normal(size=1_000)
    assert warned({"x": y + random.normal(0, 0.1, 1_000)}, y, NUMBER) == ()


def test_a_leak_of_one_of_several_labels_is_found():
    random = np.random.default_rng(0)
    sport, news = random.integers(0, 2, (2, 600)).astype(bool)
    labels = [[name for name, has in (("sport", s), ("news", n)) if has] for s, n in zip(sport, news, strict=True)]
    (line,) = warned({"section": [int(value) for value in sport], "noise": random.normal(size=600)}, labels, LABELS)
    assert line.startswith(
        "'section' alone predicts the label 'sport' of 'label' almost perfectly (AUROC 1.0000 on 600 rows)"
    )


@pytest.mark.parametrize("auroc", [0.9, 0.98])
def test_a_good_feature_is_left_alone(auroc):
    random = np.random.default_rng(0)
    y, labels = a_class_of(random, 4_000)
    distance = {0.9: 1.81, 0.98: 2.9}[auroc]
    assert warned({"score": random.normal(size=4_000) + distance * y}, labels) == ()


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "share"), [(30, 0.5), (60, 0.25), (300, 0.5), (2_000, 0.01)])
def test_noise_is_called_a_leak_in_less_than_one_in_a_hundred_tables(rows, share):
    wrong, tables = 0, 200
    for seed in range(tables):
        random = np.random.default_rng(seed)
        _, labels = a_class_of(random, rows, share)
        columns = {f"n{index}": random.normal(size=rows) for index in range(20)}
        columns |= {f"b{index}": random.integers(0, 2, rows) for index in range(15)}
        columns |= {f"c{index}": random.choice(list("abcdef"), rows) for index in range(15)}
        cells = {name: pa.chunked_array([values]) for name, values in columns.items()}
        wrong += bool(find_leaks(cells, {"label": labels}, CLASS))
    assert wrong < tables / 100


@pytest.mark.slow
def test_noise_is_no_leak_of_a_number():
    for seed in range(100):
        random = np.random.default_rng(seed)
        cells = {f"n{index}": pa.chunked_array([random.normal(size=40)]) for index in range(50)}
        assert find_leaks(cells, {"label": random.standard_cauchy(40).tolist()}, NUMBER) == []


def test_targets_per_element_are_not_checked():
    assert warned({"x": [0, 1] * 50}, [["a"], ["b"]] * 50, TargetKind.ELEMENT_CATEGORIES) == ()


@pytest.mark.slow
def test_fifty_columns_of_fifty_thousand_rows_take_less_than_half_a_second():
    random, labels = drawn(0, 50_000)
    columns = {f"n{index}": pa.array(random.normal(size=50_000)) for index in range(15)}
    columns |= {f"t{index}": pa.array([f"{value:.2f}" for value in random.normal(size=50_000)]) for index in range(15)}
    columns |= {f"c{index}": pa.array(random.choice(list("abcdefgh"), 50_000)) for index in range(15)}
    columns |= {f"i{index}": pa.array(random.permutation(50_000)) for index in range(4)}
    columns["key"] = pa.array([f"C{value}" for value in random.permutation(50_000)])
    rows = Rows(pa.table(columns), "train.csv")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        column_warnings(rows, list(columns), {"label": labels}, CLASS)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5
