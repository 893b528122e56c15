from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import BackboneDescription, InputField, vector
from taskgraft.contract.processor import ProcessedBatch, Processor
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.data.on_the_fly import OnTheFlyInputs
from taskgraft.data.preprocessing import preprocess
from taskgraft.discovery.catalog import catalog
from taskgraft.reading.read import read_rows


class Sizes(Processor):
    """The path of a file → its size."""

    cacheable = False

    def prepare(self, inputs):
        paths = [Path(value) for value in inputs["file"]]
        invalid = {row: f"there is no file {path.name}" for row, path in enumerate(paths) if not path.is_file()}
        sizes = [0 if row in invalid else path.stat().st_size for row, path in enumerate(paths)]
        return ProcessedBatch(Batch({"size": torch.tensor(sizes)}), invalid)

    def settings(self) -> Mapping[str, object]:
        return {}


class Files(Backbone):
    description = BackboneDescription((InputField("file", files=True),), (vector(1),), ())
    processor = Sizes()

    def forward(self, batch, layout):
        raise NotImplementedError


NAMES = {"file": "path"}


@pytest.fixture
def table(tmp_path):
    """Three files, and a table that names them by paths that start at its own folder."""
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x" * number)
    path = tmp_path / "files.csv"
    path.write_text("path\n0.txt\n1.txt\n2.txt\n")
    return path


def rows_of(path):
    return read_rows(path, catalog(), "the data")


def test_relative_paths_start_at_the_folder_of_the_data(table, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    inputs = OnTheFlyInputs(rows_of(table), NAMES, Files())

    assert inputs.gather([2, 0])["size"].tolist() == [2, 0]


def test_an_absolute_path_stays_as_it_is(table):
    rows = Rows(pa.table({"path": [str(table.parent / "1.txt")]}), "the data", folder=Path("elsewhere"))

    assert OnTheFlyInputs(rows, NAMES, Files()).gather([0])["size"].tolist() == [1]


def test_without_a_file_of_data_relative_paths_start_at_the_working_directory(table, monkeypatch):
    monkeypatch.chdir(table.parent)

    assert OnTheFlyInputs(Rows(pa.table({"path": ["2.txt"]}), "the data"), NAMES, Files()).gather([0])[
        "size"
    ].tolist() == [2]


def test_some_rows_of_a_table_still_know_its_folder(table):
    rows = rows_of(table)

    assert rows.take([1]).folder == rows.drop({0: "empty"}).folder == table.parent


def test_a_file_that_is_gone_since_it_was_checked_is_reported(table):
    inputs = OnTheFlyInputs(rows_of(table), NAMES, Files())
    (table.parent / "1.txt").unlink()

    with pytest.raises(InvalidRows) as caught:
        inputs.gather([2, 1])
    assert str(caught.value) == (
        "files.csv, line 3: there is no file 1.txt.\nFix these rows, or take them out of the data."
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_invalid_rows_are_reported_by_workers_too(table, workers, tmp_path):
    rows = rows_of(table)
    (table.parent / "2.txt").unlink()

    inputs = preprocess(rows, NAMES, Files(), tmp_path / "cache", 1 << 20, workers)

    assert inputs.invalid == {2: "there is no file 2.txt"}


def test_inputs_that_fit_in_memory_are_cached_and_larger_ones_processed_on_the_fly(table, tmp_path):
    rows = rows_of(table)
    few, many = (preprocess(rows, NAMES, Files(), tmp_path / "cache", memory) for memory in (24, 23))

    assert (few.source.heavy, few.source.bytes) == (False, 24)
    assert (many.source.heavy, many.source.bytes) == (True, 0)
    assert few.source.gather([1, 2])["size"].equal(many.source.gather([1, 2])["size"])
    assert not (tmp_path / "cache").exists()
