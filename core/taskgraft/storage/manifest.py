"""An artifact's manifest, and the checksums that detect damage before any of its files is used."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from taskgraft.contract.config import Config
from taskgraft.errors import TaskgraftError, error_reason
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import check_regular_file, file_digest, read_small_file
from taskgraft.recipe import Recipe
from taskgraft.storage.atomic_write import interrupted_swaps

SCHEMA = 1
"""The version of the artifact format. Older versions stay readable; newer ones are rejected."""

MANIFEST, TENSORS, SUMS = "taskgraft.json", "learned.safetensors", "SHA256SUMS"
"""The files of an artifact."""

HEAD, INSERTED = "head", "inserted"
"""Owners of saved tensors that do not belong to a part of the backbone."""

MAX_MANIFEST = 64_000_000
"""Bytes of a manifest. It has about 250 for each tensor, and the labels."""

_MAX_SUMS = 1_000

_SUMS_FORMAT = re.compile(rf"[0-9a-f]{{64}}  {TENSORS}\n[0-9a-f]{{64}}  {MANIFEST}\n")


class TensorRecord(Config):
    """One saved tensor. ``owner`` is a part, ``head`` or ``inserted``; ``sha256`` covers dtype, shape and bytes."""

    owner: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Manifest(Config):
    """The description of an artifact.

    Attributes:
        merged: whether inserted modules have been merged into the base tensors they changed.
        chosen: what the validation rows decided, so that ``metrics`` are a little too kind: name → value, if it is one number.
        paths: place of a path in the recipe's components → the same path relative to the artifact; see ``component_paths``.
    """

    schema_version: int
    recipe: Recipe
    target: dict[str, Any]
    processor: dict[str, Any]
    base: str | None
    pads: bool
    merged: bool = False
    sources: dict[str, str]
    metrics: dict[str, float]
    chosen: dict[str, float | None] = {}
    baselines: dict[str, dict[str, Any]] = {}
    baseline_targets: dict[str, dict[str, Any]] = {}
    tensors: dict[str, TensorRecord]
    paths: dict[str, str] = {}


@dataclass(eq=False)
class InvalidArtifact(TaskgraftError):
    """An artifact that must not be used."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"The artifact {self.path} cannot be used: {self.problem}."


def is_artifact(path: Path) -> bool:
    """Tell whether a folder looks like an artifact."""
    return os.path.isfile(path / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Read and verify the manifest of an artifact, without opening its tensor file.

    Raises:
        InvalidArtifact: for a missing or damaged file, or a newer format.
    """
    try:
        if not folder.is_dir():
            raise InvalidArtifact(str(folder), f"there is no such folder{_backup_hint(folder)}")
        for name, most in ((TENSORS, None), (MANIFEST, MAX_MANIFEST), (SUMS, _MAX_SUMS)):
            check_regular_file(folder / name, most)
        content = read_small_file(folder / MANIFEST, MAX_MANIFEST)
    except OSError as error:
        raise unreadable_artifact(folder, error) from None
    check_digest(folder, MANIFEST, hashlib.sha256(content).hexdigest())
    return _parse_manifest(folder, content)


def check_digest(folder: Path, name: str, digest: str) -> None:
    """Compare the SHA-256 of a file of an artifact, in hexadecimal, with its checksum. Raises InvalidArtifact."""
    sums = read_sums(folder).decode(errors="replace")
    if not _SUMS_FORMAT.fullmatch(sums) or f"{digest}  {name}\n" not in sums:
        raise InvalidArtifact(str(folder), f"its files do not match {SUMS}, so it is damaged or was changed")


def read_sums(folder: Path) -> bytes:
    """Read the checksums of an artifact. Raises InvalidArtifact."""
    try:
        return read_small_file(folder / SUMS, _MAX_SUMS)
    except OSError as error:
        raise unreadable_artifact(folder, error) from None


def unreadable_artifact(folder: Path, error: OSError) -> InvalidArtifact:
    """Make the error for a file of an artifact that cannot be read."""
    name = Path(os.fsdecode(error.filename or folder)).name
    return InvalidArtifact(str(folder), f"{name:.80} cannot be read ({error_reason(error)})")


def checksums(folder: Path) -> str:
    """Return the checksums of the files of an artifact, in the format that ``sha256sum --check`` reads."""
    return "".join(f"{file_digest(folder / name)}  {name}\n" for name in (TENSORS, MANIFEST))


def rebase_data_paths(recipe: Recipe, start: Path, to: Path) -> Recipe:
    """Make data paths that are relative to ``start`` relative to ``to``. A path that does not exist here stays as it is."""

    def rebase(value: str | None) -> str | None:
        if value is None or not os.path.exists(path := start / value):
            return value
        return relative_path(path, to)

    paths = {"train": rebase(recipe.data.train), "validation": rebase(recipe.data.validation)}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=paths)})


def relative_path(path: Path, to: Path) -> str:
    """Write a path relative to a folder."""
    try:
        return Path(os.path.relpath(path, to)).as_posix()
    except ValueError:  # Windows: on another drive
        return path.absolute().as_posix()


def _parse_manifest(folder: Path, content: bytes) -> Manifest:
    try:
        document = parse_json(content)
        version = document["schema_version"]
        if type(version) is not int or version < 1:
            raise ValueError(version)
        if version > SCHEMA:
            problem = f"its format version is {version}, but this taskgraft reads up to {SCHEMA}; update taskgraft"
            raise InvalidArtifact(str(folder), problem)
        return Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidArtifact(str(folder), f"{MANIFEST} is invalid at '{place}': {first['msg']}") from None
    except (ValueError, TypeError, KeyError):
        raise InvalidArtifact(str(folder), f"{MANIFEST} is not a valid manifest") from None


def _backup_hint(folder: Path) -> str:
    """Point to the previous artifact if overwriting it was interrupted."""
    backups = interrupted_swaps(folder) if folder.parent.is_dir() else []
    return f"; an interrupted save left {backups[-1].name} next to it, which you can rename back" if backups else ""
