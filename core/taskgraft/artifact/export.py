"""Export the backbone as a plain checkpoint of its own library, so that users can leave taskgraft."""

import json
from pathlib import Path

from safetensors import SafetensorError

from taskgraft.composition.compose import Composition
from taskgraft.contract.backbone import Backbone, ExportNotSupported
from taskgraft.errors import join_words
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import read_small_file
from taskgraft.recipe import Recipe
from taskgraft.storage.atomic_write import OutputError, atomic_folder, remove_leftovers, write_problem

EXPORTED = "taskgraft-export.json"
"""Describes an export. A folder with it may be overwritten."""

_MAX_DESCRIPTION = 1_000_000
"""Bytes of the description. A checkpoint has tens of files."""


def export_checkpoint(
    backbone: Backbone, recipe: Recipe, composition: Composition, folder: Path, *, overwrite: bool
) -> Path:
    """Write a backbone's checkpoint atomically, and return its absolute path.

    Raises:
        ExportNotSupported: if its library has no checkpoint format.
        OutputError: if it cannot be written, or something is there that may not be overwritten.
    """
    try:
        folder = folder.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise _error(str(folder)[:200], str(error.args[-1])) from None
    try:
        _check_replaceable(folder, overwrite=overwrite)
        with atomic_folder(folder) as temporary:
            try:
                backbone.export(temporary)
            except ExportNotSupported as error:
                raise ExportNotSupported(composition.backbone.label, error.reason) from None
            (temporary / EXPORTED).write_text(_description(recipe, composition, temporary), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise _error(folder, write_problem(error)) from None
    return folder


def exported_files(folder: Path) -> list[str]:
    """Return the names of the files that an export wrote. Raises OSError or ValueError where there is none."""
    document = parse_json(read_small_file(folder / EXPORTED, _MAX_DESCRIPTION))
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise ValueError("it does not list the files")
    return files


def _check_replaceable(folder: Path, *, overwrite: bool) -> None:
    remove_leftovers(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise _error(folder, "something is there already; choose another folder, or allow overwriting")
    try:
        exported = {EXPORTED, *exported_files(folder)}
    except (OSError, ValueError):
        raise _error(folder, "what is there was not exported, so it is not overwritten") from None
    if other := sorted(set(_files(folder)) - exported):
        raise _error(folder, f"the folder also contains {join_words(other, 3)}, which was not exported")


def _description(recipe: Recipe, composition: Composition, folder: Path) -> str:
    facts = {
        "what": "The backbone of a taskgraft model without its head, as its own library loads it. Inserted modules are merged.",
        "backbone": recipe.backbone.model_dump(mode="json"),
        "strategy": recipe.strategy.model_dump(mode="json"),
        "sources": {source.distribution: source.version for source in composition.sources()},
        "files": _files(folder),
    }
    return json.dumps(facts, indent=1) + "\n"


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _error(folder: str | Path, problem: str) -> OutputError:
    return OutputError(str(folder), problem, "checkpoint")
