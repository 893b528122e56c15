"""The same rows from a frame, its CSV, Parquet, JSON lines and a list of dicts: the same columns, inputs and predictions."""

import datetime
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import taskgraft as tg
from taskgraft.discovery.catalog import catalog
from taskgraft.plugin import Rows, read_file
from taskgraft.reading.read import read_rows
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.processor import TableProcessor
from taskgraft_fraud.settings import CategoryColumn, TableConfig

pytestmark = pytest.mark.slow

BERLIN = "Europe/Berlin"
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([0.0, -0.0, 0.1, 1e-300, 1e300, 7.0, -2.5]))
TEXTS = st.sampled_from(
    [
        "a",
        " a ",
        "b",
        "true",
        "TRUE",
        "False",
        "7",
        "7.0",
        "007",
        "NA",
        "nan",
        "None",
        "",
        "é",
        "1,5",
        "2024-01-05",
        "x y",
        '"',
    ]
)
MICROSECONDS = st.integers(0, 4 * 10**15)
TIMES = MICROSECONDS.map(lambda number: pd.Timestamp(number, unit="us"))
DAYS = st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31))
MONTHS = st.integers(0, 900).map(lambda number: pd.Period(ordinal=number, freq="M"))
OTHERS = st.sampled_from([0.5, 2.0, "x", "NA", "2"])
CENTS = st.integers(-(10**9), 10**9).map(lambda number: Decimal(number) / 100)


def typed(dtype, values):
    return lambda drawn: pd.Series(drawn, dtype=dtype), values


DTYPES = {
    "bool": typed("bool", st.booleans()),
    "boolean": typed("boolean", st.none() | st.booleans()),
    "object of booleans": typed(object, st.none() | st.booleans()),
    "int8": typed("int8", st.integers(-128, 127)),
    "int64": typed("int64", INT64),
    "uint64": typed("uint64", st.integers(0, 2**64 - 1)),
    "Int64": typed("Int64", st.none() | INT64),
    "object of large integers": typed(object, st.integers(-(2**80), 2**80)),
    "float64": typed("float64", st.none() | FLOATS),
    "Float64": typed("Float64", st.none() | FLOATS),
    "float32": typed("float32", st.none() | st.floats(-1e9, 1e9, width=32)),
    "float16": typed("float16", st.floats(-100, 100, width=16)),
    "Decimal": typed(object, st.none() | CENTS),
    "object of texts": typed(object, st.none() | TEXTS),
    "string": typed("string", st.none() | TEXTS),
    "category of texts": typed("category", st.none() | TEXTS),
    "category of integers": typed("category", st.integers(-3, 3)),
    "datetime64": typed("datetime64[us]", st.none() | TIMES),
    "datetime64 of days": typed("datetime64[us]", st.none() | DAYS.map(pd.Timestamp)),
    "datetime64 in Berlin": (lambda drawn: pd.Series(pd.to_datetime(drawn, utc=True)).dt.tz_convert(BERLIN), TIMES),
    "dates": typed(object, st.none() | DAYS),
    "months": (lambda drawn: pd.Series(pd.PeriodIndex(drawn, freq="M")), MONTHS),
    "intervals": (lambda drawn: pd.cut(pd.Series(drawn, dtype=float), [-4, 0, 1.5, 4]).astype("interval"), st.integers(-3, 4)),
    "durations": typed("timedelta64[us]", st.integers(0, 10**12).map(lambda n: pd.Timedelta(n, unit="us"))),
    "times of day": typed(object, st.times()),
    "mixed objects": typed(object, st.none() | st.booleans() | st.integers(-9, 9) | OTHERS),
    "numpy scalars": typed(object, st.integers(-9, 9).map(np.int16) | st.floats(-9, 9).map(np.float64)),
}  # fmt: skip

WIDENED = {"float32", "float16"}
"""Types whose numbers pandas widens to float64 in dicts and JSON, so that 0.1 becomes 0.10000000149."""

AS_TEXTS = {"months", "intervals", "Decimal", "dates", "times of day", "object of large integers", "uint64"}
"""Types that pandas cannot write to JSON, or writes as objects."""


def sources(frame, folder, dtype):
    """The same rows, as a user has them: name → rows."""
    yield "frame", rows_of(frame)
    frame.to_csv(folder / "rows.csv", index=False)
    yield "CSV", read_file(folder / "rows.csv")
    if dtype not in ("mixed objects", "object of large integers", "numpy scalars"):  # pandas cannot write them
        frame.to_parquet(folder / "rows.parquet")
        yield "Parquet", read_file(folder / "rows.parquet")
    if dtype not in WIDENED:
        yield "dicts", rows_of(frame.to_dict("records"))
        written = frame.map(lambda cell: None if pd.isna(cell) else str(cell)) if dtype in AS_TEXTS else frame
        if "float" in dtype.lower() or dtype == "numpy scalars":  # pandas writes at most 15 digits
            lines = [
                json.dumps({name: None if pd.isna(cell) else float(cell) for name, cell in row.items()})
                for row in frame.to_dict("records")
            ]
            (folder / "rows.jsonl").write_text("\n".join(lines))
        else:
            written.to_json(folder / "rows.jsonl", orient="records", lines=True, date_format="iso", date_unit="us")
        yield "JSON lines", read_file(folder / "rows.jsonl")


def rows_of(data):
    return read_rows(data, catalog(), "the data")


def columns_of(rows: Rows, **settings):
    """The fitted columns, or why there are none."""
    try:
        return fit_config(TableConfig(least=1, **settings), {"x": rows.column("x")}).learned
    except FraudError as error:
        return str(error).casefold()


def inputs_of(columns, rows: Rows):
    """The inputs of the model, and the rows that are invalid."""
    processed = TableProcessor(columns).prepare({"x": rows.column("x")})
    return {name: tensor.numpy().tobytes() for name, tensor in processed.batch.tensors.items()}, [*processed.invalid]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_the_same_rows_give_the_same_columns_and_inputs(tmp_path, dtype, data):
    make, values = DTYPES[dtype]
    series = make(data.draw(st.lists(values, min_size=1, max_size=12)))
    frame = pd.DataFrame({"x": series, "row": range(len(series))})
    rows = dict(sources(frame, tmp_path, dtype))
    columns = {source: columns_of(some) for source, some in rows.items()}
    assert all(some == columns["frame"] for some in columns.values()), columns
    if not isinstance(columns["frame"], str):
        inputs = {source: inputs_of(columns["frame"], some) for source, some in rows.items()}
        assert all(some == inputs["frame"] for some in inputs.values()), inputs


@pytest.mark.parametrize(
    "dtype",
    ["bool", "boolean", "int8", "Int64", "category of integers", "datetime64", "dates", "object of texts", "intervals"],
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_a_declared_category_is_the_same_too(tmp_path, dtype, data):
    make, values = DTYPES[dtype]
    frame = pd.DataFrame({"x": make(data.draw(st.lists(values, min_size=1, max_size=12)))})
    rows = dict(sources(frame, tmp_path, dtype))
    columns = {source: columns_of(some, columns={"x": "category"}) for source, some in rows.items()}
    assert all(some == columns["frame"] for some in columns.values()), columns


TRUTH = {
    "bool": [True, False, True, False],
    "numbers": [1, 0, 1, 0],
    "floats": [1.0, 0.0, 1.0, 0.0],
    "numbers as texts": ["1", "0", "1", "0"],
    "texts of Python": ["True", "False", "True", "False"],
    "texts of JSON": ["true", "false", "true", "false"],
    "texts of spreadsheets": ["TRUE", "FALSE", "TRUE", "FALSE"],
    "numpy": list(np.array([True, False, True, False])),
}


@pytest.mark.parametrize("fitted", TRUTH)
@pytest.mark.parametrize("given_", TRUTH)
def test_a_truth_value_is_the_same_in_every_form(fitted, given_):
    (column,) = fit_config(TableConfig(), {"x": TRUTH[fitted]}).learned
    expected = TableProcessor([column]).prepare({"x": TRUTH[fitted]})
    processed = TableProcessor([column]).prepare({"x": TRUTH[given_]})
    assert processed.invalid == {}
    assert {**processed.batch.tensors}.keys() == {**expected.batch.tensors}.keys()
    for name, tensor in processed.batch.tensors.items():
        assert (tensor == expected.batch.tensors[name]).all()


def test_categories_of_an_artifact_from_before_are_still_found():
    """It has the texts as the file had them."""
    column = CategoryColumn(name="x", categories=("True", "False", "7.0"), sign=False)
    processed = TableProcessor([column]).prepare({"x": ["True", "False", "7.0", "true", "other"]})
    assert processed.batch["categories"].flatten().tolist() == [1, 2, 3, 1, 0]


def test_predictions_of_the_same_rows_are_the_same(tmp_path):
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": chance.normal(size=60).astype("float64"),
            "small": chance.normal(size=60).astype("float32"),
            "member": pd.array(chance.choice([True, False, None], 60), "boolean"),
            "shop": pd.Categorical(chance.choice(["a", "b", "007"], 60)),
            "visits": pd.array(chance.choice([1, 2, None], 60), "Int64"),
            "when": pd.date_range("2026-03-28 22:00", periods=60, freq="h", tz=BERLIN),
            "month": pd.period_range("2020-01", periods=60, freq="M"),
            "band": pd.cut(chance.normal(size=60), [-5, 0, 5]).astype(str),
            "price": [Decimal(int(cents)) / 100 for cents in chance.integers(0, 1000, 60)],
            "late": chance.choice(["yes", "no"], 60),
        }
    )
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    results = []
    for source in (frame, tmp_path / "rows.csv", tmp_path / "rows.parquet", pa.table(frame)):
        model = tg.compose({"name": "mlp-plr", "feature_size": 8, "blocks": 1}, head="classification", strategy="full")
        model.fit(source, target="late", training={"epochs": 1}, quiet=True)
        results.append([model.predict_proba(rows, quiet=True) for rows in (source, frame, tmp_path / "rows.csv")])
    assert all(some == results[0] for some in results)
    assert results[0][0] == results[0][1] == results[0][2]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([[1, 2], [3]], "it holds lists or structures"),
        ([{"a": 1}, {"a": 2}], "it holds lists or structures"),
        ([np.array([1, 2]), np.array([3])], "it holds lists or structures"),
        (pd.to_timedelta([1, 30], unit="h"), "it holds durations; make numbers of them, such as seconds"),
        ([datetime.time(13, 5), datetime.time(7)], "it holds times of day; make numbers of them, such as hours"),
    ],
)
def test_what_cannot_be_read_gives_one_sentence_from_every_source(tmp_path, values, problem):
    frame = pd.DataFrame({"x": values})
    for source, rows in sources(frame, tmp_path, "times of day" if "times" in problem else ""):
        message = columns_of(rows)
        assert isinstance(message, str), source
        assert message.startswith(f"the column 'x' cannot be used: {problem}. leave it out of data.inputs"), source
