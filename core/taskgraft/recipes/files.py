"""Reading a recipe: TOML, YAML or JSON by suffix, or the recipe that an artifact holds; with overrides.

Paths in a file are relative to the folder that it lies in. Those in overrides are relative to the working directory.
"""

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.contract.config import parse_config
from taskgraft.contract.recipe import ComponentRef, Recipe
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, closest_match, join_words
from taskgraft.recipes.overrides import apply_override
from taskgraft.storage.manifest import is_artifact, read_manifest, rebase_data_paths


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a file, or the folder of an artifact, whose recipe is then taken.
        overrides: each ``KEY=VALUE`` with a dotted key (``training.epochs=5``). The value is read as JSON or TOML where it
            is that, else as text.

    Raises:
        InvalidRecipe: for a file that cannot be read, with line and column where they are known.
        InvalidOverride: for an override whose key a recipe does not have.
        ConfigError: for a key that a recipe does not have, or a value that it refuses.
        InvalidArtifact: for a folder that is a damaged artifact.
    """
    path = Path(path)
    if is_artifact(path):
        recipe = rebase_data_paths(read_manifest(path).recipe, path, Path.cwd())
        document = recipe.model_dump(mode="json", exclude_none=True)
    else:
        document = _with_paths(_read_file(path), path.parent)
    for text in overrides:
        apply_override(document, text)
    changed = f" (with {join_words(overrides)})" if overrides else ""
    recipe = parse_config(Recipe, document, f"{path}{changed}")
    for axis in ("backbone", "head", "strategy"):
        choice: ComponentRef = getattr(recipe, axis)
        if choice.name is None:
            raise UnnamedComponent(str(path), axis, choice.object)
    return recipe


# --- files


def _read_file(path: Path) -> dict[str, Any]:
    read = READERS.get(path.suffix.lower())
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InvalidRecipe(str(path), f"there is no such file.{_sibling(path)}") from None
    except IsADirectoryError:
        raise InvalidRecipe(str(path), "this is a folder, and no artifact.") from None
    except (OSError, ValueError) as error:
        raise InvalidRecipe(str(path)[:200], f"the file cannot be read ({error.args[-1]!s:.80}).") from None
    if read is None:
        raise InvalidRecipe(str(path), f"a recipe is a file that ends in {' or '.join(READERS)}, or an artifact.")
    try:
        document = read(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidRecipe(str(path), f"the file is not UTF-8 (byte {content[error.start]:#04x}).", line) from None
    except _Fault as fault:
        raise InvalidRecipe(str(path), fault.problem, fault.line, fault.column) from None
    except RecursionError:
        raise InvalidRecipe(str(path), "it is nested too deeply.") from None
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {type(document).__name__}"
        raise InvalidRecipe(str(path), f"the file is {kind}; keys are needed: {join_words(Recipe.model_fields)}.")
    return document


@dataclass
class _Fault(Exception):
    """What is wrong with a document, and where: line and column from 1."""

    problem: str
    line: int | None = None
    column: int | None = None


def _read_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        told = re.fullmatch(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        if told is None:
            raise _Fault(_sentence(str(error))) from None
        if told[2] is None:
            raise _Fault(_sentence(f"{told[1]} at the end of the file"), text.count("\n") + 1) from None
        raise _Fault(_sentence(told[1]), int(told[2]), int(told[3])) from None


def _read_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise _Fault(_sentence(error.msg.removesuffix(" at")), error.lineno, error.colno) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise _Fault(f"the key '{twice[0]}' stands twice in one object.")
    return dict(pairs)


def _no_number(constant: str) -> None:
    raise _Fault(f"{constant} is no value that JSON has.")


def _read_yaml(text: str) -> object:
    from taskgraft.recipes.strict_yaml import YamlProblem, read_yaml

    try:
        return read_yaml(text)
    except YamlProblem as fault:
        raise _Fault(fault.problem, fault.line, fault.column) from None


READERS: Mapping[str, Callable[[str], object]] = {
    ".toml": _read_toml,
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
"""What reads a recipe, by suffix."""


def _sentence(problem: str) -> str:
    return f"{problem[:1].lower()}{problem[1:].rstrip('.')}."


def _sibling(path: Path) -> str:
    """Name the recipe beside a missing one that was most likely meant."""
    try:
        beside = {other.stem: other for other in path.parent.iterdir() if other.suffix.lower() in READERS}
    except OSError:
        return ""
    near = closest_match(path.stem, beside)
    return f" Did you mean '{path.with_name(beside[near].name)}'?" if near else ""


# --- paths


def _with_paths(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put the folder of the recipe before the paths in it.

    Those are the files of ``data``, and below a choice each text that says by a first ``./`` or ``../`` that it is a path: a
    name on the hub looks like a relative path too.
    """
    made = dict(document)
    if isinstance(data := made.get("data"), Mapping):
        made["data"] = dict(data)
        for key in ("train", "validation"):
            if isinstance(value := data.get(key), str) and not catalog().has_scheme(value):
                made["data"][key] = _beside(folder, value)
        for key in ("split", "reader"):
            if key in data:
                made["data"][key] = _choice(data[key], folder)
    for axis in ("backbone", "head", "strategy"):
        if axis in made:
            made[axis] = _choice(made[axis], folder)
    return made


def _choice(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        name, colon, argument = value.partition(":")
        return f"{name}{colon}{_dotted(argument, folder)}"
    if isinstance(value, list):
        return [_choice(_dotted(one, folder), folder) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _choice(one, folder)
        if key == "name" or isinstance(one, Mapping | list)
        else _beside(folder, one)
        if key == "base" and isinstance(one, str)
        else _dotted(one, folder)
        for key, one in value.items()
    }


def _dotted(value: Any, folder: Path) -> Any:
    return _beside(folder, value) if isinstance(value, str) and value.startswith(("./", "../")) else value


def _beside(folder: Path, value: str) -> str:
    return os.path.normpath(folder / Path(value).expanduser())


# --- errors


@dataclass(eq=False)
class InvalidRecipe(TaskgraftError):
    """A file that is no recipe. Line and column count from 1; None where they are not known."""

    path: str
    problem: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line:,}"
        column = "" if self.column is None else f", column {self.column:,}"
        return f"{self.path}{line}{column}: {self.problem}"


@dataclass(eq=False)
class UnnamedComponent(TaskgraftError):
    """A recipe with something in it that has no name, so that it cannot be run from a file."""

    path: str
    axis: str
    object: str | None

    def __str__(self) -> str:
        what = "has no name" if self.object is None else f"was an object of the class {self.object}"
        return f"{self.path}: the {self.axis} {what}. Name one that is installed."
