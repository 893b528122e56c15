"""Hugging Face datasets, loaded by name from the hub."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from taskgraft.builtin.readers.configs import HubConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.errors import first_line, join_words
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.reading.arrow_spool import ROWS_PER_WRITE, ArrowSpool
from taskgraft.reading.read import dataset_to_arrow

if TYPE_CHECKING:
    from datasets import DatasetDict


def read_hub(path: Path, config: HubConfig) -> Rows:
    """Read a dataset of the hub: ``NAME``, or ``NAME:SPLIT`` for another split than ``train``.

    The library reads a folder in place of a name. So an absolute path is read, but nothing in the working directory.

    Raises:
        UnreadableFile: when it cannot be loaded, has no such split, or its name is also that of a file or folder here.
    """
    from datasets import load_dataset
    from huggingface_hub.errors import HfHubHTTPError

    source = f"hub:{path.as_posix()}"
    name, _, split = path.as_posix().partition(":")
    if problem := _local_problem(name):
        raise UnreadableFile(source, problem)
    local = Path(name).is_dir()
    with temporary_folder() as folder:
        try:
            splits = load_dataset(name, config.subset, revision=config.revision, cache_dir=folder if local else None)
            return _read_split(source, splits, split or "train", copy=local)
        except (OSError, ValueError, HfHubHTTPError, pa.ArrowException) as error:
            raise UnreadableFile(source, f"the dataset cannot be loaded ({first_line(error)}).") from None


def _local_problem(name: str) -> str | None:
    """Say why a name would not be looked for on the hub."""
    if Path(name).is_absolute():
        return None
    if os.path.lexists(name):
        return (
            f"the working directory has a file or folder '{name}', so this name is ambiguous. To read that, leave out 'hub:'; "
            "to read the dataset on the hub, work in another directory."
        )
    if name.isidentifier() and find_spec(f"datasets.packaged_modules.{name}") is not None:
        return f"'{name}' is not the name of a dataset on the hub. Write OWNER/NAME."
    return None


def _read_split(source: str, splits: "DatasetDict", name: str, *, copy: bool) -> Rows:
    if name not in splits:
        raise UnreadableFile(source, f"the dataset has no split '{name}'. Splits: {join_words(splits)}.")
    if not copy:
        return Rows(dataset_to_arrow(splits[name]), source)
    with ArrowSpool() as spool:
        for table in splits[name].with_format("arrow").iter(ROWS_PER_WRITE):
            spool.write(table)
        return Rows(spool.finish(), source)
