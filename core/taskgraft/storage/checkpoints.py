"""Pretrained checkpoints: a hub name or a local folder, its files, and the fingerprint of the base."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import nn

from taskgraft.errors import TaskgraftError, error_reason, join_words, shorten
from taskgraft.files.cache_folder import cache_folder_errors
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import check_regular_file, read_small_file
from taskgraft.storage.fingerprints import checkpoint_fingerprint

_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.py")  # configuration and processor
_WEIGHT_FILES = (("*.safetensors",), ("pytorch_model*.bin",))  # the preferred format first
_OTHER_VOCABULARIES = ("*.spm", "*.bpe", "*.codes", "*.tiktoken", "*.vocab")  # read where they are, not downloaded

MAX_VOCABULARY, MAX_CONFIGURATION = 100_000_000, 20_000_000
"""Bytes of a file of a checkpoint. The largest vocabularies have about 60 million, the largest index of tensors about ten."""

_RATIO, _FREE = 8, 64 * 2**20
"""A model takes at most so many times the bytes of its weight files (they may store 4 bits for 32), and so many more."""

_VOCABULARIES = ("tokenizer.json", "vocab.json", "*.txt", "*.model", *_OTHER_VOCABULARIES)


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model on the hub or in a folder.

    Attributes:
        name: a folder, or a name on the hub.
        revision: a branch, tag or commit on the hub; None takes the newest.
        remote_code: whether Python code in the checkpoint may run.
    """

    name: str
    revision: str | None = None
    remote_code: bool = False

    def folder(self, *, weights: bool = False) -> Path:
        """Return the folder with the files, downloading them when the name is on the hub.

        Its files are regular and have a sensible size: libraries open them by name, and would wait for a pipe for ever.

        Args:
            weights: whether to download the weights too.

        Raises:
            CheckpointNotFound: if it is nowhere.
            InvalidCheckpoint: if a file in it is not regular or too large, or an index names weights that are not in it.
        """
        try:
            local = Path(self.name).expanduser()
            if local.is_dir():
                return _checked(self.name, local, weights=weights)
        except (OSError, RuntimeError, ValueError) as error:
            problem = f"it is not a valid path ({error_reason(error):.80})"
            raise CheckpointNotFound(shorten(self.name), problem) from None
        if local.is_absolute() or self.name.startswith((".", "~")):
            raise CheckpointNotFound(self.name, "there is no such folder")
        folder = self._download(_SMALL_FILES)
        for patterns in _WEIGHT_FILES if weights else ():
            folder = self._download(patterns)
            if weight_files(folder):
                break
        return _checked(self.name, folder, weights=weights)

    def _download(self, patterns: Iterable[str]) -> Path:
        try:
            return Path(snapshot_download(self.name, revision=self.revision, allow_patterns=list(patterns)))
        except (LocalEntryNotFoundError, OfflineModeIsEnabled):
            problem = "it is not a local folder, it is not in the local hub cache, and the hub cannot be reached"
        except HFValidationError:
            problem = "it is neither a local folder nor a valid hub name"
        except HfHubHTTPError as error:
            problem = f"it is not a local folder, and the hub responds: {str(error).splitlines()[0]}"
        raise CheckpointNotFound(self.name, problem)


@dataclass(eq=False)
class CheckpointNotFound(TaskgraftError):
    """A checkpoint that is neither on this machine nor on the hub."""

    name: str
    problem: str

    def __str__(self) -> str:
        return (
            f"No checkpoint '{self.name}': {self.problem}.\nCheck the spelling, give the path of a folder with config.json "
            "in it, or download the checkpoint on a machine with network access."
        )


@dataclass(eq=False)
class InvalidCheckpoint(TaskgraftError):
    """A checkpoint that cannot be used."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"The checkpoint '{self.name}' cannot be used: {self.problem}."


@dataclass(eq=False)
class MissingTensors(TaskgraftError):
    """A checkpoint without some weights that the features use."""

    name: str
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"The checkpoint '{self.name}' lacks {len(self.missing):,} tensors that the features use: "
            f"{join_words(self.missing, 3)}.\nThey would be initialized at random, so choose a complete checkpoint."
        )


@dataclass(eq=False)
class UnknownPart(TaskgraftError):
    """A setting ``until`` that names no part."""

    until: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"The setting 'until' names no part of the backbone: '{self.until}'. Parts: {', '.join(self.parts)}."


@contextmanager
def translate_errors(name: str, what: str) -> Iterator[None]:
    """Turn any exception that a library raises on a checkpoint's files into InvalidCheckpoint, with the reason.

    Args:
        name: of the checkpoint.
        what: what is being read ("its tokenizer").
    """
    try:
        with cache_folder_errors():
            yield
    except TaskgraftError:
        raise
    except Exception as error:
        reason = next(iter(error_reason(error).strip().splitlines()), type(error).__name__).rstrip(".")
        if "weights_only" in str(error):  # the library's advice is to run the file
            reason = "a file contains more than tensors, so it was not loaded"
        raise InvalidCheckpoint(name, f"{what} cannot be read ({reason:.200})") from None


def _checked(name: str, folder: Path, *, weights: bool) -> Path:
    patterns = (*_SMALL_FILES, *_OTHER_VOCABULARIES, "additional_chat_templates/*.jinja")
    try:
        for path in (path for pattern in patterns for path in folder.glob(pattern)):
            check_regular_file(path, _most_bytes(path.name))
        for path in weight_files(folder):
            check_regular_file(path)
    except OSError as error:
        problem = f"{Path(os.fsdecode(error.filename or folder)).name:.80} cannot be read ({error.strerror})"
        raise InvalidCheckpoint(name, problem) from None
    if weights:
        _check_index(name, folder)
    return folder


def _most_bytes(name: str) -> int:
    return MAX_VOCABULARY if any(fnmatch(name, pattern) for pattern in _VOCABULARIES) else MAX_CONFIGURATION


def _check_index(name: str, folder: Path) -> None:
    """Check that an index of weights in several files names files of the folder, which the fingerprint covers."""
    files = {path.name for path in weight_files(folder)}
    for whole in ("model.safetensors", "pytorch_model.bin"):
        index = read_json(folder / f"{whole}.index.json")
        if index is None or whole in files or Path(whole).suffix not in {Path(file).suffix for file in files}:
            continue  # not the one that is loaded
        named = index.get("weight_map")
        if not isinstance(named, Mapping) or (other := [file for file in named.values() if file not in files]):
            which = "" if not isinstance(named, Mapping) else f": {shorten(str(other[0]))}"
            raise InvalidCheckpoint(name, f"{whole}.index.json names weights that are not in the folder{which}")


def check_model_size(name: str, model: nn.Module, dtype: torch.dtype, files: Iterable[Path]) -> None:
    """Compare a model on the meta device with the weight files that it is loaded from.

    Args:
        name: of the checkpoint.
        dtype: of the loaded parameters.

    Raises:
        InvalidCheckpoint: if the model is many times larger, before memory is taken for it.
    """
    needed = sum(tensor.numel() for tensor in model.parameters()) * dtype.itemsize
    found = [path.stat() for path in files]
    # A sparse file, which is all zeros, takes fewer blocks than its size says.
    stored = sum(min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512) for status in found)
    if needed > _RATIO * stored + _FREE:
        problem = f"its configuration describes a model of {needed:,} bytes, but its weight files have {stored:,}"
        raise InvalidCheckpoint(name, problem)


def weight_files(folder: Path) -> list[Path]:
    """Find the weight files, in the preferred format."""
    for patterns in _WEIGHT_FILES:
        if paths := sorted(path for pattern in patterns for path in folder.glob(pattern)):
            return paths
    return []


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when there is no such file. Raises InvalidCheckpoint when it is damaged."""
    try:
        content = parse_json(read_small_file(path, MAX_CONFIGURATION))
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():  # a link to nothing is damage
            return None
        problem = f"{path.name} cannot be read ({error_reason(error)})"
        raise InvalidCheckpoint(str(path.parent), problem) from None
    return content if isinstance(content, dict) else None


def base_fingerprint(folder: Path, used: Callable[[str], bool], processor_files: Iterable[str]) -> str:
    """Identify a base by the stored tensors that the features use, its configuration and its processor's files.

    Args:
        used: name of a stored tensor → whether the features use it.
        processor_files: paths inside the folder; missing ones are left out.

    Raises:
        InvalidCheckpoint: if a file cannot be read, or is damaged.
    """
    names = ("config.json", *processor_files)
    with translate_errors(str(folder), "its files"):
        files = {name: read_small_file(folder / name, _most_bytes(name)) for name in names if (folder / name).exists()}
        return checkpoint_fingerprint(weight_files(folder), used, files)
