"""Data sets and Parquet files with one bit flipped, each read in a process of its own."""

import gzip
import random
import shutil

import datasets
import pyarrow as pa
from attacks import Tally, forked
from pyarrow import parquet

from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError
from taskgraft.reading.read import read_rows

SECONDS = 20.0
ROWS = 120

TYPES = {
    "text": str,
    "label": str,
    "number": float,
    "tags": list,
    "words": list,
    "image": dict,
    "optional": (str, type(None)),
    "flag": bool,
}
"""Column → type of its values."""

KINDS = ("folder", "parquet", "parquet without compression", "parquet with checksums", "parquet.gz")


def columns():
    count = range(ROWS)
    return {
        "text": [f"row {row} é" for row in count],
        "label": [row % 3 for row in count],
        "number": [row / 7 for row in count],
        "tags": [list(range(row % 4)) for row in count],
        "words": [["a", "bc"] * (row % 3) for row in count],
        "image": [{"bytes": b"x" * (row % 7), "path": None if row % 2 else "p"} for row in count],
        "optional": [None if row % 5 else "v" for row in count],
        "flag": [row % 2 == 0 for row in count],
    }


def dataset():
    datasets.disable_progress_bars()
    return datasets.Dataset.from_dict(columns()).cast_column("label", datasets.ClassLabel(names=["a", "b", "c"]))


def write(kind, folder):
    """Write a data set; return what is read, and the files that can be damaged."""
    if kind == "folder":
        dataset().save_to_disk(folder / "set")
        # The Arrow file four times: the others are read whole, and damage in them is found by parsing.
        arrow = next((folder / "set").glob("*.arrow"))
        return folder / "set", [arrow] * 4 + [folder / "set" / name for name in ("state.json", "dataset_info.json")]
    table = dataset().with_format("arrow")[:]
    path = folder / ("set.parquet.gz" if kind == "parquet.gz" else "set.parquet")
    plain = folder / "plain"
    parquet.write_table(
        pa.table(table),
        plain,
        compression="none" if kind == "parquet without compression" else "snappy",
        write_page_checksum=kind == "parquet with checksums",
    )
    path.write_bytes(gzip.compress(plain.read_bytes()) if kind == "parquet.gz" else plain.read_bytes())
    return path, [path]


def read(path):
    """Read a data set that may be damaged: rows that Python can represent, or one sentence."""
    try:
        rows = read_rows(path, catalog(), "the data")
    except TaskgraftError as error:
        message = str(error)
        assert "\n" not in message, message
        assert len(message) < 700, message
        return
    for name in rows.columns:
        values = rows.values(name)
        assert len(values) == len(rows)
        if path.suffix == "":  # the types of a folder are written twice, those of a Parquet file once
            assert all(isinstance(value, TYPES[name]) for value in values), name
    if path.suffix == "":
        assert set(rows.columns) == set(TYPES)


def flip_bits(kind, count, seed, folder):
    """Flip one bit at a time, read in a forked process, and count what held."""
    path, files = write(kind, folder)
    read(path)
    tally, chooser = Tally(f"bit flips: {kind}"), random.Random(seed)
    for _ in range(count):
        file = chooser.choice(files)
        whole = file.read_bytes()
        place, bit = chooser.randrange(len(whole)), chooser.randrange(8)
        if chooser.random() < 0.3:  # descriptions of the columns are at the ends
            place = chooser.choice([place % 4_000, len(whole) - 1 - place % 2_000]) % len(whole)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        file.write_bytes(damaged)
        outcome = forked(lambda: read(path), SECONDS)
        file.write_bytes(whole)
        tally.count(f"{file.name}, byte {place}, bit {bit}", outcome.code == 0 and not outcome.timed_out, outcome)
    shutil.rmtree(folder, ignore_errors=True)
    tally.check()
