"""Hugging Face datasets: saved to a folder, or loaded by name from the hub."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from taskgraft.builtin.readers.configs import HubConfig
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.errors import join_words
from taskgraft.reading.arrow_spool import ROWS_PER_WRITE, ArrowSpool
from taskgraft.reading.read import dataset_to_arrow

if TYPE_CHECKING:
    from datasets import DatasetDict


def read_dataset_folder(path: Path, config: EmptyConfig) -> Rows:
    """Read what ``Dataset.save_to_disk`` wrote. The rows stay in its files, memory-mapped.

    Raises:
        UnreadableFile: for a damaged folder, or one that contains several splits.
    """
    from datasets import Dataset, load_from_disk

    try:
        dataset = load_from_disk(str(path), keep_in_memory=False)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UnreadableFile(str(path), f"the dataset cannot be loaded ({_first_line(error)}).") from None
    if not isinstance(dataset, Dataset):
        first = path / next(iter(dataset), "…")
        raise UnreadableFile(str(path), f"the folder contains the splits {join_words(dataset)}. Name one: {first}.")
    return Rows(dataset_to_arrow(dataset), path.name)


def read_hub(path: Path, config: HubConfig) -> Rows:
    """Read a dataset of the hub: ``NAME``, or ``NAME:SPLIT`` for another split than ``train``.

    Raises:
        UnreadableFile: when it cannot be loaded, or has no such split.
    """
    from datasets import load_dataset
    from huggingface_hub.errors import HfHubHTTPError

    source = f"hub:{path.as_posix()}"
    name, _, split = path.as_posix().partition(":")
    local = Path(name).is_dir()
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        try:
            splits = load_dataset(name, config.subset, revision=config.revision, cache_dir=folder if local else None)
            return _read_split(source, splits, split or "train", copy=local)
        except (OSError, ValueError, HfHubHTTPError, pa.ArrowException) as error:
            raise UnreadableFile(source, f"the dataset cannot be loaded ({_first_line(error)}).") from None


def _read_split(source: str, splits: "DatasetDict", name: str, *, copy: bool) -> Rows:
    if name not in splits:
        raise UnreadableFile(source, f"the dataset has no split '{name}'. Splits: {join_words(splits)}.")
    if not copy:
        return Rows(dataset_to_arrow(splits[name]), source)
    with ArrowSpool() as spool:
        for table in splits[name].with_format("arrow").iter(ROWS_PER_WRITE):
            spool.write(table)
        return Rows(spool.finish(), source)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
