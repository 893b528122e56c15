"""Descriptions of one particular backbone or head, available without its weights. Plain values; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Layout(StrEnum):
    """The arrangement of features in memory. :data:`AXES` lists the axes of each."""

    VECTOR = "vector"
    SEQUENCE = "sequence"
    GRID = "grid"
    PYRAMID = "pyramid"
    PAIR = "pair"


AXES: Mapping[Layout, str] = {
    Layout.VECTOR: "(batch, feature), or (batch, member, feature) for an ensemble inside one backbone",
    Layout.SEQUENCE: "(batch, element, feature), with a mask (batch, element)",
    Layout.GRID: "(batch, feature, height, width)",
    Layout.PYRAMID: "several grids at rising strides, finest first",
    Layout.PAIR: "(batch, element, element, feature), with a mask (batch, element)",
}


class LayerRole(StrEnum):
    """The function of a linear or convolutional layer in its block. Strategies choose layers by role, never by name.

    ``model`` is not a layer but the library's model as a whole, from raw elements to a vector for each. It is listed in the
    first part, and used by prompt and prefix tuning.
    """

    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    FUSED = "fused"
    ATTENTION_OUTPUT = "attention-output"
    FEED_FORWARD_IN = "feed-forward-in"
    FEED_FORWARD_OUT = "feed-forward-out"
    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise"
    MODEL = "model"


@dataclass(frozen=True)
class FeatureDescription:
    """One layout that a backbone emits.

    Attributes:
        feature_sizes: length of the feature axis: one number; for a pyramid, one per level.
        ensemble_size: length of the member axis of a vector, or None when it has none.
        strides: input positions per cell along each axis, for grid and pyramid, one per level; else empty.
        unused: dotted paths of modules that other layouts need and these features do not depend on.
        cacheable: whether these features and the states at the cuts before them may be cached. Use False when they are much
            larger than the inputs: their only cut is then 0, and they are recomputed batch by batch.
    """

    layout: Layout
    feature_sizes: tuple[int, ...]
    ensemble_size: int | None = None
    strides: tuple[int, ...] = ()
    unused: tuple[str, ...] = ()
    cacheable: bool = True

    @property
    def feature_size(self) -> int:
        """The length of the feature axis (of the coarsest level, for a pyramid)."""
        return self.feature_sizes[-1]


def vector(feature_size: int, members: int | None = None) -> FeatureDescription:
    """Describe vector features."""
    return FeatureDescription(Layout.VECTOR, (feature_size,), members)


def sequence(feature_size: int) -> FeatureDescription:
    """Describe sequence features."""
    return FeatureDescription(Layout.SEQUENCE, (feature_size,))


@dataclass(frozen=True)
class Part:
    """One section of a backbone; the sections follow each other from input to output.

    Attributes:
        name: unique in its backbone; used by the setting ``until`` and in messages.
        owns: dotted paths of modules, parameters or buffers. A path owns everything below it.
        output: the features that this part outputs.
        roles: dotted path of a linear or convolutional layer (or of the whole model) → its role.
        output_module: dotted path of the module of this part that returns ``output``, as the first item if it returns a tuple;
            None where no single module does. May be left out for a part that owns exactly one module.
    """

    name: str
    owns: tuple[str, ...]
    output: FeatureDescription
    roles: Mapping[str, LayerRole] = field(default_factory=dict)
    output_module: str | None = None

    @property
    def module(self) -> str | None:
        """The dotted path of the module that returns this part's output, if a single one does."""
        return self.owns[0] if self.output_module is None and len(self.owns) == 1 else self.output_module

    def covers(self, path: str) -> bool:
        """Tell whether this part owns the module or tensor at a dotted path."""
        return _covers(self.owns, path)

    def begins_with(self, path: str) -> bool:
        """Tell whether this is the first part affected by an insertion around the module at a dotted path."""
        return path in self.roles or self.covers(path)


@dataclass(frozen=True)
class InputField:
    """One input that a backbone reads: ``text``, ``image``, the second sentence of a pair.

    Attributes:
        files: whether a text in this input names a file. A relative path then starts at the folder of the data.
    """

    name: str
    required: bool = True
    files: bool = False


@dataclass(frozen=True)
class BackboneDescription:
    """The properties of one particular backbone.

    Attributes:
        inputs: the named inputs it reads, in order. Empty when it reads any number of columns (a table).
        features: the layouts it emits, the default first.
        parts: from input to output.
        cuts: the boundaries where the cut law holds: cut k is before part k. They always include 0.
        unused: dotted paths of modules or tensors that exist but do not affect the features.
        licence: of the weights, as their publisher states it, or None when unknown.
        mixes_examples: whether training examples are mixed with each other (mixup), so that the head must support soft labels.
        moves_positions_in: layouts in which augmentation moves positions, so that a target per position no longer fits. Grid
            features with a geometry still fit, since it states where every position moved to.
        can_mask: whether elements of its sequence can be masked, so that a head can be trained to recover them.
    """

    inputs: tuple[InputField, ...]
    features: tuple[FeatureDescription, ...]
    parts: tuple[Part, ...]
    cuts: tuple[int, ...] = (0,)
    unused: tuple[str, ...] = ()
    licence: str | None = None
    mixes_examples: bool = False
    moves_positions_in: frozenset[Layout] = frozenset()
    can_mask: bool = False

    def feature(self, layout: Layout) -> FeatureDescription | None:
        """Return the description of one layout, or None when the backbone does not emit it."""
        return next((feature for feature in self.features if feature.layout == layout), None)

    def cuts_for(self, layout: Layout) -> tuple[int, ...]:
        """Return the cuts that hold for one layout."""
        feature = self.feature(layout)
        return self.cuts if feature is None or feature.cacheable else (0,)

    def part_of(self, path: str) -> Part | None:
        """Return the part that owns the tensor at a dotted path; None when it is declared unused or no part owns it."""
        if self.declares_unused(path):
            return None
        return next((part for part in self.parts if part.covers(path)), None)

    def declares_unused(self, path: str) -> bool:
        """Tell whether the tensor at a dotted path is declared not to affect the features."""
        return _covers(self.unused, path)

    def leaves_out(self, layout: Layout, path: str) -> bool:
        """Tell whether the tensor at a dotted path is declared not to affect the features of one layout."""
        feature = self.feature(layout)
        return self.declares_unused(path) or (feature is not None and _covers(feature.unused, path))


def _covers(paths: tuple[str, ...], path: str) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in paths)


class TargetKind(StrEnum):
    """The form of a row's target. ``inputs`` has no target column: the head recovers masked elements of the inputs."""

    CATEGORY = "category"
    CATEGORIES = "categories"
    NUMBERS = "numbers"
    ELEMENT_CATEGORIES = "element-categories"
    GRID_CATEGORIES = "grid-categories"
    PAIR_CATEGORIES = "pair-categories"
    INPUTS = "inputs"


PER_ELEMENT = frozenset({TargetKind.ELEMENT_CATEGORIES, TargetKind.PAIR_CATEGORIES})
"""Kinds of target that a row states as a list with an entry per element."""


@dataclass(frozen=True)
class HeadDescription:
    """The properties of one particular head.

    Attributes:
        layouts: the layouts it can read, the preferred one first.
        target: the kind of target it predicts.
        supports_soft_labels: whether a target may be a distribution over categories.
        supports_distillation: whether it can be trained on soft labels of the same head of another model, and provide them.
        convex: whether its loss is convex in its weights for fixed features, so that a solver can replace gradient descent.
        metrics: the default metrics: names, or dicts of a ``name`` and settings.
        baselines: names of the default baselines.
        files: whether a text in a target column names a file. A relative path then starts at the folder of the data.
        group_column: a column whose equal values are resampled together in confidence intervals, where the evaluated rows
            have it and the user names no other.
        tunes: what it tunes on validation rows after training, in words ("a threshold"); empty for nothing.
        tuning_columns: columns of those rows, besides the targets, that the tuning or its metrics read.
        loss_over_batch: whether its loss compares rows of the batch with each other, so that it is no sum over rows.
        separator: what separates the labels of a row where they are one text, for the target kind ``categories``; empty if the
            head splits such texts itself.
    """

    layouts: tuple[Layout, ...]
    target: TargetKind
    supports_soft_labels: bool = False
    supports_distillation: bool = False
    convex: bool = False
    metrics: tuple[str | Mapping[str, Any], ...] = ()
    baselines: tuple[str, ...] = ()
    files: bool = False
    group_column: str | None = None
    tunes: str = ""
    tuning_columns: tuple[str, ...] = ()
    separator: str = ""
    loss_over_batch: bool = False
