import gzip

import pyarrow as pa
import pytest
from pyarrow import parquet

from taskgraft.builtin.readers.parquet import read_parquet
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import UnreadableFile

TABLE = pa.table({"text": ["007", None, "NA"], "price": [1.5, 2.0, None], "tags": [["a"], [], None]})


def test_values_have_the_types_of_the_file(tmp_path):
    parquet.write_table(TABLE, tmp_path / "data.parquet", row_group_size=2)
    rows = read_parquet(tmp_path / "data.parquet", EmptyConfig())
    assert rows.table.to_pydict() == TABLE.to_pydict()
    assert (rows.source, rows.lines) == ("data.parquet", None)


def test_a_gzipped_file_is_read(tmp_path):
    parquet.write_table(TABLE, tmp_path / "data.parquet")
    (tmp_path / "data.parquet.gz").write_bytes(gzip.compress((tmp_path / "data.parquet").read_bytes()))
    assert read_parquet(tmp_path / "data.parquet.gz", EmptyConfig()).table.to_pydict() == TABLE.to_pydict()


def test_categories_of_pandas_are_read_as_their_values(tmp_path):
    table = pa.table({"label": pa.array(["a", "b", "a"]).dictionary_encode()})
    parquet.write_table(table, tmp_path / "data.parquet", row_group_size=1)
    assert read_parquet(tmp_path / "data.parquet", EmptyConfig()).values("label") == ["a", "b", "a"]


def test_a_file_without_rows_keeps_its_columns(tmp_path):
    parquet.write_table(TABLE.slice(0, 0), tmp_path / "data.parquet")
    rows = read_parquet(tmp_path / "data.parquet", EmptyConfig())
    assert (rows.columns, len(rows)) == (("text", "price", "tags"), 0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"text,label", "is not a Parquet file: it begins with 'text,label'."),
        (
            b"PAR1",
            "is not a complete Parquet file (Parquet file size is 4 bytes, smaller than the minimum file footer (8 bytes)).",
        ),
        (b"", "is not a complete Parquet file (Parquet file size is 0 bytes)."),
    ],
    ids=["text", "cut", "empty"],
)
def test_a_file_that_is_not_parquet_is_rejected(tmp_path, content, problem):
    path = tmp_path / "data.parquet"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile) as caught:
        read_parquet(path, EmptyConfig())
    assert str(caught.value) == f"{path}: the file {problem}"


def test_a_truncated_file_is_rejected(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(TABLE, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFile) as caught:
        read_parquet(path, EmptyConfig())
    assert str(caught.value).startswith(
        f"{path}: the file is not a complete Parquet file (Parquet magic bytes not found in"
    )
