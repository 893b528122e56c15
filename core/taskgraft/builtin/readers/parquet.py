"""Parquet files, read with pyarrow."""

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.files.limits import too_many_columns
from taskgraft.files.open_file import check_magic, is_gzip_name, open_plain_or_gzip
from taskgraft.reading.arrow_checks import arrow_problem, check_batch
from taskgraft.reading.arrow_spool import ROWS_PER_WRITE, ArrowSpool


def read_parquet(path: Path, config: EmptyConfig) -> Rows:
    """Read a Parquet file, also gzipped. Values keep the types of the file. Everything is validated before it is used.

    Damage that leaves valid data with another value is found where the file has checksums of its pages, or is gzipped.

    Raises:
        UnreadableFile: when it is not a Parquet file, or damaged.
    """
    with (
        open_plain_or_gzip(path) as file,
        ArrowSpool() as spool,
        tempfile.TemporaryFile(prefix="taskgraft-") as decompressed,
    ):
        check_magic(path, file, b"PAR1", "a Parquet file")
        if is_gzip_name(path):
            shutil.copyfileobj(file, decompressed)
            file = decompressed
        try:
            source = parquet.ParquetFile(file, page_checksum_verification=True)
            if problem := too_many_columns(len(source.schema_arrow)):
                raise UnreadableFile(str(path), f"{problem}.")
            spool.write(source.schema_arrow.empty_table())
            for batch in source.iter_batches(ROWS_PER_WRITE):
                check_batch(batch)
                spool.write(pa.table(batch))
            return Rows(spool.finish(), path.name)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk; Arrow's own have no number
                raise
            problem = f"the file is not a complete Parquet file ({arrow_problem(error)})."
            raise UnreadableFile(str(path), problem) from None
