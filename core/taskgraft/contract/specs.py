"""What plugins return: frozen values that name an implementation and say how to make it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, TargetKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from taskgraft.contract.backbone import Backbone
    from taskgraft.contract.head import Head
    from taskgraft.contract.predictions import Predictions
    from taskgraft.contract.rows import Rows
    from taskgraft.contract.strategy import Strategy


@dataclass(frozen=True)
class Example:
    """What an implementation can be tried with on any machine: it needs no download and no file.

    Attributes:
        settings: those that have no default, and those whose default is too large to try or reads a checkpoint.
        rows: of a backbone, its inputs; of a head, its target columns, and the other columns that its description names.
            Four rows or more: inputs of different lengths where they have one, each label at least twice. None leaves a
            backbone untried, and lets a head be tried with targets that the conformance kit makes up.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: Columns | None = None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One implementation. ``build`` does the work; a spec itself does none.

    Attributes:
        name: lower-case words joined by hyphens; unique in its distribution, best unique everywhere.
        summary: one line for ``taskgraft list``.
        config: the settings that ``build`` reads.
        aliases: former names, by which recipes and artifacts still find it, with a warning.
        example: what ``taskgraft doctor`` and the conformance kit try it with.
    """

    axis: ClassVar[str]
    name: str
    summary: str
    config: type[Config]
    aliases: tuple[str, ...] = ()
    example: Example | None = field(default=None, hash=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which it is found, today's first."""
        return (self.name, *self.aliases)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Spec):
    """A backbone.

    Attributes:
        describe: settings → what this very backbone is. May read a checkpoint's configuration, never its weights.
        build: settings → the backbone, weights loaded.
        fit_config: settings and the training split's inputs → settings completed by what was learned from them (the columns
            of a table, their scales). None for a backbone that needs nothing from the data.
        build_on_meta: settings → the same backbone with the same layers but no weights, made on torch's meta device, with an
            ``example``. What a strategy inserts is tried on it when a model is composed. None leaves that to the first rows.
        licence: of the weights, when one licence holds for all of them.
    """

    axis: ClassVar[str] = "backbone"
    describe: Callable[[Any], BackboneDescription]
    build: "Callable[[Any], Backbone]"
    fit_config: Callable[[Any, Columns], Config] | None = None
    build_on_meta: "Callable[[Any], Backbone] | None" = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Spec):
    """A head: ``describe`` and ``build`` read settings of the class ``config``."""

    axis: ClassVar[str] = "head"
    describe: Callable[[Any], HeadDescription]
    build: "Callable[[Any], Head[Any]]"


@dataclass(frozen=True, kw_only=True)
class StrategySpec(Spec):
    """A strategy.

    Attributes:
        build: settings → the strategy; of one that is made of others, settings and those → the strategy.
        nested: the setting that names other strategies it is made of, as a tuple of :class:`taskgraft.contract.recipe.ComponentRef`.
    """

    axis: ClassVar[str] = "strategy"
    build: "Callable[..., Strategy]"
    nested: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(Spec):
    """A reader: file or folder → rows, bad rows named.

    Attributes:
        read: (path, settings) → rows. A row that cannot be used stands in ``Rows.invalid`` with its reason.
        suffixes: file endings it reads (".csv"); the longest one that fits a path wins. An empty one fits every file, and is
            taken where a user names the reader, never by itself.
        folder_patterns: patterns, as :meth:`pathlib.Path.glob` reads them. A folder in which one of them finds something is read by it.
        scheme: a word that stands before a colon where data are no file ("hub"); ``read`` is given what stands behind it.
    """

    axis: ClassVar[str] = "reader"
    read: "Callable[[Path, Any], Rows]"
    suffixes: tuple[str, ...] = ()
    folder_patterns: tuple[str, ...] = ()
    scheme: str | None = None


@dataclass(frozen=True, kw_only=True)
class SplitSpec(Spec):
    """A split: rows → parts of the data.

    Attributes:
        split: (rows, target columns, settings, seed) → row numbers by part. What is learned from is the part "train", what is
            chosen and judged by is "validation"; rows of other parts, and rows of none, are left out. Raises when it sees a
            leak.
        columns: settings → columns that say to which part a row belongs. They are read as inputs only where they are named.
    """

    axis: ClassVar[str] = "split"
    split: "Callable[[Rows, Sequence[str], Any, int], Mapping[str, Sequence[int]]]"
    columns: Callable[[Any], Sequence[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric, or several that are computed together.

    Attributes:
        targets: the kinds of target it can judge.
        build: (predictions, truth as the head's ``decode_targets`` gives it, the columns of the data, settings) → a judge, which is
            then asked for the numbers of many resamples of the rows.
        plot: (what ``build`` is given, and an empty folder) → the files that it wrote there, for whoever asks for figures. None
            for a metric that draws none.
        primary: the number that models are compared by where the user names none; left out, the first one.
        lower_is_better: the numbers that are better when they are lower.
    """

    axis: ClassVar[str] = "metric"
    targets: frozenset[TargetKind]
    build: "Callable[[Predictions, Sequence[Any], Columns, Any], MetricFunction]"
    plot: "Callable[[Predictions, Sequence[Any], Columns, Any, Path], Sequence[Path]] | None" = None
    primary: str | None = None
    lower_is_better: frozenset[str] = frozenset()


MetricFunction = Callable[["NDArray[np.int64]"], Mapping[str, float]]
"""Row numbers, ``(row,)`` int64, a row as often as it counts → numbers by name. What cannot be had is left out."""


@dataclass(frozen=True, kw_only=True)
class BaselineSpec(Spec):
    """A baseline: an honest rival, which learns from the same rows and is judged by the same metrics.

    Attributes:
        targets: the kinds of target it can predict.
        state: the class of what it learns; frozen and JSON, so that an artifact can hold it. None for what is no JSON: it is
            kept nowhere, and learned anew whenever a user asks for the baseline by its name.
        fit: (inputs of the training rows, their truth as the head's ``decode_targets`` gives it, settings) → what it learned.
        predict: (what it learned, inputs, the number of elements of each row, settings) → one prediction per row, in the words
            of the truth.
    """

    axis: ClassVar[str] = "baseline"
    targets: frozenset[TargetKind]
    state: type[Config] | None = None
    fit: Callable[[Columns, Sequence[Any], Any], Any]
    predict: "Callable[[Any, Columns, ElementCounts, Any], Predictions]"
