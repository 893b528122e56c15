"""A backbone written as its own library loads it: nobody is locked in."""

import json
from pathlib import Path

from taskgraft.composition.compose import Composition
from taskgraft.contract.backbone import Backbone, ExportNotSupported
from taskgraft.contract.recipe import Recipe
from taskgraft.errors import join_words
from taskgraft.storage.atomic_write import OutputError, atomic_folder

EXPORTED = "taskgraft-export.json"
"""Says of an exported folder what it is; by it a folder is known that may be overwritten."""

WHAT = "checkpoint"


def export(backbone: Backbone, recipe: Recipe, composition: Composition, folder: Path, *, overwrite: bool) -> Path:
    """Let a backbone write its checkpoint beside the place, and rename it when it is whole.

    Raises:
        ExportNotSupported: when it has no form of its own library.
        OutputError: when something is there that may not be overwritten, or the place cannot be written.
    """
    try:
        folder = folder.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(str(folder)[:200], str(error.args[-1]), WHAT) from None
    try:
        _check_place(folder, overwrite=overwrite)
        with atomic_folder(folder) as fresh:
            try:
                backbone.export(fresh)
            except ExportNotSupported as error:
                raise ExportNotSupported(composition.backbone.label, error.reason) from None
            (fresh / EXPORTED).write_text(_told(recipe, composition, fresh), encoding="utf-8")
    except OSError as error:
        raise OutputError(str(folder), str(error.strerror or error), WHAT) from None
    return folder


def _check_place(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        problem = "something is there already; choose another folder, or say that it is to be overwritten"
        raise OutputError(str(folder), problem, WHAT)
    try:
        known = {EXPORTED, *json.loads((folder / EXPORTED).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(str(folder), "what is there was not exported, so it is not overwritten", WHAT) from None
    if strangers := sorted(set(_files(folder)) - known):
        raise OutputError(
            str(folder), f"the folder also holds {join_words(strangers, 3)}, which was not exported", WHAT
        )


def _told(recipe: Recipe, composition: Composition, fresh: Path) -> str:
    """Say what an exported folder is."""
    what = (
        "The backbone of a taskgraft model without its head, as its own library loads it. What was inserted is merged."
    )
    sources = {source.distribution: source.version for source in composition.sources()}
    said = {
        "what": what,
        "backbone": recipe.backbone.model_dump(mode="json"),
        "strategy": recipe.strategy.model_dump(mode="json"),
        "sources": sources,
        "files": _files(fresh),
    }
    return json.dumps(said, indent=1) + "\n"


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
