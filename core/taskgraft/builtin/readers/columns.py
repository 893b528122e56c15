"""The names of a file's columns, where its header alone shows them: CSV and Parquet."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.builtin.readers.csv import open_records
from taskgraft.contract.specs import ReaderSpec
from taskgraft.errors import TaskgraftError


def column_names(path: Path, spec: ReaderSpec, config: Any) -> list[str] | None:
    """Return the columns of a file; None where the header does not show them. The reader reports what is wrong with a file."""
    if not path.is_file():  # a pipe can be read once
        return None
    try:
        if isinstance(config, CsvConfig):
            with open_records(path, config) as (header, _, _):
                return header
        is_parquet = spec.name == "parquet" and not path.name.endswith(".gz")
        return list(pq.read_schema(path).names) if is_parquet else None
    except (TaskgraftError, OSError, pa.ArrowException):
        return None
