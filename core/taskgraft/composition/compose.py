"""Three choices made into one: names looked up, objects accepted, and mismatches found before any weight is read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from taskgraft.composition.strategy_overrides import (
    NO_OVERRIDES,
    OverriddenStrategy,
    StrategyOverrides,
    config_with_overrides,
    split_overrides,
)
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.config import Config, ConfigError, parse_config
from taskgraft.contract.descriptions import (
    PER_ELEMENT,
    BackboneDescription,
    FeatureDescription,
    HeadDescription,
    Layout,
    TargetKind,
)
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Plan
from taskgraft.contract.recipe import ComponentRef, Recipe
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec, StrategySpec
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import parse_name
from taskgraft.errors import TaskgraftError
from taskgraft.storage.manifest import InvalidArtifact, is_artifact, read_artifact

AnySpec = TypeVar("AnySpec", bound=Spec)
Built = TypeVar("Built")

PER_POSITION = PER_ELEMENT | {TargetKind.GRID_CATEGORIES}
"""Kinds of target that are known position by position."""

ComponentReference = str | Mapping[str, Any] | ComponentRef
"""A name (``"partial:2"``), a name with settings (``{"name": "partial", "learn": 2}``), or what a recipe says."""


@dataclass(frozen=True)
class ResolvedComponent(Generic[AnySpec]):
    """A spec with its settings, found by name.

    Attributes:
        base: an artifact whose trained backbone this one starts from.
        adjustment: of a strategy: how its plan is adjusted.
        inner: of a strategy that is made of others: those.
    """

    spec: AnySpec
    source: PluginSource
    config: Config
    base: Path | None = None
    adjustment: StrategyOverrides = NO_OVERRIDES
    inner: "tuple[ResolvedComponent[StrategySpec], ...]" = ()

    @property
    def label(self) -> str:
        """What messages call it: the name, with the argument."""
        if self.base is not None:
            return f"{self.spec.name}:{self.base}"
        argument = self.spec.config.positional
        value = getattr(self.config, argument) if argument else None
        return self.spec.name if value is None else f"{self.spec.name}:{value}"

    def choice(self) -> ComponentRef:
        """Write it down for a recipe."""
        settings = self.config.model_dump(mode="json") | self.adjustment.model_dump(exclude_none=True)
        base = None if self.base is None else str(self.base)
        return ComponentRef(name=f"{self.source.distribution}/{self.spec.name}", settings=settings, base=base)

    def every(self) -> "Iterator[ResolvedComponent[Any]]":
        """Go through it and what it is made of."""
        yield self
        for one in self.inner:
            yield from one.every()


@dataclass(frozen=True)
class GivenObject(Generic[Built]):
    """Something passed as an object."""

    value: Built

    @property
    def label(self) -> str:
        """What messages call it: the name of its class."""
        return type(self.value).__name__

    def choice(self) -> ComponentRef:
        """Write its class down for a recipe."""
        return ComponentRef(object=class_name(self.value))


@dataclass(frozen=True)
class Composition:
    """What goes together, checked.

    Attributes:
        layout: what the head reads of what the backbone emits.
        tried: whether what the plan inserts was tried (:mod:`taskgraft.adaptation.dry_run`).
    """

    backbone: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]
    head: ResolvedComponent[HeadSpec] | GivenObject[Head[Any]]
    strategy: ResolvedComponent[StrategySpec] | GivenObject[Strategy]
    backbone_description: BackboneDescription
    head_description: HeadDescription
    layout: Layout
    plan: Plan
    tried: bool = False

    def sources(self) -> tuple[PluginSource, ...]:
        """The distributions that provide what was named."""
        chosen = (self.backbone, self.head, self.strategy)
        return tuple(
            dict.fromkeys(
                one.source for named in chosen if isinstance(named, ResolvedComponent) for one in named.every()
            )
        )


def compose_components(
    catalog: Catalog,
    backbone: ComponentReference | Backbone,
    head: ComponentReference | Head[Any],
    strategy: ComponentReference | Strategy,
) -> Composition:
    """Look everything up and check that it fits. Reads a checkpoint's configuration at most.

    Raises:
        LayoutMismatch: when the head reads nothing that the backbone emits.
        MixingNotSupported, AugmentationNotSupported: when the head cannot follow how training examples vary.
        MaskingNotSupported: when the head recovers hidden elements, and the backbone can hide none.
        StrategyNotApplicable: when the strategy does not fit.
    """
    return combine(
        catalog,
        GivenObject(backbone) if isinstance(backbone, Backbone) else resolve(catalog, BackboneSpec, backbone),
        GivenObject(head) if isinstance(head, Head) else resolve(catalog, HeadSpec, head),
        GivenObject(strategy) if isinstance(strategy, Strategy) else resolve(catalog, StrategySpec, strategy),
    )


def combine(
    catalog: Catalog,
    bottom: ResolvedComponent[BackboneSpec] | GivenObject[Backbone],
    top: ResolvedComponent[HeadSpec] | GivenObject[Head[Any]],
    way: ResolvedComponent[StrategySpec] | GivenObject[Strategy],
) -> Composition:
    """Describe what was chosen and check that it fits. Raises as :func:`compose_components` does."""
    below = bottom.value.description if isinstance(bottom, GivenObject) else bottom.spec.describe(bottom.config)
    above = top.value.description if isinstance(top, GivenObject) else top.spec.describe(top.config)
    layout = next((layout for layout in above.layouts if below.feature(layout)), None)
    if layout is None:
        emitted = tuple(feature.layout for feature in below.features)
        raise LayoutMismatch(top.label, above.layouts, bottom.label, emitted, _heads_for(catalog, below))
    if above.target == TargetKind.INPUTS and not below.can_mask:
        raise MaskingNotSupported(bottom.label, top.label, _heads_for(catalog, below))
    if below.mixes_examples and not above.supports_soft_labels:
        raise MixingNotSupported(bottom.label, top.label)
    if layout in below.moves_positions_in and above.target in PER_POSITION:
        raise AugmentationNotSupported(bottom.label, top.label, layout)
    return Composition(bottom, top, way, below, above, layout, build_strategy(way).plan(below, above))


def build_strategy(way: ResolvedComponent[StrategySpec] | GivenObject[Strategy]) -> Strategy:
    """Build a strategy, and first those that it is made of."""
    if isinstance(way, GivenObject):
        return way.value
    inner = () if way.spec.nested is None else (tuple(map(build_strategy, way.inner)),)
    strategy = way.spec.build(way.config, *inner)
    return strategy if way.adjustment == NO_OVERRIDES else OverriddenStrategy(strategy, way.adjustment)


def as_list(references: ComponentReference | Sequence[ComponentReference]) -> Sequence[ComponentReference]:
    """Let one name stand for a list of one."""
    return (references,) if isinstance(references, str | Mapping | ComponentRef) else references


def resolve(catalog: Catalog, kind: type[AnySpec], reference: ComponentReference) -> ResolvedComponent[AnySpec]:
    """Find a spec by name and read its settings.

    Raises:
        UnknownComponent, AmbiguousComponent, InvalidName: for the name.
        ConfigError: for the settings.
    """
    if not isinstance(reference, str | Mapping | ComponentRef):
        raise InvalidReference(kind.axis, reference)
    if isinstance(reference, ComponentRef):
        text, settings, base = reference.name, dict(reference.settings), reference.base
    else:
        settings = {} if isinstance(reference, str) else dict(reference)
        text, base = reference if isinstance(reference, str) else settings.pop("name", None), None
    if not isinstance(text, str):
        raise ConfigError(kind.axis, ("the setting 'name' is missing.",))
    name = parse_name(text)
    spec, source = catalog.find(kind, name)
    who = f"{kind.axis} '{spec.name}'"
    argument = spec.config.positional
    if name.argument is not None and kind is BackboneSpec and is_artifact(Path(name.argument)):
        base = name.argument
        settings = _settings_of(Path(base), spec, source, settings) | settings
    elif name.argument is not None:
        if argument is None:
            raise ConfigError(who, (f"it takes no argument after the colon, but was given '{name.argument}'.",))
        if settings.get(argument, name.argument) != name.argument:
            given = (
                f"the name says {argument} = '{name.argument}', the settings say '{settings[argument]}'; leave one out."
            )
            raise ConfigError(who, (given,))
        settings = {argument: name.argument} | settings
    config, adjustment = split_overrides(spec, parse_config(config_with_overrides(spec), settings, who))
    inner: tuple[ResolvedComponent[StrategySpec], ...] = ()
    if isinstance(spec, StrategySpec) and (field := spec.nested) is not None:
        inner = tuple(resolve(catalog, StrategySpec, choice) for choice in getattr(config, field))
        config = config.model_copy(update={field: tuple(one.choice() for one in inner)})
    return ResolvedComponent(spec, source, config, None if base is None else Path(base), adjustment, inner)


def _settings_of(folder: Path, spec: Spec, source: PluginSource, granted: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of the backbone that an artifact trained.

    Raises:
        InvalidArtifact: when it is damaged, its backbone is another one, or it asks for what only a person may grant.
    """
    manifest, _ = read_artifact(folder)
    trained = manifest.recipe.backbone
    if trained.name not in [f"{source.distribution}/{name}" for name in spec.names]:
        have = trained.name or trained.object
        raise InvalidArtifact(str(folder), f"its backbone is '{have}', so it cannot be the base of '{spec.name}'")
    check_consent(folder, spec, trained.settings, granted)
    return dict(trained.settings)


def check_consent(folder: Path, spec: Spec, settings: Mapping[str, Any], granted: Mapping[str, Any]) -> None:
    """Refuse an artifact that switches on what only a person may.

    Args:
        settings: what the artifact says.
        granted: what the person says.

    Raises:
        InvalidArtifact: naming the setting.
    """
    for key in sorted(spec.config.needs_consent):
        if settings.get(key) and not granted.get(key):
            advice = f'pass {spec.axis}={{"name": "{spec.name}", "{key}": True, …}} if you trust it'
            raise InvalidArtifact(str(folder), f"it asks for '{key}', which only you can grant: {advice}")


def check_recipe_consent(catalog: Catalog, path: Path, recipe: Recipe, granted: Iterable[str]) -> None:
    """Refuse the recipe of an artifact that switches on what only a person may. What a person wrote down is consent.

    Args:
        path: where the recipe was read.
        granted: dotted keys that a person has set since (``backbone.remote_code``), or the axis of a choice of theirs.

    Raises:
        InvalidArtifact: naming the setting.
    """
    if not is_artifact(path):
        return
    keys = tuple(granted)
    for kind, choice in ((BackboneSpec, recipe.backbone), (HeadSpec, recipe.head), (StrategySpec, recipe.strategy)):
        if kind.axis not in keys:
            chosen = resolve(catalog, kind, choice)
            own = {key.rpartition(".")[2]: True for key in keys if key.startswith(f"{kind.axis}.")}
            for one in chosen.every():
                check_consent(path, one.spec, one.config.model_dump(), own)


def build_head(composition: Composition) -> Head[Any]:
    """Give the head of a composition."""
    chosen = composition.head
    return chosen.value if isinstance(chosen, GivenObject) else chosen.spec.build(chosen.config)


def head_features(composition: Composition) -> FeatureDescription:
    """Describe the features that the head reads."""
    feature = composition.backbone_description.feature(composition.layout)
    assert feature is not None
    return feature


def class_name(thing: object) -> str:
    """Give the full name of a thing's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


@dataclass(eq=False)
class InvalidReference(TaskgraftError):
    """Something that is neither a name nor an object of the axis."""

    axis: str
    value: object

    def __str__(self) -> str:
        ways = "a name, or a dict with 'name' and settings"
        if self.axis in ("backbone", "head", "strategy"):
            ways = (
                f"a name, a dict with 'name' and settings, or an object of the class taskgraft.{self.axis.capitalize()}"
            )
        return f"The {self.axis} is {self.value!r:.60}, of the type {type(self.value).__name__}. Give {ways}."


@dataclass(eq=False)
class LayoutMismatch(TaskgraftError):
    """A head reads nothing that a backbone emits."""

    head: str
    reads: tuple[Layout, ...]
    backbone: str
    emits: tuple[Layout, ...]
    fitting: tuple[str, ...]

    def __str__(self) -> str:
        heads = f" ({', '.join(self.fitting)})" if self.fitting else ""
        emitted = " and ".join(self.emits)
        return (
            f"'{self.head}' reads {' or '.join(self.reads)} features, but '{self.backbone}' emits {emitted}.\n"
            f"Choose a head that reads {'one of those' if len(self.emits) > 1 else 'that'}{heads}, "
            f"or a backbone that emits {' or '.join(self.reads)}."
        )


@dataclass(eq=False)
class MaskingNotSupported(TaskgraftError):
    """A head that recovers hidden elements, and a backbone that can hide none."""

    backbone: str
    head: str
    fitting: tuple[str, ...]

    def __str__(self) -> str:
        heads = f" ({', '.join(self.fitting)})" if self.fitting else ""
        return (
            f"'{self.head}' recovers elements that are hidden from the backbone, but '{self.backbone}' cannot hide any.\n"
            "Choose a backbone that hides elements (some do by a setting: taskgraft show NAME), or a head that learns from a "
            f"target column{heads}."
        )


@dataclass(eq=False)
class MixingNotSupported(TaskgraftError):
    """Training examples that are mixed, and a head whose targets cannot be."""

    backbone: str
    head: str

    def __str__(self) -> str:
        return (
            f"'{self.backbone}' is to mix training examples with each other, but '{self.head}' takes no soft targets.\n"
            "Choose another way to vary them, or a head that does (classification)."
        )


@dataclass(eq=False)
class AugmentationNotSupported(TaskgraftError):
    """Training examples whose positions move, and a head with a target per position."""

    backbone: str
    head: str
    layout: Layout

    def __str__(self) -> str:
        return (
            f"'{self.backbone}' is to vary training examples so that their positions move, but '{self.head}' has a target per "
            f"position of {self.layout} features.\nChoose a way to vary them that keeps track of positions, or none."
        )


def _heads_for(catalog: Catalog, below: BackboneDescription) -> tuple[str, ...]:
    """Name the heads that a backbone could take."""
    fitting = []
    for spec, _ in catalog.specs(HeadSpec):
        if any(field.is_required() for field in spec.config.model_fields.values()):
            continue
        above = spec.describe(spec.config())
        if any(map(below.feature, above.layouts)) and (below.can_mask or above.target != TargetKind.INPUTS):
            fitting.append(spec.name)
    return tuple(fitting)
