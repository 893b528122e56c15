"""Changing single values of a recipe before it is checked: ``training.epochs=5``."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from taskgraft.contract.config import Config
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.specs import BackboneSpec, HeadSpec, ReaderSpec, Spec, SplitSpec, StrategySpec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.names import InvalidName, parse_name
from taskgraft.errors import TaskgraftError, closest_match, join_words

CHOICES: Mapping[str, type[Spec]] = {
    "backbone": BackboneSpec,
    "head": HeadSpec,
    "strategy": StrategySpec,
    "data.split": SplitSpec,
    "data.reader": ReaderSpec,
}
"""Where a recipe chooses, and what is chosen there. Below these paths lie the settings of plugins."""


def apply_override(document: dict[str, Any], text: str) -> None:
    """Set one value, in place.

    Args:
        document: what a recipe file holds, or a part of it.
        text: ``KEY=VALUE`` with a dotted key. The value is read as JSON or TOML where it is that, else as text.

    Raises:
        InvalidOverride: for a key that a recipe does not have.
        UnknownComponent, AmbiguousComponent: for a setting of something that has no place in the catalog.
    """
    key, equals, value = text.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise InvalidOverride(text, "it is not written KEY=VALUE.")
    _check_path(text, steps)
    holder, path = document, []
    for step in steps[:-1]:
        path.append(step)
        inner = holder.get(step)
        if (axis := ".".join(path)) in CHOICES:
            inner = _opened(CHOICES[axis], inner, steps[len(path)])
        holder[step] = dict(inner) if isinstance(inner, Mapping) else {}
        holder = holder[step]
    holder[steps[-1]] = _value(value)


def override_keys(texts: Iterable[str]) -> list[str]:
    """Give the dotted keys that overrides set."""
    return [text.partition("=")[0].strip() for text in texts]


def _check_path(text: str, steps: Sequence[str]) -> None:
    """Refuse a path that leads nowhere in a recipe. What lies below a choice is its plugin's affair."""
    holder: type[Config] = Recipe
    for depth, step in enumerate(steps):
        above = ".".join(steps[:depth])
        if step not in holder.model_fields:
            known = [*_paths(Recipe), *CHOICES]
            near = closest_match(".".join(steps), known) or _ending(step, known)
            meant = f" Did you mean '{near}'?" if near else ""
            there = [f"{above}.{name}" if above else name for name in holder.model_fields]
            raise InvalidOverride(
                text, f"a recipe has no '{'.'.join(steps)}'.{meant} There are {join_words(there, 40)}."
            )
        path = ".".join(steps[: depth + 1])
        if path in CHOICES:
            return
        kind = holder.model_fields[step].annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            holder = kind
        elif path != "data.inputs" and depth + 1 < len(steps):
            raise InvalidOverride(text, f"'{path}' has no settings below it.")
        else:
            return


def _paths(config: type[Config], above: str = "") -> list[str]:
    """List all dotted keys that do not lie below a choice."""
    found = []
    for name, field in config.model_fields.items():
        found.append(f"{above}{name}")
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config) and f"{above}{name}" not in CHOICES:
            found += _paths(kind, f"{above}{name}.")
    return found


def _ending(word: str, paths: Sequence[str]) -> str | None:
    """Find the dotted key whose last step a person most likely meant."""
    by_end = {path.rpartition(".")[2]: path for path in paths}
    near = closest_match(word, by_end)
    return by_end[near] if near else None


def _opened(kind: type[Spec], choice: Any, key: str) -> Any:
    """Write a choice as a table, so that a setting can be put into it.

    Args:
        key: the setting. When the argument of the name says the same setting, that is taken out of the name.
    """
    table = {"name": choice} if isinstance(choice, str) else dict(choice) if isinstance(choice, Mapping) else {}
    if isinstance(text := table.get("name"), str) and ":" in text:
        try:
            spec, _ = catalog().find(kind, parse_name(text))
        except InvalidName:
            return table  # whoever looks it up says so
        if spec.config.positional == key:
            table["name"] = text.partition(":")[0]
    return table


def _value(text: str) -> Any:
    """Read the value of an override. ``007``, dates and ``nan`` are no values that settings have, so they are text."""
    try:
        return json.loads(text, parse_constant=lambda constant: constant)
    except (ValueError, RecursionError):
        pass
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = found.pop("value", text)
    return (
        text
        if found or isinstance(value, date | time) or value in (float("inf"), -float("inf")) or value != value
        else value
    )


@dataclass(eq=False)
class InvalidOverride(TaskgraftError):
    """A value that was to be set in a recipe, at a place that it does not have."""

    text: str
    problem: str

    def __str__(self) -> str:
        return f"'{self.text}' cannot be set: {self.problem}"
