import errno
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pytest

from taskgraft.files.temporary_folder import TemporaryFilesError
from taskgraft.reading import arrow_spool
from taskgraft.reading.arrow_spool import ArrowSpool, RecordWriter


def test_tables_come_back_as_one():
    with ArrowSpool() as spill:
        spill.write(pa.table({"a": [1, 2]}))
        spill.write(pa.table({"a": [3]}))
        found = spill.finish()
    assert found.to_pydict() == {"a": [1, 2, 3]}


def test_rows_are_mapped_and_not_in_memory():
    with ArrowSpool() as spill:
        spill.write(pa.table({"a": pa.array(range(100_000))}))
        before = pa.total_allocated_bytes()
        found = spill.finish()
        assert pa.total_allocated_bytes() - before < 10_000
    assert found.column("a")[99_999].as_py() == 99_999


def test_nothing_is_left_among_the_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ArrowSpool() as spill:
        spill.write(pa.table({"a": [1]}))
        found = spill.finish()
    assert list(tmp_path.iterdir()) == []
    assert found.to_pydict() == {"a": [1]}


def test_nothing_is_left_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError, match="stop"), ArrowSpool():
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_reported_with_the_folder(monkeypatch, tmp_path):
    (tmp_path / "rows.arrow").symlink_to("/dev/full")
    monkeypatch.setattr(arrow_spool, "temporary_folder", lambda: nullcontext(tmp_path))
    with ArrowSpool() as spill, pytest.raises(TemporaryFilesError) as caught:
        spill.write(pa.table({"a": range(100_000)}))
    assert str(caught.value) == (
        f"The rows cannot be written to the temporary folder, {tempfile.gettempdir()}: "
        f"{os.strerror(errno.ENOSPC)}. Make room there, or set the environment variable TMPDIR to another folder."
    )


def test_an_invalid_record_keeps_its_place_and_line():
    with ArrowSpool() as spill:
        records = RecordWriter[int](spill, lambda some: pa.table({"a": pa.array(some, pa.int64())}))
        records.take([(2, 5), (3, "it is odd"), (7, 6)])
        rows = records.rows("a.csv")
    assert rows.values("a") == [5, None, 6]
    assert (list(rows.lines), rows.invalid) == ([2, 3, 7], {1: "it is odd"})
