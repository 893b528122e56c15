"""Parquet, by pyarrow."""

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.data.arrow_spool import PIECE, ArrowSpool
from taskgraft.data.open_file import open_plain_or_gzip


def read_parquet(path: Path, config: EmptyConfig) -> Rows:
    """Read a Parquet file, also gzipped. Values have the types that the file gives them.

    Raises:
        UnreadableFile: when it is no Parquet file, or damaged.
    """
    with open_plain_or_gzip(path) as file, ArrowSpool() as spill, tempfile.TemporaryFile(prefix="taskgraft-") as plain:
        if path.name.endswith(".gz"):
            shutil.copyfileobj(file, plain)
            file = plain
        try:
            source = parquet.ParquetFile(file)
            spill.write(source.schema_arrow.empty_table())
            for batch in source.iter_batches(PIECE):
                spill.write(pa.table(batch))
            return Rows(spill.finish(), path.name)
        except pa.ArrowException as error:
            raise UnreadableFile(str(path), f"the file is no whole Parquet file ({str(error).rstrip('.')}).") from None
