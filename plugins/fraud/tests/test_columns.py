"""What is learned about the columns of a table, from the training rows alone."""

import datetime

import pytest

from taskgraft_fraud.columns import NoColumns, UnknownColumns, UnreadableColumn, learn
from taskgraft_fraud.settings import CategoryColumn, NumberColumn, TableConfig, TimeColumn


def only(values, **settings):
    (column,) = learn(TableConfig(**settings), {"x": values}).learned
    return column


def test_numbers_have_the_mean_and_standard_deviation_of_what_is_present():
    assert only(["1", "3", ""]) == NumberColumn(name="x", mean=2.0, scale=1.0, sign=True)
    assert only([1, 3]) == NumberColumn(name="x", mean=2.0, scale=1.0, sign=False)


def test_numbers_that_are_all_alike_have_the_scale_1():
    assert only([5, 5]).scale == 1.0


def test_numbers_can_be_read_as_they_are():
    assert only([1, 3], scaling="none") == NumberColumn(name="x", mean=0.0, scale=1.0, sign=False)


def test_quantiles_are_kept_for_quantile_scaling_alone():
    assert only([1, 3]).quantiles == ()
    quantiles = only(list(range(201)), scaling="quantile").quantiles
    assert quantiles == pytest.approx(range(201))


def test_categories_stand_by_their_number_the_rare_ones_left_out():
    assert only(["b", "a", "b", "c", "a", "b"]) == CategoryColumn(name="x", categories=("b", "a"), sign=False)
    assert only(["b", "a", "b", "c"], least=1).categories == ("b", "a", "c")
    assert only(["b", "a", "b", "c"], least=1, categories=1).categories == ("b",)
    assert only(["a", "a", None]).sign


def test_a_time_has_the_cycles_that_it_can_have():
    dates = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)]
    assert only(dates) == TimeColumn(
        name="x",
        cycles=("weekday", "yearday"),
        first="2024-01-01T00:00:00+00:00",
        elapsed=True,
        mean=1.0,
        scale=1.0,
        sign=False,
    )
    assert only(["2024-01-01 10:00", "2024-01-03"]).cycles == ("hour", "weekday", "yearday")
    assert only(dates, times=("weekday",)) == TimeColumn(
        name="x",
        cycles=("weekday",),
        first="2024-01-01T00:00:00+00:00",
        elapsed=False,
        mean=1.0,
        scale=1.0,
        sign=False,
    )


def test_what_a_column_is_can_be_said():
    assert only([1, 2, 1, 2], columns={"x": "category"}).categories == ("1", "2")
    assert only(["007", "008"], columns={"x": "number"}).mean == 7.5
    assert only([0, 86_400], columns={"x": "time"}).first == "1970-01-01T00:00:00+00:00"


def test_what_was_learned_stays_with_another_table():
    config = learn(TableConfig(), {"x": [1, 3]})
    assert learn(config, {"x": [100, 300]}) is config


def test_what_was_learned_survives_json():
    table = {"a": [1, 3], "b": ["u", "u"], "c": ["2024-01-01", None]}
    config = learn(TableConfig(scaling="quantile"), table)
    assert TableConfig.model_validate_json(config.model_dump_json()) == config


def test_rows_that_will_be_refused_do_not_count():
    assert only(["1", "3", "many"], columns={"x": "number"}).mean == 2.0


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (
            [None, None],
            {},
            "The column 'x' cannot be read: it is empty in every training row. Leave it out of data.inputs.",
        ),
        (
            [[1], [2]],
            {},
            "The column 'x' cannot be read: it holds values of the kind list<item: int64>. Leave it out of data.inputs.",
        ),
        (
            ["a", "b"],
            {"columns": {"x": "number"}},
            "The column 'x' cannot be read: none of its values is a number. Leave it out of data.inputs.",
        ),
        (
            [1e300, -1e300],
            {},
            "The column 'x' cannot be read: its numbers are so large that their squares are not finite. "
            "Leave it out of data.inputs.",
        ),
        (
            ["2024-01-01", "2024-01-02"],
            {"times": ("hour",)},
            "The column 'x' cannot be read: it holds times, of which the setting 'times' lets nothing be read. "
            "Leave it out of data.inputs.",
        ),
        (
            [f"row {number}" for number in range(250)],
            {},
            "The column 'x' cannot be read: it has 250 different values in 250 rows, so few of them will occur again. "
            'Leave it out of data.inputs, or say that it is a category all the same: columns = {x = "category"}.',
        ),
    ],
)
def test_a_column_that_cannot_be_read_is_told(values, settings, message):
    with pytest.raises(UnreadableColumn) as caught:
        only(values, **settings)
    assert str(caught.value) == message


def test_settings_of_a_column_that_is_not_read_are_told():
    with pytest.raises(UnknownColumns) as caught:
        learn(TableConfig(columns={"amuont": "number"}), {"amount": [1, 2], "shop": ["a", "b"]})
    assert (
        str(caught.value)
        == "The setting 'columns' names 'amuont', which is not read. The columns that are read: amount, shop."
    )


def test_a_table_without_columns_is_told():
    with pytest.raises(NoColumns) as caught:
        learn(TableConfig(), {})
    assert (
        str(caught.value)
        == "The table has no column to read beside the target. Name columns in data.inputs that it has."
    )
