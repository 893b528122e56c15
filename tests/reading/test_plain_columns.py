"""Columns of any library → Arrow columns of plain types."""

import datetime
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from taskgraft.discovery.catalog import catalog
from taskgraft.reading.errors import DataError
from taskgraft.reading.read import read_rows

NUMBER = uuid.UUID(int=7)


def values(data, column="x"):
    return read_rows(data, catalog(), "the data").values(column)


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ([1, "NA", 2.5, None], ["1", "NA", "2.5", None]),
        ([True, "x", datetime.date(2026, 1, 1), float("nan")], ["True", "x", "2026-01-01", None]),
        ([2**70, 1, pd.NA], [str(2**70), "1", None]),
        ([Path("a"), "b", pd.NaT], ["a", "b", None]),
        ([np.int64(1), np.float32(2.5), "x", np.bool_(True)], ["1", "2.5", "x", "True"]),
        ([Decimal("1.50"), "x"], ["1.50", "x"]),
        ([NUMBER, None], [str(NUMBER), None]),
        ([pd.Period("2026-01", "M"), None], ["2026-01", None]),
        ([pd.Interval(0.0, 1.5), None], ["(0.0, 1.5]", None]),
    ],
)
def test_objects_that_files_of_text_have_as_texts_are_those_texts(cells, texts):
    assert values({"x": cells}) == texts
    assert values([{"x": cell} for cell in cells]) == texts
    assert values(pd.DataFrame({"x": pd.Series(cells, dtype=object)})) == texts


@pytest.mark.parametrize(
    ("series", "texts"),
    [
        (pd.period_range("2026-01", periods=2, freq="Q"), ["2026Q1", "2026Q2"]),
        (pd.interval_range(0, 2, closed="left"), ["[0, 1)", "[1, 2)"]),
        (pd.cut([1.0, 5.0], [0, 3, 6]), ["(0, 3]", "(3, 6]"]),
    ],
)
def test_types_of_pandas_are_the_texts_in_its_csv(tmp_path, series, texts):
    frame = pd.DataFrame({"x": series})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert values(frame) == values(tmp_path / "rows.csv") == texts


@pytest.mark.slow
def test_a_parquet_file_of_pandas_is_read_alike_in_a_process_without_pandas(tmp_path):
    """Without it, Arrow would return the numbers in which periods are stored."""
    frame = pd.DataFrame({"x": pd.period_range("2026-01", periods=2, freq="M"), "y": pd.interval_range(0, 2)})
    frame.to_parquet(tmp_path / "rows.parquet")
    program = (
        "import sys; from taskgraft.discovery.catalog import catalog; from taskgraft.reading.read import read_rows\n"
        "rows = read_rows(sys.argv[1], catalog(), 'x'); print(rows.values('x'), rows.values('y'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "rows.parquet"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['2026-01', '2026-02'] ['(0, 1]', '(1, 2]']"
    assert values(frame) == ["2026-01", "2026-02"]


def test_a_short_float_is_the_number_that_a_file_has():
    assert values({"x": [np.float32(0.1), None]}) == [0.1, None]


def test_a_sparse_column_is_read():
    assert values(pd.DataFrame({"x": pd.arrays.SparseArray([0, 0, 1])})) in ([0, 0, 1], ["0", "0", "1"])


@pytest.mark.parametrize("cells", [[1, [2]], ["a", {"b": 1}], [{1}, "a"], [object(), "a"]])
def test_lists_among_other_values_are_refused(cells):
    with pytest.raises(DataError, match=r"^the data cannot be made into columns \(column 'x': "):
        values({"x": cells})
    with pytest.raises(DataError, match=r"^the data cannot be made into columns \(column 'x': "):
        values(pd.DataFrame({"x": pd.Series(cells, dtype=object)}))
