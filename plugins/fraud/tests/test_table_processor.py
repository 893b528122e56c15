"""Table rows become scaled numbers and category indices."""

import datetime
import math
import re

import numpy as np
import pytest
import torch
from small_tables import TABLE

import taskgraft as tg
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.processor import TableProcessor
from taskgraft_fraud.settings import TableConfig


def processor(table, **settings):
    return TableProcessor(fit_config(TableConfig(**settings), table).learned)


def test_numbers_are_scaled_and_a_missing_one_is_the_mean_with_its_indicator():
    processed = processor({"x": [1, 3, None]}).prepare({"x": ["1", "", "5"]})
    assert processed.batch["numbers"].tolist() == [[-1.0, 0.0], [0.0, 1.0], [3.0, 0.0]]
    assert processed.notes == {}


def test_a_number_that_was_never_missing_in_training_becomes_the_mean_with_a_note():
    processed = processor({"x": [1, 3]}).prepare({"x": [5, None]})
    assert processed.batch["numbers"].tolist() == [[3.0], [0.0]]
    assert processed.notes == {"'x' is missing, but never in training, so its mean is used": 1}


def test_category_indices_begin_with_unknown_and_missing():
    table = {"x": ["a", "a", "b", "b", "b", None, "rare"]}
    processed = processor(table).prepare({"x": ["b", "a", None, "rare", "new"]})
    assert processed.batch["categories"].tolist() == [[2], [3], [1], [0], [0]]
    assert processed.notes == {"'x' has an unknown or rare category": 2}


def test_a_missing_category_without_an_indicator_is_unknown():
    processed = processor({"x": ["a", "a"]}).prepare({"x": ["a", None]})
    assert processed.batch["categories"].tolist() == [[1], [0]]


def test_a_time_becomes_cycles_and_days_elapsed():
    first = datetime.datetime(1970, 1, 1, 6)
    processed = processor({"x": [first, first + datetime.timedelta(days=2)]}).prepare({"x": [first]})
    hour, weekday, yearday = ((math.sin(a), math.cos(a)) for a in (math.pi / 2, math.pi / 14, math.pi / 730.485))
    torch.testing.assert_close(processed.batch["numbers"], torch.tensor([[*hour, *weekday, *yearday, -1.0]]))


def test_quantile_scaling_gives_a_normal_distribution_in_the_same_order():
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


def test_tied_values_get_their_middle_rank():
    scaled = processor({"x": [0] * 50 + [1] * 50}, scaling="quantile").prepare({"x": [0, 1]}).batch["numbers"][:, 0]
    quarter = 0.6745
    torch.testing.assert_close(scaled, torch.tensor([-quarter, quarter]), atol=0.02, rtol=0)


def test_cells_of_another_kind_than_in_training_are_invalid():
    table = processor({"x": [1, 3], "c": ["a", "a"], "t": ["2024-01-01", "2024-01-02"]})
    processed = table.prepare({"x": ["1", "one"], "c": [["a"], None], "t": ["2024-01-01", "2024-01-02"]})
    assert processed.invalid == {
        0: "the column 'c' is ['a'], which is not a text or a number",
        1: "the column 'x' is 'one', which is not a number",
    }
    assert len(processed.batch) == 2


def test_columns_that_were_not_in_training_are_ignored():
    table = processor({"x": [1, 3]})
    assert table.prepare({"x": [1], "more": ["?"]}).batch["numbers"].tolist() == [[-1.0]]


def test_the_summary_has_a_line_per_column():
    table = {
        "amount": [1, 3, None],
        "shop": ["a", "a", "b"],
        "when": [datetime.datetime(2024, 1, 1, 10), datetime.datetime(2024, 1, 2, 10), None],
    }
    assert processor(table).summary == (
        "amount: number, mean 2, standard deviation 1, may be missing",
        "shop: category, 1 value (a)",
        "when: time since 2024-01-01T10:00:00+00:00, as hour, weekday, yearday, days elapsed, may be missing",
    )


@pytest.mark.parametrize("scaling", ["standard", "quantile", "none"])
def test_the_settings_contain_every_scale_and_category(scaling):
    processed = processor({"x": [1.0, 3.0], "c": ["a", "a"]}, scaling=scaling).settings()
    number, category = processed["columns"]
    assert set(number) == {"kind", "name", "mean", "scale", "quantiles", "sign"}
    assert category == {"kind": "category", "name": "c", "categories": ["a"], "sign": False}


def test_a_users_augmentation_changes_cells_as_the_data_have_them():
    seen = []

    def noisy(example, rng):
        seen.append(example["amount"])
        factor = np.float32(rng.normal(1.0, 0.1))
        return {**example, "amount": None if example["amount"] is None else example["amount"] * factor}

    def unreadable(example, rng):
        return {**example, "amount": "many"}

    backbone = {"name": "mlp-plr", "blocks": 1, "feature_size": 8, "embedding_size": 4, "frequencies": 3}
    model = tg.compose(backbone, "classification", "full")
    rows, training = {**TABLE, "label": ["a", "b"] * 3}, {"epochs": 1, "workers": 0}
    model.fit(rows, target="label", augmentation=noisy, training=training, quiet=True)
    assert sorted(map(str, seen)) == sorted(map(str, TABLE["amount"]))
    with pytest.raises(tg.plugin.TaskgraftError) as caught:
        model.fit(rows, target="label", augmentation=unreadable, training=training, quiet=True)
    assert re.sub(r"'test.*unreadable' made row \d", "'unreadable' made row 0", str(caught.value)) == (
        "The augmentation 'unreadable' made row 0 invalid: the column 'amount' is 'many', which is not a number."
    )
