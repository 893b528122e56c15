"""``taskgraft show``: one thing, its settings, and what one very model is."""

from dataclasses import dataclass
from typing import Any

from taskgraft.cli.config_help import Setting, settings_of
from taskgraft.cli.console import console, print_json, table
from taskgraft.cli.list import AXES, plural_of
from taskgraft.composition.strategy_overrides import config_with_overrides
from taskgraft.contract.config import Config, ConfigError, parse_config
from taskgraft.contract.descriptions import AXES as LAYOUT_AXES
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec
from taskgraft.discovery.catalog import UnknownComponent, catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import ComponentName, parse_name
from taskgraft.errors import TaskgraftError, join_words


@dataclass(frozen=True)
class _Shown:
    """A spec, and what is known of it with its settings."""

    spec: Spec
    source: PluginSource
    description: BackboneDescription | HeadDescription | None


def show(text: str, axis: str | None, *, as_json: bool) -> None:
    """Print what is known of a name.

    Args:
        axis: which is meant, where several have the name.

    Raises:
        UnknownComponent, AmbiguousComponent, InvalidName: as whenever a name is used.
        SeveralAxes: when one schema is asked for and the name has several.
    """
    name = parse_name(text)
    found = _found(name, axis)
    if as_json and len(found) > 1:
        raise SeveralAxes(text, tuple(spec.axis for spec, _ in found))
    shown = [_Shown(spec, source, _described(text, name, spec, alone=len(found) == 1)) for spec, source in found]
    if as_json:
        print_json(_schema(shown[0]))
        return
    for one in shown:
        _print(one)


def _found(name: ComponentName, axis: str | None) -> list[tuple[Spec, PluginSource]]:
    """Find what has a name, on one axis or on each."""
    known = catalog()
    kinds = [AXES[plural_of(axis)]] if axis else list(AXES.values())
    having = [kind for kind in kinds if any(name.name in spec.names for spec, _ in known.specs(kind))]
    if not having and len(kinds) > 1:
        every = tuple((spec, source) for kind in kinds for spec, source in known.specs(kind))
        asked = str(ComponentName(name.name, name.distribution))
        raise UnknownComponent("implementation", asked, every, known.failures, known.blocked)
    found: list[tuple[Spec, PluginSource]] = []
    refused: list[UnknownComponent] = []
    for kind in having or kinds:
        try:
            found.append(known.find(kind, name))
        except UnknownComponent as error:  # another distribution has the name on this axis
            refused.append(error)
    if not found:
        raise refused[0]
    return found


def _described(
    text: str, name: ComponentName, spec: Spec, *, alone: bool
) -> BackboneDescription | HeadDescription | None:
    """Describe the very model that a name with an argument means; of heads, also one with the settings' defaults."""
    if not isinstance(spec, BackboneSpec | HeadSpec):
        if name.argument is not None and alone:
            _settings(text, spec)
        return None
    if name.argument is not None:
        return spec.describe(_settings(text, spec))
    if isinstance(spec, BackboneSpec):
        return None
    try:
        return spec.describe(parse_config(spec.config, {}, spec.name))
    except ConfigError:  # it has settings without default
        return None


def _settings(text: str, spec: Spec) -> Config:
    from taskgraft.composition.resolve import resolve

    return resolve(catalog(), type(spec), text).config


def _schema(shown: _Shown) -> dict[str, Any]:
    """Give the JSON schema of the settings; what else is known stands under ``x-taskgraft``."""
    about: dict[str, Any] = {
        "axis": shown.spec.axis,
        "name": shown.spec.name,
        "summary": shown.spec.summary,
        "distribution": shown.source.distribution,
        "version": shown.source.version,
    }
    if isinstance(shown.spec, BackboneSpec):
        about["licence"] = shown.spec.licence
    if shown.description is not None:
        about["description"] = _plain(shown.description)
    return config_with_overrides(shown.spec).model_json_schema() | {"x-taskgraft": about}


def _plain(description: BackboneDescription | HeadDescription) -> dict[str, Any]:
    if isinstance(description, HeadDescription):
        return {
            "reads": list(description.layouts),
            "target": description.target,
            "soft_targets": description.supports_soft_labels,
            "distils": description.supports_distillation,
            "metrics": list(description.metrics),
            "baselines": list(description.baselines),
            "groups": description.group_column,
            "settles": description.tunes,
            "columns": list(description.tuning_columns),
        }
    return {
        "inputs": [{"name": role.name, "required": role.required} for role in description.inputs],
        "features": [
            {"layout": feature.layout, "feature_sizes": list(feature.feature_sizes)} for feature in description.features
        ],
        "parts": [part.name for part in description.parts],
        "cuts": list(description.cuts),
        "licence": description.licence,
    }


def _print(shown: _Shown) -> None:
    spec, out = shown.spec, console()
    out.print(f"{spec.axis} {spec.name}, from {shown.source}", style="bold")
    out.print(f"{spec.summary}\n")
    settings = settings_of(config_with_overrides(spec))
    if settings:
        out.print(table(("setting", "type", "default", "range", "about"), map(_row, settings)))
    else:
        out.print("It has no settings.")
    if spec.config.positional is not None:
        field = spec.config.positional
        out.print(f"{spec.name}:{field.upper()} is short for the setting {field}.")
    if isinstance(shown.description, BackboneDescription):
        _print_backbone(shown.description)
    elif isinstance(shown.description, HeadDescription):
        _print_head(shown.description)
    if isinstance(spec, BackboneSpec):
        known = getattr(shown.description, "licence", None) or spec.licence
        out.print(f"Licence of the weights: {known or 'each model has its own'}.")
    out.print()


def _row(setting: Setting) -> tuple[str, ...]:
    return setting.name, setting.type, setting.default, setting.range, setting.description


def _print_backbone(description: BackboneDescription) -> None:
    out = console()
    roles = [role.name if role.required else f"{role.name} (may be left out)" for role in description.inputs]
    out.print(f"Inputs: {', '.join(roles) or 'any columns'}.")
    for feature in description.features:
        sizes = " and ".join(f"{size:,}" for size in feature.feature_sizes)
        out.print(f"Emits: {feature.layout} {LAYOUT_AXES[feature.layout]}, feature size {sizes}.")
    out.print(f"Parts, from input to output: {', '.join(part.name for part in description.parts)}.")
    out.print(f"Cuts, where frozen computation can be stored: {', '.join(map(str, description.cuts))}.")


def _print_head(description: HeadDescription) -> None:
    out = console()
    out.print(f"Reads: {' or '.join(description.layouts)} features. Learns: {description.target}.")
    if description.metrics:
        names = [one if isinstance(one, str) else one["name"] for one in description.metrics]
        out.print(f"Judged by: {', '.join(names)}.")
    if description.baselines:
        out.print(f"Beside: {', '.join(description.baselines)}.")
    if description.tunes:
        by = f" and their {join_words(description.tuning_columns)}" if description.tuning_columns else ""
        out.print(f"Chooses {description.tunes} by validation rows{by}.")


@dataclass(eq=False)
class SeveralAxes(TaskgraftError):
    """A name that means one thing on each of several axes."""

    name: str
    axes: tuple[str, ...]

    def __str__(self) -> str:
        ways = " or ".join(f"--axis {axis}" for axis in self.axes)
        return f"'{self.name}' is a {' and a '.join(self.axes)}. Choose one with {ways}."
