"""Resolve references: a name with settings becomes a spec and its validated config."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from taskgraft.composition.strategy_overrides import NO_OVERRIDES, StrategyOverrides, parse_settings
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import Config, ConfigError
from taskgraft.contract.specs import BackboneSpec, Spec, StrategySpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import parse_name
from taskgraft.errors import TaskgraftError
from taskgraft.storage.component_paths import check_base, located_recipe
from taskgraft.storage.consent import check_component_consent
from taskgraft.storage.manifest import InvalidArtifact, is_artifact, read_manifest

_AnySpec = TypeVar("_AnySpec", bound=Spec)
_Component = TypeVar("_Component")

ComponentReference = str | Mapping[str, Any] | ComponentRef
"""A name (``"partial:2"``), a name with settings (``{"name": "partial", "learn": 2}``), or an entry of a recipe."""


class CompositionError(TaskgraftError):
    """An invalid reference, or components that do not fit together."""


MAX_NESTING, MAX_STRATEGIES = 5, 100
"""Levels of strategies within strategies, and strategies that one of them combines."""


@dataclass(frozen=True)
class ResolvedComponent(Generic[_AnySpec]):
    """A spec found by name, with its settings.

    Attributes:
        base: an artifact whose trained backbone this one starts from.
        overrides: of a strategy: settings that every strategy accepts.
        nested: of a strategy that combines others: those.
    """

    spec: _AnySpec
    source: PluginSource
    config: Config
    base: Path | None = None
    overrides: StrategyOverrides = NO_OVERRIDES
    nested: "tuple[ResolvedComponent[StrategySpec], ...]" = ()

    @property
    def label(self) -> str:
        """The name used in messages, with the argument: ``partial:2``."""
        if self.base is not None:
            return f"{self.spec.name}:{self.base}"
        argument = self.spec.config.positional
        value = getattr(self.config, argument) if argument else None
        if isinstance(value, ComponentRef):
            value = self.nested[0].label
        return self.spec.name if value is None else f"{self.spec.name}:{value}"

    def to_ref(self) -> ComponentRef:
        """Give the entry for a recipe."""
        settings = self.config.model_dump(mode="json") | self.overrides.model_dump(exclude_none=True)
        base = None if self.base is None else str(self.base)
        return ComponentRef(name=f"{self.source.distribution}/{self.spec.name}", settings=settings, base=base)

    def with_nested(self) -> "Iterator[ResolvedComponent[Any]]":
        """Iterate over this component and all components nested in it."""
        yield self
        for component in self.nested:
            yield from component.with_nested()


@dataclass(frozen=True)
class GivenObject(Generic[_Component]):
    """A component passed as an object."""

    value: _Component

    @property
    def label(self) -> str:
        """The name used in messages: that of the class."""
        return type(self.value).__name__

    def to_ref(self) -> ComponentRef:
        """Give the entry for a recipe, which names the class."""
        return ComponentRef(object=f"{type(self.value).__module__}.{type(self.value).__qualname__}")


def resolve(
    catalog: Catalog, kind: type[_AnySpec], reference: ComponentReference, level: int = 0
) -> ResolvedComponent[_AnySpec]:
    """Find a spec by name and validate its settings. A backbone whose argument is an artifact starts from its weights.

    Raises:
        CompositionError: when the reference is neither a name nor a dict.
        UnknownComponent, AmbiguousComponent, InvalidName: for the name.
        ConfigError: for the settings.
        InvalidArtifact: for an artifact that cannot be the base of the backbone.
    """
    text, settings, base = _parse_reference(kind, reference)
    name = parse_name(text)
    spec, source = catalog.find(kind, name)
    label = f"{kind.axis} '{spec.name}'"
    if name.argument is not None and kind is BackboneSpec and is_artifact(Path(name.argument)):
        base = name.argument
        settings = _backbone_settings(Path(base), catalog, spec, source, settings) | settings
    elif name.argument is not None:
        settings = _with_argument(spec, label, name.argument, settings)
    config, overrides = parse_settings(spec, settings, label)
    nested: tuple[ResolvedComponent[StrategySpec], ...] = ()
    if isinstance(spec, StrategySpec) and (field := spec.nested) is not None:
        stated = getattr(config, field)
        entries = (stated,) if isinstance(stated, ComponentRef) else stated
        if level == MAX_NESTING:
            raise ConfigError(
                label, (f"strategies are nested deeper than {MAX_NESTING} levels, the limit; flatten them.",)
            )
        if len(entries) > MAX_STRATEGIES:
            problem = f"it combines {len(entries):,} strategies, more than the limit of {MAX_STRATEGIES:,}."
            raise ConfigError(label, (problem,))
        nested = tuple(resolve(catalog, StrategySpec, entry, level + 1) for entry in entries)
        references = tuple(component.to_ref() for component in nested)
        config = config.model_copy(update={field: references if entries is stated else references[0]})
    return ResolvedComponent(spec, source, config, None if base is None else Path(base), overrides, nested)


def as_list(references: ComponentReference | Sequence[ComponentReference]) -> Sequence[ComponentReference]:
    """Wrap a single reference in a list."""
    return (references,) if isinstance(references, str | Mapping | ComponentRef) else references


def _parse_reference(kind: type[Spec], reference: ComponentReference) -> tuple[str, dict[str, Any], str | None]:
    """Return the name, the settings and the base that a reference states."""
    if not isinstance(reference, str | Mapping | ComponentRef):
        forms = ["a name", "a dict with 'name' and settings"]
        if kind.axis in ("backbone", "head", "strategy"):
            forms.append(f"an object of the class taskgraft.{kind.axis.capitalize()}")
        given = f"{reference!r:.60}, of the type {type(reference).__name__}"
        raise CompositionError(f"The {kind.axis} is {given}. Give {', '.join(forms[:-1])}, or {forms[-1]}.")
    if isinstance(reference, ComponentRef):
        name, settings, base = reference.name, dict(reference.settings), reference.base
    else:
        settings = {} if isinstance(reference, str) else dict(reference)
        name, base = reference if isinstance(reference, str) else settings.pop("name", None), None
    if not isinstance(name, str):
        raise ConfigError(kind.axis, ("the setting 'name' is missing.",))
    return name, settings, base


def _with_argument(spec: Spec, label: str, argument: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Add the argument after the colon to the settings."""
    key = spec.config.positional
    if key is None:
        raise ConfigError(label, (f"it takes no argument after the colon, but was given '{argument}'.",))
    if settings.get(key, argument) != argument:
        problem = f"the name says {key} = '{argument}', the settings say '{settings[key]}'; leave one out."
        raise ConfigError(label, (problem,))
    return {key: argument} | settings


def _backbone_settings(
    folder: Path, known: Catalog, spec: Spec, source: PluginSource, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Read the settings of the backbone that an artifact trained. The user has given others.

    Raises:
        InvalidArtifact: when it is damaged, contains another backbone, or switches on a setting that needs consent.
    """
    manifest = read_manifest(folder)
    recipe = located_recipe(manifest, folder)
    trained = recipe.backbone
    if trained.name not in [f"{source.distribution}/{name}" for name in spec.names]:
        actual = trained.name or trained.object
        raise InvalidArtifact(str(folder), f"its backbone is '{actual}', so it cannot be the base of '{spec.name}'")
    check_component_consent(folder, trained, known, [key for key, value in given.items() if value is True])
    changed = trained.model_copy(update={"settings": {**trained.settings, **given}})
    check_base(manifest, folder, recipe.model_copy(update={"backbone": changed}), as_base=True)
    return dict(trained.settings)
