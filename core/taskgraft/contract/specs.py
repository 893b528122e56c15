"""What plugins return: frozen values that name an implementation and describe how to build it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from taskgraft.contract.columns import Columns, ElementCounts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, TargetKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.optim import Optimizer

    from taskgraft.contract.backbone import Backbone
    from taskgraft.contract.head import Head
    from taskgraft.contract.plan import ParameterGroups, Schedule
    from taskgraft.contract.predictions import Predictions
    from taskgraft.contract.rows import Rows
    from taskgraft.contract.strategy import Strategy


@dataclass(frozen=True)
class Example:
    """Settings and rows for trying an implementation on any machine: no download, no file.

    Attributes:
        settings: values for settings without a default, or whose default is too large to try or reads a checkpoint.
        rows: for a backbone, its inputs; for a head, its target columns and the other columns that its description names. At
            least four rows: inputs of different lengths if they have one, each label at least twice. With None, a backbone
            is not tried, and a head is tried with targets that the conformance kit makes up.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: Columns | None = None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One implementation. ``build`` does the work; a spec itself does none.

    Attributes:
        name: lower-case words joined by hyphens; unique in its distribution, ideally everywhere.
        summary: one line for ``taskgraft list``.
        config: the class of the settings.
        aliases: former names, which still work in recipes and artifacts, with a warning.
        example: used by ``taskgraft doctor`` and the conformance kit to try it.
    """

    axis: ClassVar[str]
    name: str
    summary: str
    config: type[Config]
    aliases: tuple[str, ...] = ()
    example: Example | None = field(default=None, hash=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, then its aliases."""
        return (self.name, *self.aliases)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Spec):
    """A backbone.

    Attributes:
        describe: settings → the description of this backbone. May read a checkpoint's configuration, never its weights.
        build: settings → the backbone, weights loaded.
        fit_config: settings and the inputs of the training split → settings completed from them (the columns of a table, their
            scales). None for a backbone that fits nothing to the data.
        build_on_meta: settings → the same backbone with the same layers but no weights, on torch's meta device, with an
            ``example_batch``. A strategy's insertions are tried on it when a model is composed; with None, on the first rows.
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
        build: settings → the strategy; with ``nested``, settings and a tuple of the nested strategies → the strategy.
        nested: the setting that names other strategies that it consists of: a ``ComponentRef``, or a tuple of them.
    """

    axis: ClassVar[str] = "strategy"
    build: "Callable[..., Strategy]"
    nested: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(Spec):
    """A reader: file or folder → rows, with invalid rows named.

    Attributes:
        read: (path, settings) → rows. A row that cannot be used is listed in ``Rows.invalid`` with its reason.
        suffixes: file endings it reads (".csv"); the longest that matches a path wins. An empty one matches every file, but
            only when the user names the reader.
        folder_patterns: patterns for :meth:`pathlib.Path.glob`. It reads a folder in which one of them matches something.
        scheme: a prefix for data that are not files (``hub:NAME``); ``read`` is given the text after the colon.
        read_columns: (path, settings, columns) → the same rows for prediction, which needs these columns alone: what only
            brings others (a table of labels) need not exist. None if ``read`` needs no such thing.
    """

    axis: ClassVar[str] = "reader"
    read: "Callable[[Path, Any], Rows]"
    suffixes: tuple[str, ...] = ()
    folder_patterns: tuple[str, ...] = ()
    scheme: str | None = None
    read_columns: "Callable[[Path, Any, Collection[str]], Rows] | None" = None


@dataclass(frozen=True, kw_only=True)
class SplitSpec(Spec):
    """A split: rows → training and validation rows.

    Attributes:
        split: (rows, target columns, settings, seed) → "train" and "validation" → row numbers. Rows under any other name, and
            rows that are not listed, are left out. Raises when it detects a leak.
        columns: settings → the columns that determine the split. They are inputs only if the user names them as such.
    """

    axis: ClassVar[str] = "split"
    split: "Callable[[Rows, Sequence[str], Any, int], Mapping[str, Sequence[int]]]"
    columns: Callable[[Any], Sequence[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric, or several that are computed together.

    Attributes:
        targets: the kinds of target it evaluates.
        build: (predictions, targets from the head's ``decode_targets``, the columns of the data, settings) → a function that
            computes the values for many resamples of the rows.
        plot: (the arguments of ``build``, and an empty folder) → the figure files that it wrote there. None for a metric
            without figures.
        primary: the value that models are compared by unless the user names another; if left out, the first one.
        lower_is_better: the values that are better when lower.
        descriptive: the values that alone do not say which of two models is better, such as the share of alerts.
        positive: (predictions, settings) → the values that are about one class, each with its label. None if there are none.
    """

    axis: ClassVar[str] = "metric"
    targets: frozenset[TargetKind]
    build: "Callable[[Predictions, Sequence[Any], Columns, Any], MetricFunction]"
    plot: "Callable[[Predictions, Sequence[Any], Columns, Any, Path], Sequence[Path]] | None" = None
    primary: str | None = None
    lower_is_better: frozenset[str] = frozenset()
    descriptive: frozenset[str] = frozenset()
    positive: "Callable[[Predictions, Any], Mapping[str, Any]] | None" = None


MetricFunction = Callable[["NDArray[np.int64]"], Mapping[str, float]]
"""Row numbers, ``(row,)`` int64, repeated as in the resample → values by name. Undefined ones are left out."""


@dataclass(frozen=True, kw_only=True)
class BaselineSpec(Spec):
    """A baseline: a simple predictor, fitted on the same rows and evaluated with the same metrics.

    Attributes:
        targets: the kinds of target it can predict.
        state: the class of its fitted state; frozen and JSON, so that an artifact can hold it. None for a state that is not
            JSON: it is never saved, and fitted again whenever a user asks for the baseline by name.
        fit: (inputs of the training rows, their targets from the head's ``decode_targets``, settings) → the fitted state.
        predict: (the fitted state, inputs, the number of elements of each row, settings) → one prediction per row, in the
            form of those targets.
    """

    axis: ClassVar[str] = "baseline"
    targets: frozenset[TargetKind]
    state: type[Config] | None = None
    fit: Callable[[Columns, Sequence[Any], Any], Any]
    predict: "Callable[[Any, Columns, ElementCounts, Any], Predictions]"


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Spec):
    """An optimizer.

    Attributes:
        build: (parameter groups, settings) → the optimizer. Each group is a dict for ``torch.optim``: ``params``, the peak
            ``lr`` and the ``weight_decay``. What it remembers is in its ``state_dict``: tensors, numbers, lists and dicts.
    """

    axis: ClassVar[str] = "optimizer"
    build: "Callable[[ParameterGroups, Any], Optimizer]"


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Spec):
    """A learning-rate schedule: ``build`` returns a pure function of the step."""

    axis: ClassVar[str] = "schedule"
    build: "Callable[[Any], Schedule]"
