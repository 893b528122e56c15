"""Hugging Face datasets: saved in a folder, or by name from the hub."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from taskgraft.builtin.readers.configs import HubConfig
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.data.arrow_spool import ArrowSpool
from taskgraft.data.reading import arrow_of
from taskgraft.errors import join_words

if TYPE_CHECKING:
    from datasets import DatasetDict

PIECE = 4_096
"""Rows that are copied at a time."""


def read_dataset_folder(path: Path, config: EmptyConfig) -> Rows:
    """Read what ``Dataset.save_to_disk`` wrote. The rows stay in its files, memory-mapped.

    Raises:
        UnreadableFile: for a damaged folder, or one that holds several parts.
    """
    from datasets import Dataset, load_from_disk

    try:
        found = load_from_disk(str(path), keep_in_memory=False)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UnreadableFile(str(path), f"the data set cannot be loaded ({_first_line(error)}).") from None
    if not isinstance(found, Dataset):
        raise UnreadableFile(
            str(path),
            f"the folder holds the parts {join_words(found)}. Name one of them: {path / next(iter(found), '…')}.",
        )
    return Rows(arrow_of(found), path.name)


def read_hub(path: Path, config: HubConfig) -> Rows:
    """Read a data set of the hub: ``NAME``, or ``NAME:PART`` for another part than ``train``.

    Raises:
        UnreadableFile: when it cannot be had, or has no such part.
    """
    from datasets import load_dataset
    from huggingface_hub.errors import HfHubHTTPError

    name, _, part = path.as_posix().partition(":")
    local = Path(name).is_dir()
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        try:
            found = load_dataset(name, config.subset, revision=config.revision, cache_dir=folder if local else None)
            return _part(f"hub:{path.as_posix()}", found, part or "train", copy=local)
        except (OSError, ValueError, HfHubHTTPError, pa.ArrowException) as error:
            raise UnreadableFile(
                f"hub:{path.as_posix()}", f"the data set cannot be loaded ({_first_line(error)})."
            ) from None


def _part(source: str, found: "DatasetDict", part: str, *, copy: bool) -> Rows:
    if part not in found:
        raise UnreadableFile(source, f"the data set has no part '{part}'. Parts: {join_words(found)}.")
    if not copy:
        return Rows(arrow_of(found[part]), source)
    with ArrowSpool() as spill:
        for piece in found[part].with_format("arrow").iter(PIECE):
            spill.write(piece)
        return Rows(spill.finish(), source)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
