"""What an artifact says of itself, and the checksums that find damage before anything of it is used."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from taskgraft.contract.config import Config
from taskgraft.contract.recipe import Recipe
from taskgraft.errors import TaskgraftError

SCHEMA = 1
"""The version of the artifact's form. Older ones stay readable; a newer one is refused."""

MANIFEST, TENSORS, SUMS = "taskgraft.json", "learned.safetensors", "SHA256SUMS"
"""The files of an artifact."""

HEAD, INSERTED = "head", "inserted"
"""Owners of saved tensors that are no part of the backbone."""


class TensorRecord(Config):
    """One saved tensor. ``owner`` is a part, ``head`` or ``inserted``; ``sha256`` covers dtype, shape and bytes."""

    owner: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Manifest(Config):
    """What an artifact says of itself. ``merged`` says that what was inserted lies in the base tensors it changed."""

    schema_version: int
    recipe: Recipe
    target: dict[str, Any]
    processor: dict[str, Any]
    base: str | None
    pads: bool
    merged: bool = False
    sources: dict[str, str]
    metrics: dict[str, float]
    baselines: dict[str, dict[str, Any]] = {}
    tensors: dict[str, TensorRecord]


@dataclass(eq=False)
class InvalidArtifact(TaskgraftError):
    """An artifact that must not be used."""

    path: str
    problem: str

    def __str__(self) -> str:
        text = f"The artifact {self.path} is refused: {self.problem}."
        return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def recipe_relative_to(folder: Path, recipe: Recipe) -> Recipe:
    """Write a recipe as an artifact holds it: data that lie in files are named as seen from its folder."""

    def path(value: str) -> str:
        return Path(_relative(value, folder)).as_posix() if os.path.exists(value) else value

    return recipe.model_copy(update={"data": recipe.data.with_paths(path)})


def recipe_from(folder: Path, manifest: Manifest) -> Recipe:
    """Give the recipe of an artifact, with data named as seen from here, where they are still there."""

    def path(value: str) -> str:
        here = folder / value
        return _relative(here, Path.cwd()) if os.path.exists(here) else value

    return manifest.recipe.model_copy(update={"data": manifest.recipe.data.with_paths(path)})


def _relative(path: str | Path, start: Path) -> str:
    try:
        return os.path.relpath(path, start)
    except ValueError:  # Windows: on another drive
        return os.path.abspath(path)


def checksums(files: Mapping[str, bytes]) -> str:
    """Write checksums in the form that ``sha256sum --check`` reads."""
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def is_artifact(path: Path) -> bool:
    """Say whether a folder looks like an artifact."""
    return (path / MANIFEST).is_file()


def read_artifact(folder: Path) -> tuple[Manifest, bytes]:
    """Read an artifact and verify its files.

    Returns:
        what it says of itself, and the file with its tensors.

    Raises:
        InvalidArtifact: for a missing or damaged file, or a newer form.
    """
    try:
        if not folder.is_dir():
            raise InvalidArtifact(str(folder), f"there is no such folder{_left_aside(folder)}")
        if strange := [name for name in (TENSORS, MANIFEST, SUMS) if not _is_plain(folder / name)]:
            raise InvalidArtifact(str(folder), f"{strange[0]} is no plain file")
        files = {name: (folder / name).read_bytes() for name in (TENSORS, MANIFEST)}
        stated = (folder / SUMS).read_bytes()
    except OSError as error:
        raise InvalidArtifact(
            str(folder), f"{Path(error.filename).name:.80} cannot be read ({error.strerror})"
        ) from None
    if stated != checksums(files).encode():
        raise InvalidArtifact(str(folder), f"its files do not match {SUMS}, so it is damaged or was changed")
    return _parsed(folder, files[MANIFEST]), files[TENSORS]


def _parsed(folder: Path, content: bytes) -> Manifest:
    try:
        raw = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
        version = raw["schema_version"]
        if type(version) is not int or version < 1:
            raise ValueError(version)
        if version > SCHEMA:
            problem = f"its form is {version}, newer than {SCHEMA}, the newest known here; update taskgraft"
            raise InvalidArtifact(str(folder), problem)
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise InvalidArtifact(str(folder), f"{MANIFEST} has a fault at '{place}': {first['msg']}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidArtifact(str(folder), f"{MANIFEST} is not what this version writes") from None


def _is_plain(path: Path) -> bool:
    """Say whether reading a file ends: it is no pipe and no device. A missing one is left to the reading."""
    return path.is_file() or not path.exists()


def _left_aside(folder: Path) -> str:
    """Point to an artifact that an interrupted overwriting left beside its place."""
    aside = sorted(folder.parent.glob(f".{folder.name}-old-*")) if folder.name else []
    return f"; an interrupted save left {aside[-1].name} beside it, which may be renamed to it" if aside else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that gives one key twice; readers differ in which they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
