"""Compose a backbone, a head and a strategy, and check that they fit together before any weight is read."""

from dataclasses import dataclass
from typing import Any

from taskgraft.composition.resolve import (
    ComponentReference,
    CompositionError,
    GivenObject,
    ResolvedComponent,
    resolve,
)
from taskgraft.composition.strategy_overrides import NO_OVERRIDES, OverriddenStrategy
from taskgraft.contract.backbone import Backbone
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
from taskgraft.contract.specs import BackboneSpec, HeadSpec, StrategySpec
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.recipe import Recipe

PER_POSITION = PER_ELEMENT | {TargetKind.GRID_CATEGORIES}
"""Kinds of target with one value per position of the features."""


@dataclass(frozen=True)
class Composition:
    """A backbone, a head and a strategy that fit together.

    Attributes:
        layout: of the features that the head reads; one of those that the backbone emits.
        plan: the stages of training.
        dry_run_done: whether the plan's insertions have passed a dry run (:mod:`taskgraft.adaptation.dry_run`).
    """

    backbone: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]
    head: ResolvedComponent[HeadSpec] | GivenObject[Head[Any]]
    strategy: ResolvedComponent[StrategySpec] | GivenObject[Strategy]
    backbone_description: BackboneDescription
    head_description: HeadDescription
    layout: Layout
    plan: Plan
    dry_run_done: bool = False

    def sources(self) -> tuple[PluginSource, ...]:
        """List the distributions that provide the components given by name."""
        resolved = [one for one in (self.backbone, self.head, self.strategy) if isinstance(one, ResolvedComponent)]
        return tuple(dict.fromkeys(component.source for one in resolved for component in one.with_nested()))

    def to_recipe(self) -> Recipe:
        """Write the three components into a recipe without data."""
        return Recipe(backbone=self.backbone.to_ref(), head=self.head.to_ref(), strategy=self.strategy.to_ref())


def compose_components(
    catalog: Catalog,
    backbone: ComponentReference | Backbone,
    head: ComponentReference | Head[Any],
    strategy: ComponentReference | Strategy,
) -> Composition:
    """Resolve the three components and check that they fit together. Reads at most a checkpoint's configuration.

    Raises:
        CompositionError: when the head reads no layout that the backbone emits, the backbone cannot mask elements for the head,
            or the head does not support its augmentation.
        StrategyNotApplicable: when the strategy does not apply to the backbone or the head.
        TaskgraftError: for an unknown name or an invalid setting, as :func:`taskgraft.composition.resolve.resolve` does.
    """
    return combine(
        catalog,
        GivenObject(backbone) if isinstance(backbone, Backbone) else resolve(catalog, BackboneSpec, backbone),
        GivenObject(head) if isinstance(head, Head) else resolve(catalog, HeadSpec, head),
        GivenObject(strategy) if isinstance(strategy, Strategy) else resolve(catalog, StrategySpec, strategy),
    )


def combine(
    catalog: Catalog,
    backbone: ResolvedComponent[BackboneSpec] | GivenObject[Backbone],
    head: ResolvedComponent[HeadSpec] | GivenObject[Head[Any]],
    strategy: ResolvedComponent[StrategySpec] | GivenObject[Strategy],
) -> Composition:
    """Describe resolved components and check that they fit together. Raises as :func:`compose_components` does."""
    emits = backbone.value.description if isinstance(backbone, GivenObject) else backbone.spec.describe(backbone.config)
    reads = head.value.description if isinstance(head, GivenObject) else head.spec.describe(head.config)
    layout = next((layout for layout in reads.layouts if emits.feature(layout)), None)
    if layout is None:
        needed, emitted = " or ".join(reads.layouts), " and ".join(feature.layout for feature in emits.features)
        raise CompositionError(
            f"'{head.label}' reads {needed} features, but '{backbone.label}' emits {emitted}.\n"
            f"Choose a head that reads {'one of those' if len(emits.features) > 1 else 'that'}"
            f"{_list_matching_heads(catalog, emits)}, or a backbone that emits {needed}."
        )
    if reads.target == TargetKind.INPUTS and not emits.can_mask:
        raise CompositionError(
            f"'{head.label}' predicts masked elements, but '{backbone.label}' does not support masking.\n"
            "Choose a backbone that does (some have a setting for it: taskgraft show NAME), or a head that is trained on a "
            f"target column{_list_matching_heads(catalog, emits)}."
        )
    if emits.mixes_examples and not reads.supports_soft_labels:
        raise CompositionError(
            f"'{backbone.label}' mixes training examples (mixup), but '{head.label}' does not support soft labels.\n"
            "Choose another augmentation, or a head that supports them (classification)."
        )
    if layout in emits.moves_positions_in and reads.target in PER_POSITION:
        raise CompositionError(
            f"The augmentation of '{backbone.label}' moves positions, but '{head.label}' has a target per position of "
            f"{layout} features.\nChoose an augmentation that moves the targets along, or none."
        )
    plan = build_strategy(strategy).plan(emits, reads)
    return Composition(backbone, head, strategy, emits, reads, layout, plan)


def build_strategy(chosen: ResolvedComponent[StrategySpec] | GivenObject[Strategy]) -> Strategy:
    """Build a strategy, after those nested in it."""
    if isinstance(chosen, GivenObject):
        return chosen.value
    nested = () if chosen.spec.nested is None else (tuple(map(build_strategy, chosen.nested)),)
    strategy = chosen.spec.build(chosen.config, *nested)
    return strategy if chosen.overrides == NO_OVERRIDES else OverriddenStrategy(strategy, chosen.overrides)


def build_head(composition: Composition) -> Head[Any]:
    """Build the head of a composition."""
    chosen = composition.head
    return chosen.value if isinstance(chosen, GivenObject) else chosen.spec.build(chosen.config)


def head_features(composition: Composition) -> FeatureDescription:
    """Describe the features that the head reads."""
    feature = composition.backbone_description.feature(composition.layout)
    assert feature is not None
    return feature


def _list_matching_heads(catalog: Catalog, backbone: BackboneDescription) -> str:
    """List the installed heads that fit a backbone with their default settings, in brackets."""
    names = []
    for spec, _ in catalog.specs(HeadSpec):
        if any(field.is_required() for field in spec.config.model_fields.values()):
            continue
        head = spec.describe(spec.config())
        if any(map(backbone.feature, head.layouts)) and (backbone.can_mask or head.target != TargetKind.INPUTS):
            names.append(spec.name)
    return f" ({', '.join(names)})" if names else ""
