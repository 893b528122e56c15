"""What one very backbone or head is, known without its weights. Plain values; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Layout(StrEnum):
    """How features lie in memory. The axes of each are in :data:`AXES`."""

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
    """What a linear or convolutional layer does in its block. Strategies choose layers by role, never by name.

    ``model`` is no layer but the library's own model as a whole, from raw elements to a vector for each. It stands among the
    roles of the first part, for strategies that put something in front of all elements.
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
        feature_sizes: the length of the feature axis; one number, but for a pyramid one per level.
        ensemble_size: the length of the member axis of a vector, or None when it has none.
        strides: positions of the input per cell, along each axis; one number per level, for grid and pyramid; else empty.
        unused: dotted paths of what other layouts need and these features do not depend on.
        cacheable: whether what is computed on the way to them, and they themselves, may be stored. If not, as is right for what is
            much larger than what it is made of, no cut but 0 holds for them, and they are computed anew, a batch at a time.
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
    """One consecutive piece of a backbone.

    Attributes:
        name: unique in its backbone; what ``until`` and messages use.
        owns: dotted paths of modules, parameters or buffers. A path owns everything below it.
        output: what leaves this part.
        roles: dotted path of a linear or convolutional layer (or of the whole model) → what it does.
        output_module: dotted path of the module of this part that gives ``output``, first where it gives a tuple; None where no one
            module does. Need not be said of a part that owns one module and nothing else.
    """

    name: str
    owns: tuple[str, ...]
    output: FeatureDescription
    roles: Mapping[str, LayerRole] = field(default_factory=dict)
    output_module: str | None = None

    @property
    def module(self) -> str | None:
        """The dotted path of the module that gives what leaves this part, as far as one does."""
        return self.owns[0] if self.output_module is None and len(self.owns) == 1 else self.output_module

    def covers(self, path: str) -> bool:
        """Say whether this part owns the module or tensor at a dotted path."""
        return _covers(self.owns, path)

    def begins_with(self, path: str) -> bool:
        """Say whether what is inserted around the module at a dotted path acts in this part first."""
        return path in self.roles or self.covers(path)


@dataclass(frozen=True)
class InputField:
    """One input that a backbone reads: ``text``, ``image``, the second sentence of a pair.

    Attributes:
        files: whether a text there names a file. A relative path then starts at the folder of the data it stands in.
    """

    name: str
    required: bool = True
    files: bool = False


@dataclass(frozen=True)
class BackboneDescription:
    """What one very backbone is.

    Attributes:
        inputs: the named roles it reads, in order. Empty when it reads any number of columns (a table).
        features: the layouts it emits, the usual one first.
        parts: from input to output.
        cuts: the boundaries where the resume law holds: cut k lies before part k. 0 is always one.
        unused: dotted paths of what is built but does not reach the features.
        licence: of the weights, as their publisher states it, or None when unknown.
        mixes_examples: whether training examples are mixed with each other, so that the head must take soft targets.
        moves_positions_in: layouts in which training examples are varied so that a target per position no longer fits. Grid features
            that state their place fit as long as it says where everything went.
        can_mask: whether elements of its sequence can be hidden, so that a head may learn to recover them.
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
        """Find the description of one layout, or None when the backbone does not emit it."""
        return next((feature for feature in self.features if feature.layout == layout), None)

    def cuts_for(self, layout: Layout) -> tuple[int, ...]:
        """Give the cuts that hold for one layout."""
        feature = self.feature(layout)
        return self.cuts if feature is None or feature.cacheable else (0,)

    def part_of(self, path: str) -> Part | None:
        """Find the part that owns the tensor at a dotted path; None when it is declared unused or no part owns it."""
        if self.declares_unused(path):
            return None
        return next((part for part in self.parts if part.covers(path)), None)

    def declares_unused(self, path: str) -> bool:
        """Say whether the tensor at a dotted path is declared not to reach the features."""
        return _covers(self.unused, path)

    def leaves_out(self, layout: Layout, path: str) -> bool:
        """Say whether the tensor at a dotted path is declared not to reach the features of one layout."""
        feature = self.feature(layout)
        return self.declares_unused(path) or (feature is not None and _covers(feature.unused, path))


def _covers(paths: tuple[str, ...], path: str) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in paths)


class TargetKind(StrEnum):
    """What one row's target is. There is no target column for ``inputs``: what the backbone itself reads is recovered."""

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
    """What one very head is.

    Attributes:
        layouts: the layouts it can read, best first.
        target: the kind of target it learns.
        supports_soft_labels: whether a target may be a distribution over categories.
        supports_distillation: whether it can learn from soft targets that the same head of another model gives, and give them.
        convex: whether its loss is convex in its weights when the features are fixed, so that a solver may replace
            gradient descent.
        metrics: the metrics that judge it unless the user names others: names, or dicts of a ``name`` and settings.
        baselines: names of the baselines that it is compared with.
        files: whether a text in a target column names a file. A relative path then starts at the folder of the data it stands
            in.
        group_column: a column whose equal values belong together in the intervals, unless the user names another. Used where the
            judged rows have it.
        tunes: what it chooses by validation rows after training, in words ("a threshold"); empty when it chooses nothing.
        tuning_columns: the columns of those rows, beside the targets, that it chooses by, or that its metrics read.
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
