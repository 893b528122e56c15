"""Rows of a table become numbers and places of categories."""

import datetime
import math

import numpy as np
import pytest
import torch

from taskgraft_fraud.columns import learn
from taskgraft_fraud.processor import TableProcessor
from taskgraft_fraud.settings import TableConfig


def processor(table, **settings):
    return TableProcessor(learn(TableConfig(**settings), table).learned)


def test_numbers_are_scaled_and_a_missing_one_is_the_mean_with_its_sign():
    made = processor({"x": [1, 3, None]}).prepare({"x": ["1", "", "5"]})
    assert made.batch["numbers"].tolist() == [[-1.0, 0.0], [0.0, 1.0], [3.0, 0.0]]
    assert made.notes == {}


def test_a_number_that_was_never_missing_in_training_is_the_mean_and_that_is_noted():
    made = processor({"x": [1, 3]}).prepare({"x": [5, None]})
    assert made.batch["numbers"].tolist() == [[3.0], [0.0]]
    assert made.notes == {"'x' is missing, as in no training row, so its mean is taken": 1}


def test_categories_have_places_unknown_first_then_missing():
    table = {"x": ["a", "a", "b", "b", "b", None, "rare"]}
    made = processor(table).prepare({"x": ["b", "a", None, "rare", "new"]})
    assert made.batch["categories"].tolist() == [[2], [3], [1], [0], [0]]
    assert made.notes == {"'x' is no category that training rows often have": 2}


def test_a_missing_category_without_a_place_of_its_own_is_unknown():
    made = processor({"x": ["a", "a"]}).prepare({"x": ["a", None]})
    assert made.batch["categories"].tolist() == [[1], [0]]


def test_a_time_is_taken_apart_into_cycles_and_days_elapsed():
    first = datetime.datetime(1970, 1, 1, 6)
    made = processor({"x": [first, first + datetime.timedelta(days=2)]}).prepare({"x": [first]})
    hour, weekday, yearday = ((math.sin(a), math.cos(a)) for a in (math.pi / 2, math.pi / 14, math.pi / 730.485))
    torch.testing.assert_close(made.batch["numbers"], torch.tensor([[*hour, *weekday, *yearday, -1.0]]))


def test_quantile_scaling_gives_a_normal_distribution_and_keeps_the_order():
    values = np.random.default_rng(0).exponential(size=5_000)
    scaled = (
        processor({"x": values.tolist()}, scaling="quantile").prepare({"x": values.tolist()}).batch["numbers"][:, 0]
    )
    order = torch.from_numpy(values).argsort()
    assert bool((scaled[order].diff() >= 0).all())
    assert abs(float(scaled.mean())) < 0.01
    assert abs(float(scaled.std()) - 1) < 0.02
    beyond = processor({"x": values.tolist()}, scaling="quantile").prepare({"x": [-1e9, 1e9]}).batch["numbers"][:, 0]
    torch.testing.assert_close(beyond, torch.tensor([-3.719016, 3.719016]))


def test_a_value_that_many_rows_share_has_the_middle_of_their_ranks():
    scaled = processor({"x": [0] * 50 + [1] * 50}, scaling="quantile").prepare({"x": [0, 1]}).batch["numbers"][:, 0]
    quarter = 0.6745
    torch.testing.assert_close(scaled, torch.tensor([-quarter, quarter]), atol=0.02, rtol=0)


def test_cells_of_another_kind_than_in_training_are_refused_with_their_rows():
    table = processor({"x": [1, 3], "c": ["a", "a"], "t": ["2024-01-01", "2024-01-02"]})
    made = table.prepare({"x": ["1", "one"], "c": [["a"], None], "t": ["2024-01-01", "2024-01-02"]})
    assert made.invalid == {
        0: "the column 'c' is ['a'], which is no single text or number",
        1: "the column 'x' is 'one', which is no number",
    }
    assert len(made.batch) == 2


def test_columns_beyond_those_of_training_are_not_read():
    table = processor({"x": [1, 3]})
    assert table.prepare({"x": [1], "more": ["?"]}).batch["numbers"].tolist() == [[-1.0]]


def test_what_was_learned_is_shown_a_line_per_column():
    table = {
        "amount": [1, 3, None],
        "shop": ["a", "a", "b"],
        "when": [datetime.datetime(2024, 1, 1, 10), datetime.datetime(2024, 1, 2, 10), None],
    }
    assert processor(table).summary == (
        "amount: number, mean 2, standard deviation 1, may be missing",
        "shop: category, 1 of them (a, …)",
        "when: time from 2024-01-01T10:00:00+00:00 on, read as hour, weekday, yearday, days elapsed, may be missing",
    )


@pytest.mark.parametrize("scaling", ["standard", "quantile", "none"])
def test_the_settings_show_every_scale_and_category(scaling):
    made = processor({"x": [1.0, 3.0], "c": ["a", "a"]}, scaling=scaling).settings()
    number, category = made["columns"]
    assert set(number) == {"kind", "name", "mean", "scale", "quantiles", "sign"}
    assert category == {"kind": "category", "name": "c", "categories": ["a"], "sign": False}
