"""Overrides of single settings of a recipe, applied before it is validated: ``training.epochs=5``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from typing import Any

from taskgraft.contract.config import Config, ConfigError
from taskgraft.contract.specs import BackboneSpec, HeadSpec, ReaderSpec, Spec, SplitSpec, StrategySpec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.names import InvalidName, parse_name
from taskgraft.errors import closest_match, join_words, shorten
from taskgraft.files.json_text import MAX_DEPTH, parse_json
from taskgraft.recipe import Recipe
from taskgraft.recipes.strict_toml import read_toml
from taskgraft.recipes.strict_yaml import InvalidDocument, TooLarge

_COMPONENTS: Mapping[str, type[Spec]] = {
    "backbone": BackboneSpec,
    "head": HeadSpec,
    "strategy": StrategySpec,
    "data.split": SplitSpec,
    "data.reader": ReaderSpec,
}
"""Keys of a recipe that name a component. The keys below them are the component's own settings."""


def apply_override(document: dict[str, Any], text: str) -> None:
    """Set one value, in place.

    Args:
        document: the contents of a recipe file, or of a part of it.
        text: ``KEY=VALUE`` with a dotted key. The value is parsed as JSON or TOML if possible, else taken as text.

    Raises:
        ConfigError: for a key that a recipe does not have.
        UnknownComponent, AmbiguousComponent: for a setting of a component that is not in the catalog.
    """
    key, equals, value = text.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise override_error(text, "it is not written KEY=VALUE.")
    if len(steps) > MAX_DEPTH:
        raise override_error(text, f"a key has more than {MAX_DEPTH} steps.")
    _check_key(text, steps)
    table = document
    for depth, step in enumerate(steps[:-1], 1):
        inner = table.get(step)
        if kind := _COMPONENTS.get(".".join(steps[:depth])):
            inner = _as_table(kind, inner, steps[depth])
        table[step] = dict(inner) if isinstance(inner, Mapping) else {}
        table = table[step]
    table[steps[-1]] = _parse_value(text, value)


def override_keys(texts: Iterable[str]) -> list[str]:
    """Return the dotted keys that overrides set."""
    return [text.partition("=")[0].strip() for text in texts]


def override_error(text: str, problem: str) -> ConfigError:
    """Make the error for an override that cannot be applied."""
    return ConfigError(f"'{shorten(text, 160)}' cannot be set", (problem,))


def _check_key(text: str, steps: Sequence[str]) -> None:
    """Reject a key that a recipe does not have. The settings of a component are checked by its own config."""
    key, known = ".".join(steps), _keys(Recipe)
    if key in known or key.startswith(tuple(f"{above}." for above in (*_COMPONENTS, "data.inputs"))):
        return
    section = f"{steps[0]}." if any(one.startswith(f"{steps[0]}.") for one in known) else ""
    siblings = [one for one in known if one.startswith(section) and "." not in one.removeprefix(section)]
    if setting := next((one for one in siblings if key.startswith(f"{one}.")), None):
        raise override_error(text, f"'{setting}' has no settings below it.")
    near = closest_match(key, known) or _key_ending_in(steps[-1], known)
    meant = f" Did you mean '{near}'?" if near else ""
    raise override_error(text, f"a recipe has no '{key}'.{meant} Keys: {join_words(siblings, 40)}.")


def _keys(config: type[Config], above: str = "") -> list[str]:
    """List all dotted keys, without the settings of components."""
    keys = []
    for name, field in config.model_fields.items():
        keys.append(f"{above}{name}")
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config) and f"{above}{name}" not in _COMPONENTS:
            keys += _keys(kind, f"{above}{name}.")
    return keys


def _key_ending_in(word: str, keys: Sequence[str]) -> str | None:
    """Find the dotted key whose last step the user most likely meant."""
    by_last_step = {key.rpartition(".")[2]: key for key in keys}
    near = closest_match(word, by_last_step)
    return by_last_step[near] if near else None


def _as_table(kind: type[Spec], component: Any, key: str) -> Any:
    """Write a component as a table that a setting can be added to.

    Args:
        key: the setting. If the argument of the name is the same setting, it is removed from the name.
    """
    if isinstance(component, str):
        component = {"name": component}
    table = dict(component) if isinstance(component, Mapping) else {}
    if isinstance(text := table.get("name"), str) and ":" in text:
        try:
            spec, _ = catalog().find(kind, parse_name(text))
        except InvalidName:
            return table  # reported when the component is looked up
        if spec.config.positional == key:
            table["name"] = text.partition(":")[0]
    return table


def _parse_value(override: str, text: str) -> Any:
    """Parse the value of an override. ``007``, dates and ``nan`` are not valid values of settings, so they are text."""
    try:
        return parse_json(text, constant=lambda constant: constant)
    except json.JSONDecodeError:
        pass
    except ValueError as error:  # a duplicate key, nesting, a number with too many digits
        raise override_error(override, f"{error}.") from None
    try:
        document = read_toml(f"value = {text}")
    except TooLarge as error:
        raise override_error(override, error.problem) from None
    except InvalidDocument:
        return text
    value = document.pop("value", text)
    not_finite = value in (float("inf"), -float("inf")) or value != value
    return text if document or isinstance(value, date | time) or not_finite else value
