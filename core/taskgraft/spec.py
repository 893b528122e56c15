"""What plugins return: frozen values that name an implementation and say how to make it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from taskgraft.config import Config
from taskgraft.description import BackboneDescription, HeadDescription, TargetKind

if TYPE_CHECKING:
    from taskgraft.backbone import Backbone
    from taskgraft.head import Head, Predictions
    from taskgraft.rows import Rows
    from taskgraft.strategy import Strategy

Columns = Mapping[str, Sequence[Any]]
"""Raw values by name (an input role, a column), each with one entry per row."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One implementation. ``build`` does the work; a spec itself does none.

    Attributes:
        name: lower-case words joined by hyphens; unique in its distribution, best unique everywhere.
        summary: one line for ``taskgraft list``.
        config: the settings that ``build`` reads.
    """

    axis: ClassVar[str]
    name: str
    summary: str
    config: type[Config]


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Spec):
    """A backbone.

    Attributes:
        describe: settings → what this very backbone is. May read a checkpoint's configuration, never its weights.
        build: settings → the backbone, weights loaded.
        learn: settings and the training split's inputs → settings completed by what was learned from them (the columns
            of a table, their scales). None for a backbone that needs nothing from the data.
        licence: of the weights, when one licence holds for all of them.
    """

    axis: ClassVar[str] = "backbone"
    describe: Callable[[Any], BackboneDescription]
    build: "Callable[[Any], Backbone]"
    learn: Callable[[Any, Columns], Config] | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Spec):
    """A head: ``describe`` and ``build`` read settings of the class ``config``."""

    axis: ClassVar[str] = "head"
    describe: Callable[[Any], HeadDescription]
    build: "Callable[[Any], Head[Any]]"


@dataclass(frozen=True, kw_only=True)
class StrategySpec(Spec):
    """A strategy."""

    axis: ClassVar[str] = "strategy"
    build: "Callable[[Any], Strategy]"


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(Spec):
    """A reader: file or folder → rows, bad rows named.

    Attributes:
        suffixes: file endings it reads (".csv"); the longest one that fits a path wins.
        read: (path, settings) → rows.
    """

    axis: ClassVar[str] = "reader"
    suffixes: tuple[str, ...]
    read: "Callable[[Path, Any], Rows]"


@dataclass(frozen=True, kw_only=True)
class SplitSpec(Spec):
    """A split: rows → parts of the data.

    Attributes:
        split: (rows, settings, seed) → row numbers by part ("train", "validation", "test"). Raises when it sees a leak.
    """

    axis: ClassVar[str] = "split"
    split: "Callable[[Rows, Any, int], Mapping[str, Sequence[int]]]"


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric, or several that are computed together.

    Attributes:
        targets: the kinds of target it can judge.
        compute: (predictions, truth as the head's ``truth`` gives it, the columns of the data, settings) → numbers by name.
    """

    axis: ClassVar[str] = "metric"
    targets: frozenset[TargetKind]
    compute: "Callable[[Predictions, Sequence[Any], Columns, Any], Mapping[str, float]]"


class Baseline(Protocol):
    """An honest rival, fitted on the same rows."""

    def fit(self, inputs: Columns, targets: Sequence[Any]) -> None:
        """Learn from the training split."""

    def predict(self, inputs: Columns) -> "Predictions":
        """Predict for new rows."""


@dataclass(frozen=True, kw_only=True)
class BaselineSpec(Spec):
    """A baseline: ``build`` makes one that is not yet fitted."""

    axis: ClassVar[str] = "baseline"
    targets: frozenset[TargetKind]
    build: Callable[[Any], Baseline]
