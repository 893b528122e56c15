"""Cells in the formats of a recipe → canonical text: numbers, dates, missing marks."""

import datetime
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from taskgraft.contract.config import ConfigError, parse_config
from taskgraft.contract.descriptions import BackboneDescription, InputField, TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.reading.cell_formats import format_cells, format_notes, verbatim_columns
from taskgraft.recipe import DataConfig

GERMAN = DataConfig(decimal=",", thousands=".", units=("€", "%", "EUR"), dates="day-first", missing=("NA", "k.A."))


def formatted(values, verbatim=(), **settings):
    rows = Rows(pa.table({"x": values}), "x.csv")
    return format_cells(rows, DataConfig(**settings), verbatim).values("x")


@pytest.mark.parametrize(
    ("settings", "cell", "expected"),
    [
        ({"decimal": ","}, "1,5", "1.5"),
        ({"decimal": ","}, "-1,5e3", "-1.5e3"),
        ({"decimal": ","}, " ,5 ", ".5"),
        ({"decimal": ",", "thousands": "."}, "1.234.567,5", "1234567.5"),
        ({"decimal": ",", "thousands": "."}, "1.234", "1234"),
        ({"decimal": ",", "thousands": "."}, "12.34,5", "12.34,5"),
        ({"decimal": ",", "thousands": "."}, "0.123", "0.123"),
        ({"decimal": ",", "thousands": " "}, "1\u202f234\u00a0567,5", "1234567.5"),
        ({"thousands": ","}, "1,234.5", "1234.5"),
        ({"thousands": ","}, "1,23", "1,23"),
        ({"thousands": "'"}, "1'234’567", "1234567"),
        ({"units": "€"}, "€ -12.5", "-12.5"),
        ({"units": "€"}, "-€12.5", "-12.5"),
        ({"units": "€"}, "12.5\u00a0€", "12.5"),
        ({"units": ("%",)}, "12 %", "12"),
        ({"units": ("EUR", "€")}, "12 EUR", "12"),
        ({"units": ("€",)}, "12 $", "12 $"),
        ({"units": ("€",)}, "€", "€"),
        ({"decimal": ","}, "\u22125,5", "-5.5"),
        ({"decimal": ","}, "007", "007"),
        ({"decimal": ","}, "one, two", "one, two"),
        ({"dates": "day-first"}, "1.2.2026", "2026-02-01"),
        ({"dates": "day-first"}, "01/02/2026 13:05", "2026-02-01 13:05:00"),
        ({"dates": "day-first"}, "01-02-2026T13:05:07.25", "2026-02-01 13:05:07.25"),
        ({"dates": "day-first"}, "31.12.2026 23:30 +02:00", "2026-12-31 23:30:00+02:00"),
        ({"dates": "month-first"}, "1/2/2026, 12:05 AM", "2026-01-02 00:05:00"),
        ({"dates": "month-first"}, "1/2/2026 12:05 pm", "2026-01-02 12:05:00"),
        ({"dates": "month-first"}, "1/2/2026 1:05 p.m.", "2026-01-02 13:05:00"),
        ({"dates": "month-first"}, "25/12/2026", "25/12/2026"),
        ({"dates": "day-first"}, "25.12.26", "25.12.26"),
        ({"dates": "day-first"}, "2026-12-25", "2026-12-25"),
        ({"missing": "NA"}, "NA", None),
        ({"missing": "NA"}, " NA ", None),
        ({"missing": "NA"}, "NAN", "NAN"),
        ({"missing": "-999"}, "-999.0", None),
        ({"missing": "7"}, "007", "007"),
    ],
)
def test_a_cell_is_rewritten_if_it_has_the_format(settings, cell, expected):
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert formatted(pa.array([cell, None], kind), **settings) == [expected, None]
    assert formatted(pa.array([cell]).dictionary_encode(), **settings) == [expected]


def test_without_settings_the_table_is_the_same_object():
    rows = Rows(pa.table({"x": ["1,5", "NA"]}), "x.csv")
    assert format_cells(rows, DataConfig(), ()).table is rows.table


def test_cells_are_rewritten_once():
    rows = Rows(pa.table({"x": ["1,234"]}), "x.csv")
    once = format_cells(rows, DataConfig(decimal=","), ())
    assert once.values("x") == ["1.234"]
    assert format_cells(once.take([0]), GERMAN, ()).values("x") == ["1.234"]


def test_a_cell_does_not_depend_on_other_rows():
    cells = ["1.234,5 €", "NA", "3,5 %", "01.02.2026", "2026-01-01", "x", None, "7", "-1.000", "", "k.A."]
    alone = [formatted([cell], **GERMAN.model_dump())[0] for cell in cells]
    order = random.Random(0).sample(range(len(cells)), len(cells))
    assert formatted([cells[row] for row in order], **GERMAN.model_dump()) == [alone[row] for row in order]


def test_missing_marks_are_null_in_every_column_and_the_rest_of_verbatim_texts_stays():
    assert formatted(["NA", "1,5", "1.2.2026"], verbatim=("x",), **GERMAN.model_dump()) == [None, "1,5", "1.2.2026"]


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        ([1, -999], "-999"),
        ([1.5, -999.0], "-999"),
        ([Decimal("1.5"), Decimal("-999.0")], "-999"),
        ([datetime.date(2026, 1, 1), datetime.date(1900, 1, 1)], "1900-01-01"),
        ([datetime.datetime(2026, 1, 1, 5), datetime.datetime(1900, 1, 1)], "1900-01-01"),
    ],
)
def test_a_mark_stands_for_equal_cells_of_any_type(values, mark):
    assert formatted(values, missing=mark) == [values[0], None]
    assert formatted([str(value) for value in values], missing=[mark, "1900-01-01 00:00:00"])[1] is None


def test_other_types_stay():
    values = [[1, 2], None]
    assert formatted(values, **GERMAN.model_dump()) == values
    assert formatted([True, False], **GERMAN.model_dump()) == [True, False]


def test_a_point_that_may_be_between_thousands_makes_the_row_invalid():
    rows = format_cells(Rows(pa.table({"x": ["1,5", "1.234", "12.5"]}), "x.csv"), DataConfig(decimal=","), ())
    assert rows.invalid == {
        1: "the column 'x' has a number with a point, such as '1.234', which is 1234 if the point is between thousands, or "
        '1.234 although data.decimal is ","; in the first case, write data.thousands = "."'
    }


def test_a_column_that_is_not_read_makes_no_row_invalid():
    rows = Rows(pa.table({"x": ["1.234"], "y": ["1,5"]}), "x.csv")
    for settings in ({"inputs": "y"}, {"inputs": {"y": "y"}}, {"exclude": "x"}):
        assert format_cells(rows, DataConfig(decimal=",", **settings), ()).invalid == {}


def test_another_decimal_point_is_remarked():
    before = Rows(pa.table({"x": ["1,5", "12.5", "0.123"]}), "x.csv")
    after = format_cells(before, DataConfig(decimal=","), ())
    assert after.values("x") == ["1.5", "12.5", "0.123"]
    assert format_notes(before, after) == {"'x' has a decimal point, although data.decimal is ','": 2}


def test_texts_of_named_inputs_and_labels_stay_verbatim():
    table = BackboneDescription(inputs=(), features=(), parts=())
    text = BackboneDescription(inputs=(InputField("text"), InputField("pair", required=False)), features=(), parts=())
    data = DataConfig(target="label")
    assert verbatim_columns(data, table, TargetKind.CATEGORY) == {"label"}
    assert verbatim_columns(data, table, TargetKind.NUMBERS) == frozenset()
    assert verbatim_columns(data, text, TargetKind.NUMBERS) == {"text", "pair"}
    named = DataConfig(target="label", inputs={"text": "body"})
    assert verbatim_columns(named, text, TargetKind.CATEGORY) == {"body", "label"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"decimal": ",", "thousands": ","},
            "data: decimal and thousands are both ','; with this thousands, decimal = \".\".",
        ),
        ({"thousands": "."}, "data: decimal and thousands are both '.'; with this thousands, decimal = \",\"."),
        ({"units": [" "]}, "data: units has ' '; a unit is a sign or letters, such as '€' or 'EUR'."),
        ({"units": ["1"]}, "data: units has '1'; a unit is a sign or letters, such as '€' or 'EUR'."),
        ({"decimal": ";"}, "data: the setting 'decimal' is ';': input should be '.' or ','."),
        (
            {"dates": "german"},
            "data: the setting 'dates' is 'german': input should be 'iso', 'day-first' or 'month-first'.",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, problem):
    with pytest.raises(ConfigError) as caught:
        parse_config(DataConfig, settings, "data")
    assert str(caught.value) == problem
