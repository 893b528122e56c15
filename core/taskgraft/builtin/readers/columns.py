"""The names of a file's columns, where its header alone shows them: CSV and Parquet."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.builtin.readers.csv import open_records
from taskgraft.contract.specs import ReaderSpec
from taskgraft.errors import TaskgraftError
from taskgraft.files.regular_file import open_regular_file


def column_names(path: Path, spec: ReaderSpec, config: Any) -> list[str] | None:
    """Return the columns of a file; None where the header does not show them. The reader reports what is wrong with a file."""
    try:
        if isinstance(config, CsvConfig):
            with open_records(path, config) as (header, _, _):
                return header
        if spec.name != "parquet" or path.name.endswith(".gz"):
            return None
        with open_regular_file(path) as file:
            return list(pq.read_schema(file).names)
    except (TaskgraftError, OSError, ValueError, pa.ArrowException):
        return None
