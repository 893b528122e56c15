"""Paths in the components of an artifact: its base, a teacher. They are stored relative to the artifact too.

So an artifact that is moved together with its base finds it. Otherwise the path is tried as it was written, from the working
directory, and a message says both. A place is written ``backbone/settings/checkpoint``.
"""

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec, StrategySpec
from taskgraft.discovery.catalog import AmbiguousComponent, Catalog, UnknownComponent
from taskgraft.discovery.names import InvalidName, parse_name
from taskgraft.recipe import Recipe
from taskgraft.storage.manifest import (
    InvalidArtifact,
    Manifest,
    is_artifact,
    read_manifest,
    rebase_data_paths,
    relative_path,
)

_KINDS: tuple[type[Spec], ...] = (BackboneSpec, HeadSpec, StrategySpec)
_BACKBONE = f"{BackboneSpec.axis}/"
_BASE = f"{_BACKBONE}base"

WHERE_IS_THE_BASE = "say where it is with --backbone PATH, in Python with backbone=PATH"
"""The advice if the base of an artifact is not found."""


def component_paths(recipe: Recipe, folder: Path, known: Catalog) -> dict[str, str]:
    """Find the existing paths in the components of a recipe: place → path relative to the folder of an artifact."""
    found = {}
    for kind in _KINDS:
        reference: ComponentRef = getattr(recipe, kind.axis)
        argument = _argument(known, kind, reference)
        for place, value in _texts(reference.model_dump(mode="json"), kind.axis):
            if _is_path(value, certain=place in (f"{kind.axis}/base", f"{kind.axis}/settings/{argument}")):
                found[place] = relative_path(Path(value).expanduser(), folder)
    return found


def located_recipe(manifest: Manifest, folder: Path) -> Recipe:
    """Return an artifact's recipe with its paths as they are now, seen from the working directory."""
    recipe = rebase_data_paths(manifest.recipe, folder, Path.cwd())
    for place, relative in manifest.paths.items():
        found, written = Path(os.path.normpath(folder.resolve() / relative)), _value(recipe, place)
        if found.exists() and isinstance(written, str) and not _is_same(written, found):
            inside = found.is_relative_to(Path.cwd())
            recipe = _replaced(recipe, {place: os.path.relpath(found) if inside else str(found)})
    return recipe


def check_base(manifest: Manifest, folder: Path, recipe: Recipe, *, as_base: bool = False) -> None:
    """Raise InvalidArtifact if a path of the backbone is neither where it was nor beside the artifact.

    Args:
        recipe: the located one, perhaps with another backbone: a path that was replaced is not looked for.
        as_base: whether the artifact is the base of another model, whose settings can say where its own base is.
    """
    for place, relative in manifest.paths.items():
        written = _value(recipe, place)
        unchanged = isinstance(written, str) and written == _value(manifest.recipe, place)
        if place.startswith(_BACKBONE) and unchanged and not _exists(written):
            beside = os.path.normpath(folder.resolve() / relative)
            problem = f"its base is neither at {beside} (relative to the artifact) nor at {written} (as it was written)"
            setting = f"say where it is with the backbone's setting '{place.rpartition('/')[2]}'"
            raise InvalidArtifact(str(folder), f"{problem}; {setting if as_base else WHERE_IS_THE_BASE}")


def with_base_at(manifest: Manifest, folder: Path, text: str, known: Catalog) -> Recipe | None:
    """Return the located recipe with its base at another path. All other settings of the backbone stay.

    Args:
        text: a path, or the name of the same backbone with a path (``hf-text:PATH``).

    Returns:
        None if the text is another backbone, or the artifact's was an object.
    """
    recipe = located_recipe(manifest, folder)
    path = _path_of(text, recipe.backbone, known)
    if path is None:
        return None
    if is_artifact(Path(path)):
        return None if recipe.backbone.base is None else _with_base_artifact(recipe, Path(path))
    places = [place for place in manifest.paths if place.startswith(_BACKBONE) and place != _BASE]
    argument = _argument(known, BackboneSpec, recipe.backbone)
    if len(places) != 1 and argument is not None:
        places = [f"{_BACKBONE}settings/{argument}"]
    return _replaced(recipe, {places[0]: path}) if len(places) == 1 else None


def _with_base_artifact(recipe: Recipe, folder: Path) -> Recipe:
    """Start from another artifact, with the paths of its own base where there is something at them."""
    manifest = read_manifest(folder)
    located = located_recipe(manifest, folder)
    own = {place: _value(located, place) for place in manifest.paths if place.startswith(_BACKBONE) and place != _BASE}
    existing = {place: value for place, value in own.items() if isinstance(value, str) and _exists(value)}
    return _replaced(recipe, existing | {_BASE: str(folder)})


def _path_of(text: str, saved: ComponentRef, known: Catalog) -> str | None:
    """Return the path that a text means; None if it names another backbone."""
    if saved.name is None or _exists(text):
        return text if saved.name is not None else None
    try:
        name = parse_name(text)
        spec, _ = known.find(BackboneSpec, name)
    except InvalidName:
        return text
    except (UnknownComponent, AmbiguousComponent):
        return text if os.sep in text and ":" not in text else None
    same = spec == _spec(known, BackboneSpec, saved)
    return name.argument if same else None


def _spec(known: Catalog, kind: type[Spec], reference: ComponentRef) -> Spec | None:
    try:
        return None if reference.name is None else known.find(kind, parse_name(reference.name))[0]
    except (UnknownComponent, AmbiguousComponent, InvalidName):
        return None


def _argument(known: Catalog, kind: type[Spec], reference: ComponentRef) -> str | None:
    """Return the setting that the argument after the colon sets."""
    spec = _spec(known, kind, reference)
    return None if spec is None else spec.config.positional


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield all texts in nested settings, with their places."""
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        if key not in ("name", "object") and "/" not in str(key):
            yield from _texts(one, f"{place}/{key}")


def _is_path(value: str, *, certain: bool) -> bool:
    """Say whether a text is an existing path, and not a word that a file happens to be called."""
    if not _exists(value):
        return False
    path = Path(value).expanduser()
    return certain or "/" in value or is_artifact(path) or (path.is_file() and bool(path.suffix))


def _exists(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # not a path at all
        return False


def _is_same(written: str, found: Path) -> bool:
    return _exists(written) and Path(written).expanduser().samefile(found)


def _value(recipe: Recipe, place: str) -> Any:
    """Return the value at a place; None if there is none."""
    axis, *keys = place.split("/")
    value: Any = getattr(recipe, axis).model_dump()
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _replaced(recipe: Recipe, values: Mapping[str, str]) -> Recipe:
    """Set values at places that exist, or settings of a component."""
    for place, value in values.items():
        axis, *keys = place.split("/")
        reference: ComponentRef = getattr(recipe, axis)
        document: dict[str, Any] = deepcopy({name: getattr(reference, name) for name in type(reference).model_fields})
        inner: Any = document
        for key in keys[:-1]:
            inner = inner[key] if isinstance(inner, Mapping) else inner[int(key)]
        inner[keys[-1] if isinstance(inner, Mapping) else int(keys[-1])] = value
        recipe = recipe.model_copy(update={axis: reference.model_copy(update=document)})
    return recipe
