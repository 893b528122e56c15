"""``taskgraft show``: one component, its settings, and with a checkpoint what that model is."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from taskgraft.cli import options
from taskgraft.cli.config_help import settings_of
from taskgraft.cli.console import console, print_json, table
from taskgraft.cli.errors import CliError
from taskgraft.cli.list import SPEC_TYPES_BY_AXIS, parse_axis, spec_facts
from taskgraft.composition.strategy_overrides import config_with_overrides
from taskgraft.contract.config import Config, ConfigError, parse_config
from taskgraft.contract.descriptions import AXES, BackboneDescription, HeadDescription
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec
from taskgraft.discovery.catalog import UnknownComponent, catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import ComponentName, parse_name
from taskgraft.errors import join_words

_Description = BackboneDescription | HeadDescription | None


@dataclass(frozen=True)
class _Component:
    """A spec, its source, and its description with some settings, where that is known."""

    spec: Spec
    source: PluginSource
    description: _Description


def show_command(
    name: Annotated[
        str, typer.Argument(help="As in a recipe: classification, hf-text:CHECKPOINT, …", show_default=False)
    ],
    axis: Annotated[
        str | None, typer.Option(help="Disambiguate a name that several kinds share: head, metric, …")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON schema of the settings.")] = False,
    debug: options.DebugOption = False,
) -> None:
    """Print what is known of a name.

    Raises:
        UnknownComponent, AmbiguousComponent, InvalidName: as whenever a name is used.
        CliError: when one schema is requested and the name exists on several axes.
    """
    parsed = parse_name(name)
    matches = _find(parsed, axis)
    if as_json and len(matches) > 1:
        axes = [spec.axis for spec, _ in matches]
        options = " or ".join(f"--axis {one}" for one in axes)
        raise CliError(f"'{name}' is a {' and a '.join(axes)}. Choose one with {options}.")
    only_match = len(matches) == 1
    components = [
        _Component(spec, source, _describe(name, parsed, spec, only_match=only_match)) for spec, source in matches
    ]
    if as_json:
        print_json(_schema(components[0]))
        return
    for component in components:
        _print(component)


def _find(name: ComponentName, axis: str | None) -> list[tuple[Spec, PluginSource]]:
    """Find the specs of a name, on one axis or on each."""
    known = catalog()
    kinds = [SPEC_TYPES_BY_AXIS[parse_axis(axis)]] if axis else list(SPEC_TYPES_BY_AXIS.values())
    with_name = [kind for kind in kinds if any(name.name in spec.names for spec, _ in known.specs(kind))]
    if not with_name and len(kinds) > 1:
        every = tuple((spec, source) for kind in kinds for spec, source in known.specs(kind))
        requested = str(ComponentName(name.name, name.distribution))
        raise UnknownComponent("component", requested, every, known.failures, known.blocked)
    matches: list[tuple[Spec, PluginSource]] = []
    errors: list[UnknownComponent] = []
    for kind in with_name or kinds:
        try:
            matches.append(known.find(kind, name))
        except UnknownComponent as error:  # another distribution has the name on this axis
            errors.append(error)
    if not matches:
        raise errors[0]
    return matches


def _describe(text: str, name: ComponentName, spec: Spec, *, only_match: bool) -> _Description:
    """Describe the model that a name with an argument means; a head also with the defaults of its settings."""
    if not isinstance(spec, BackboneSpec | HeadSpec):
        if name.argument is not None and only_match:
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


def _schema(component: _Component) -> dict[str, Any]:
    """Return the JSON schema of the settings, with everything else that is known under ``x-taskgraft``."""
    spec, description = component.spec, component.description
    about = spec_facts(spec, component.source)
    if isinstance(spec, BackboneSpec):
        about["licence"] = spec.licence
    if description is not None:
        about["description"] = _as_json(description)
    return config_with_overrides(spec).model_json_schema() | {"x-taskgraft": about}


def _as_json(description: BackboneDescription | HeadDescription) -> dict[str, Any]:
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


def _print(component: _Component) -> None:
    spec, description, out = component.spec, component.description, console()
    out.print(f"{spec.axis} {spec.name}, from {component.source}", style="bold")
    out.print(f"{spec.summary}\n")
    settings = settings_of(config_with_overrides(spec))
    if settings:
        rows = [(one.name, one.type, one.default, one.range, one.description) for one in settings]
        wrapped = ("type", "default", "range", "description")
        out.print(table(("setting", *wrapped), rows, wrapped))
    else:
        out.print("It has no settings.")
    if spec.config.positional is not None:
        field = spec.config.positional
        out.print(f"{spec.name}:{field.upper()} is short for the setting {field}.")
    if isinstance(description, BackboneDescription):
        _print_backbone(description)
    elif isinstance(description, HeadDescription):
        _print_head(description)
    if isinstance(spec, BackboneSpec):
        licence = getattr(description, "licence", None) or spec.licence
        out.print(f"Licence of the weights: {licence or 'depends on the model'}.")
    out.print()


def _print_backbone(description: BackboneDescription) -> None:
    out = console()
    roles = [role.name if role.required else f"{role.name} (optional)" for role in description.inputs]
    out.print(f"Inputs: {', '.join(roles) or 'any columns'}.")
    for feature in description.features:
        sizes = " and ".join(f"{size:,}" for size in feature.feature_sizes)
        out.print(f"Emits: {feature.layout} {AXES[feature.layout]}, feature size {sizes}.")
    out.print(f"Parts, from input to output: {', '.join(part.name for part in description.parts)}.")
    out.print(f"Cuts, where frozen computation can be cached: {', '.join(map(str, description.cuts))}.")


def _print_head(description: HeadDescription) -> None:
    out = console()
    out.print(f"Reads: {' or '.join(description.layouts)} features. Predicts: {description.target}.")
    if description.metrics:
        names = [one if isinstance(one, str) else one["name"] for one in description.metrics]
        out.print(f"Metrics: {', '.join(names)}.")
    if description.baselines:
        out.print(f"Baselines: {', '.join(description.baselines)}.")
    if description.tunes:
        columns = f" and their {join_words(description.tuning_columns)}" if description.tuning_columns else ""
        out.print(f"Tunes {description.tunes} on validation rows{columns}.")
