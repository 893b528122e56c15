"""Consent: settings such as running remote code, which only a person may switch on. What an artifact says is never consent."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.specs import Spec
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.names import InvalidName, parse_name
from taskgraft.recipe import Recipe
from taskgraft.storage.manifest import InvalidArtifact

_ARGUMENTS = 10
"""Names looked for in one text: more than there may be levels of strategies within strategies."""


def check_consent(folder: Path, recipe: Recipe, known: Catalog, granted: Iterable[str] = ()) -> None:
    """Reject an artifact that switches on a setting for which the user's consent is needed, in any component at any depth.

    A recipe file needs no check: what the user wrote is consent.

    Args:
        folder: of the artifact, for the message.
        recipe: the artifact's, perhaps with settings of the user.
        granted: dotted keys that the user set (``backbone.remote_code``), or the axis of a component that the user replaced.

    Raises:
        InvalidArtifact: naming the setting.
    """
    keys, data = set(granted), recipe.data
    chosen = {"backbone": recipe.backbone, "head": recipe.head, "strategy": recipe.strategy}
    for place, reference in {**chosen, "data.reader": data.reader, "data.split": data.split}.items():
        if reference is not None and place not in keys:
            own = {key.removeprefix(f"{place}.") for key in keys}
            check_component_consent(folder, reference, known, own)


def check_component_consent(folder: Path, reference: ComponentRef, known: Catalog, granted: Iterable[str]) -> None:
    """Check one component of an artifact, as :func:`check_consent` does.

    Args:
        granted: settings of the component itself that the user switched on; what is nested in it has none of them.
    """
    allowed = set(granted)
    for depth, (name, settings) in enumerate(_named(reference.model_dump())):
        if depth:
            allowed = set()
        for spec, stated in _meanings(known, name, settings):
            for key in sorted(spec.config.needs_consent - allowed):
                if stated.get(key):
                    advice = f'pass {spec.axis}={{"name": "{spec.name}", "{key}": True, …}} if you trust it'
                    raise InvalidArtifact(str(folder), f"it asks for '{key}', which only you can grant: {advice}")


def _named(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the settings of everything in nested settings that may be a component."""
    if isinstance(value, str):
        for _ in range(_ARGUMENTS):  # an argument may be a name with an argument
            yield value, {}
            value = value.partition(":")[2]
    elif isinstance(value, Mapping):
        nested = value.get("settings")
        yield str(value.get("name")), {**value, **(nested if isinstance(nested, Mapping) else {})}
        for one in value.values():
            yield from _named(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _named(one)


def _meanings(known: Catalog, text: str, settings: Mapping[str, Any]) -> Iterator[tuple[Spec, Mapping[str, Any]]]:
    """Find the specs that a name may mean, of any kind and distribution, each with its settings."""
    try:
        name = parse_name(text)
    except InvalidName:
        return
    for spec in (entry.spec for entry in known.entries if name.name in entry.spec.names):
        argument = {spec.config.positional: name.argument} if name.argument and spec.config.positional else {}
        yield spec, {**argument, **settings}
