"""The columns of a table are fitted on the training rows alone."""

import datetime

import pytest

from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.settings import CategoryColumn, NumberColumn, TableConfig, TimeColumn


def fit_one(values, **settings):
    (column,) = fit_config(TableConfig(**settings), {"x": values}).learned
    return column


def test_a_number_column_has_mean_and_standard_deviation_of_its_present_values():
    assert fit_one(["1", "3", ""]) == NumberColumn(name="x", mean=2.0, scale=1.0, sign=True)
    assert fit_one([1, 3]) == NumberColumn(name="x", mean=2.0, scale=1.0, sign=False)


def test_equal_numbers_have_scale_1():
    assert fit_one([5, 5]).scale == 1.0


def test_numbers_can_stay_unscaled():
    assert fit_one([1, 3], scaling="none") == NumberColumn(name="x", mean=0.0, scale=1.0, sign=False)


def test_quantiles_are_stored_only_for_quantile_scaling():
    assert fit_one([1, 3]).quantiles == ()
    quantiles = fit_one(list(range(201)), scaling="quantile").quantiles
    assert quantiles == pytest.approx(range(201))


def test_categories_are_sorted_by_frequency_without_rare_ones():
    assert fit_one(["b", "a", "b", "c", "a", "b"]) == CategoryColumn(name="x", categories=("b", "a"), sign=False)
    assert fit_one(["b", "a", "b", "c"], least=1).categories == ("b", "a", "c")
    assert fit_one(["b", "a", "b", "c"], least=1, categories=1).categories == ("b",)
    assert fit_one(["a", "a", None]).sign


def test_dates_have_no_hour():
    dates = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)]
    assert fit_one(dates) == TimeColumn(
        name="x",
        cycles=("weekday", "yearday"),
        first="2024-01-01T00:00:00+00:00",
        elapsed=True,
        mean=1.0,
        scale=1.0,
        sign=False,
    )
    assert fit_one(["2024-01-01 10:00", "2024-01-03"]).cycles == ("hour", "weekday", "yearday")
    assert fit_one(dates, times=("weekday",)) == TimeColumn(
        name="x",
        cycles=("weekday",),
        first="2024-01-01T00:00:00+00:00",
        elapsed=False,
        mean=1.0,
        scale=1.0,
        sign=False,
    )


def test_the_kind_of_a_column_can_be_set():
    assert fit_one([1, 2, 1, 2], columns={"x": "category"}).categories == ("1", "2")
    assert fit_one(["007", "008"], columns={"x": "number"}).mean == 7.5
    assert fit_one([0, 86_400], columns={"x": "time"}).first == "1970-01-01T00:00:00+00:00"


def test_fitted_columns_are_not_refitted():
    config = fit_config(TableConfig(), {"x": [1, 3]})
    assert fit_config(config, {"x": [100, 300]}) is config


def test_fitted_columns_survive_json():
    table = {"a": [1, 3], "b": ["u", "u"], "c": ["2024-01-01", None]}
    config = fit_config(TableConfig(scaling="quantile"), table)
    assert TableConfig.model_validate_json(config.model_dump_json()) == config


def test_invalid_cells_do_not_count():
    assert fit_one(["1", "3", "many"], columns={"x": "number"}).mean == 2.0


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (
            [None, None],
            {},
            "The column 'x' cannot be used: it is empty in every training row. Leave it out of data.inputs.",
        ),
        (
            [[1], [2]],
            {},
            "The column 'x' cannot be used: it holds lists or structures. Leave it out of data.inputs.",
        ),
        (
            [b"a", b"b"],
            {},
            "The column 'x' cannot be used: its type binary is not supported. Leave it out of data.inputs.",
        ),
        (
            ["a", "b"],
            {"columns": {"x": "number"}},
            "The column 'x' cannot be used: none of its values is a number. Leave it out of data.inputs.",
        ),
        (
            [1e300, -1e300],
            {},
            "The column 'x' cannot be used: its numbers are so large that their squares overflow. "
            "Leave it out of data.inputs.",
        ),
        (
            ["2024-01-01", "2024-01-02"],
            {"times": ("hour",)},
            "The column 'x' cannot be used: it is a time, and the setting 'times' selects nothing that can be computed from "
            "it. Leave it out of data.inputs.",
        ),
        (
            [f"row {number}" for number in range(250)],
            {},
            "The column 'x' cannot be used: it has 250 distinct values in 250 rows, so few of them will occur again. "
            'Leave it out of data.inputs, or declare it a category: columns = {x = "category"}.',
        ),
    ],
)
def test_the_error_says_why_a_column_cannot_be_used(values, settings, message):
    with pytest.raises(FraudError) as caught:
        fit_one(values, **settings)
    assert str(caught.value) == message


def test_settings_of_an_unknown_column_are_an_error():
    with pytest.raises(FraudError) as caught:
        fit_config(TableConfig(columns={"amuont": "number"}), {"amount": [1, 2], "shop": ["a", "b"]})
    assert str(caught.value) == "The setting 'columns' names 'amuont', but the input columns are amount, shop."


def test_a_table_without_columns_is_an_error():
    with pytest.raises(FraudError) as caught:
        fit_config(TableConfig(), {})
    assert str(caught.value) == "The table has no input column besides the target. List its columns in data.inputs."
