"""Read a recipe: a TOML, YAML or JSON file, or the recipe of an artifact; with overrides.

Paths in a file are relative to its folder. Those in overrides are relative to the working directory.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import parse_config
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, closest_match, join_words
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import read_small_file
from taskgraft.recipe import Recipe
from taskgraft.recipes.overrides import apply_override, override_keys
from taskgraft.recipes.strict_toml import read_toml, sentence
from taskgraft.recipes.strict_yaml import InvalidDocument, read_yaml
from taskgraft.storage.component_paths import check_base, located_recipe, with_base_at
from taskgraft.storage.consent import check_consent
from taskgraft.storage.manifest import is_artifact, read_manifest

MAX_BYTES = 500_000
"""Bytes of a recipe file. The largest real ones have a label per line, a few ten thousand of them."""


@dataclass(eq=False)
class InvalidRecipe(TaskgraftError):
    """A file that is not a recipe. Line and column count from 1; None where they are not known."""

    path: str
    problem: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line:,}"
        column = "" if self.column is None else f", column {self.column:,}"
        return f"{self.path}{line}{column}: {self.problem}"


def read_recipe(
    path: str | Path, overrides: Sequence[str] = (), backbone: str | Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe.

    Args:
        path: a file, or the folder of an artifact, for the recipe of that artifact.
        overrides: each ``KEY=VALUE`` with a dotted key (``training.epochs=5``). The value is parsed as JSON or TOML if
            possible, else taken as text.
        backbone: in place of that of the recipe; for an artifact also the path of its base, if it has moved.

    Raises:
        InvalidRecipe: for a file that cannot be read, with line and column where they are known.
        ConfigError: for a key that a recipe does not have, or a value that it does not accept.
        InvalidArtifact: for a damaged artifact, or one with a setting that needs your consent, which neither an override nor
            ``backbone`` gives.
    """
    path = Path(path)
    manifest = read_manifest(path) if is_artifact(path) else None
    if manifest is None:
        document = _resolve_paths(_read_file(path), path.parent)
    else:
        moved = with_base_at(manifest, path, backbone, catalog()) if isinstance(backbone, str) else None
        backbone = backbone if moved is None else None
        document = (moved or located_recipe(manifest, path)).model_dump(mode="json", exclude_none=True)
    if backbone is not None:
        document["backbone"] = backbone
    for text in overrides:
        apply_override(document, text)
    changed = f" (with {join_words(overrides)})" if overrides else ""
    recipe = parse_config(Recipe, document, f"{path}{changed}")
    for axis in ("backbone", "head", "strategy"):
        component: ComponentRef = getattr(recipe, axis)
        if component.name is None:
            what = f"was an object of the class {component.object}" if component.object else "has no name"
            raise InvalidRecipe(str(path), f"the {axis} {what}. Name one that is installed.")
    if manifest is not None:
        granted = [*override_keys(overrides), *(() if backbone is None else ("backbone",))]
        check_consent(path, recipe, catalog(), granted)
        check_base(manifest, path, recipe)
    return recipe


# --- files


def _read_file(path: Path) -> dict[str, Any]:
    parse = _PARSERS.get(path.suffix.lower())
    try:
        content = read_small_file(path, MAX_BYTES)
    except FileNotFoundError:
        raise InvalidRecipe(str(path), f"there is no such file.{_similar_file(path)}") from None
    except IsADirectoryError:
        raise InvalidRecipe(str(path), "this is a folder, but not an artifact.") from None
    except (OSError, ValueError) as error:
        raise InvalidRecipe(str(path)[:200], f"the file cannot be read ({error.args[-1]!s:.80}).") from None
    if parse is None:
        raise InvalidRecipe(str(path), f"a recipe is a file that ends in {' or '.join(_PARSERS)}, or an artifact.")
    try:
        document = parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidRecipe(str(path), f"the file is not UTF-8 (byte {content[error.start]:#04x}).", line) from None
    except InvalidDocument as error:
        raise InvalidRecipe(str(path), error.problem, error.line, error.column) from None
    except ValueError as error:  # a duplicate key, nesting, a number with too many digits
        raise InvalidRecipe(str(path), f"{error}.") from None
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {type(document).__name__}"
        raise InvalidRecipe(str(path), f"the file is {kind}; keys are needed: {join_words(Recipe.model_fields)}.")
    return document


def _parse_json(text: str) -> object:
    try:
        return parse_json(text, constant=_reject_constant)
    except json.JSONDecodeError as error:
        raise InvalidDocument(sentence(error.msg.removesuffix(" at")), error.lineno, error.colno) from None


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")


_PARSERS: Mapping[str, Callable[[str], object]] = {
    ".toml": read_toml,
    ".json": _parse_json,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}


def _similar_file(path: Path) -> str:
    """Suggest the recipe in the same folder that was most likely meant."""
    try:
        recipes = {other.stem: other for other in path.parent.iterdir() if other.suffix.lower() in _PARSERS}
    except OSError:
        return ""
    near = closest_match(path.stem, recipes)
    return f" Did you mean '{path.with_name(recipes[near].name)}'?" if near else ""


# --- paths


def _resolve_paths(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve the paths in a recipe relative to its folder.

    These are the files of ``data``, and in components each text that begins with ``./`` or ``../``: other texts may be names
    on the hub, which look like relative paths too.
    """
    resolved = dict(document)
    if isinstance(data := resolved.get("data"), Mapping):
        resolved["data"] = dict(data)
        for key in ("train", "validation"):
            if isinstance(value := data.get(key), str) and not catalog().has_scheme(value):
                resolved["data"][key] = _in_folder(folder, value)
        for key in ("split", "reader"):
            if key in data:
                resolved["data"][key] = _resolve_component(data[key], folder)
    for axis in ("backbone", "head", "strategy"):
        if axis in resolved:
            resolved[axis] = _resolve_component(resolved[axis], folder)
    return resolved


def _resolve_component(value: Any, folder: Path) -> Any:
    if isinstance(value, str):  # an argument may be a name with an argument: average:distill:./teacher
        found = re.search(r":(?=\.\.?/)", value)
        return value if found is None else value[: found.end()] + _in_folder(folder, value[found.end() :])
    if isinstance(value, list):
        return [_resolve_component(_resolve_text(one, folder), folder) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _resolve_setting(key, one, folder) for key, one in value.items()}


def _resolve_setting(key: str, value: Any, folder: Path) -> Any:
    if key == "name" or isinstance(value, Mapping | list):
        return _resolve_component(value, folder)
    if key == "base" and isinstance(value, str):
        return _in_folder(folder, value)
    return _resolve_component(_resolve_text(value, folder), folder)


def _resolve_text(value: Any, folder: Path) -> Any:
    return _in_folder(folder, value) if isinstance(value, str) and value.startswith(("./", "../")) else value


def _in_folder(folder: Path, value: str) -> str:
    return os.path.normpath(folder / Path(value).expanduser())
