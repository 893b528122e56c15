"""What the distribution acme-letters 1.0 provides: one of everything. Written for contract 1.0, and never changed since."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from taskgraft.plugin import (
    BackboneDescription,
    BackboneSpec,
    BaselineSpec,
    Columns,
    Config,
    ElementCounts,
    EmptyConfig,
    HeadDescription,
    HeadSpec,
    InputField,
    LayerRole,
    Layout,
    MetricFunction,
    MetricSpec,
    Part,
    ReaderSpec,
    SplitSpec,
    StrategySpec,
    TargetKind,
    hookimpl,
    sequence,
    vector,
)

if TYPE_CHECKING:
    from letters_1_0.model import Letters, Yes
    from letters_1_0.plan import Last
    from taskgraft.plugin import Predictions, Rows

TASKGRAFT_CONTRACT = "1.0"


class LettersConfig(Config):
    """Letters, embedded and mixed. What is learned from the training split is empty until then."""

    positional: ClassVar[str | None] = "feature_size"

    feature_size: int = Field(ge=1, description="length of the feature axis")
    seed: int = Field(default=0, ge=0, description="of the random weights")
    letters: str = Field(default="", description="those of the training texts")


class YesConfig(Config):
    """Whether a row is of one kind."""

    yes: str = Field(default="yes", description="the label of that kind")


class LastConfig(Config):
    """Train the last part and the head."""

    learning_rate: float = Field(default=0.01, gt=0, description="per step")


class TabsConfig(Config):
    """Texts and labels with a sign between."""

    sign: str = Field(default="\t", min_length=1)


class EveryConfig(Config):
    """Hold out every n-th row."""

    positional: ClassVar[str | None] = "every"

    every: int = Field(ge=2, description="rows from one held out to the next")


class Commonest(Config):
    """The label that most training rows have."""

    label: str


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    yield BackboneSpec(
        name="old-letters",
        summary="letters, embedded and mixed",
        config=LettersConfig,
        describe=describe_letters,
        build=_letters,
        fit_config=learn_letters,
        licence="Apache-2.0",
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    return [HeadSpec(name="old-yes", summary="yes or no", config=YesConfig, describe=describe_yes, build=_yes)]


@hookimpl
def taskgraft_strategies() -> Iterable[StrategySpec]:
    yield StrategySpec(name="old-last", summary="the last part and the head", config=LastConfig, build=_last)


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    yield ReaderSpec(name="old-tabs", summary="text, tab, label", config=TabsConfig, read=_read, suffixes=(".tabs",))


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    yield SplitSpec(name="old-every", summary="every n-th row is held out", config=EveryConfig, split=split)


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    kinds = frozenset({TargetKind.CATEGORY})
    yield MetricSpec(name="old-right", summary="share of right labels", config=EmptyConfig, targets=kinds, build=judge)


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    yield BaselineSpec(
        name="old-commonest",
        summary="always the commonest label",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        state=Commonest,
        fit=learn_commonest,
        predict=predict_commonest,
    )


def describe_letters(config: LettersConfig) -> BackboneDescription:
    output = sequence(config.feature_size)
    mixing = Part("mixing", ("mixing",), output, {"mixing": LayerRole.FEED_FORWARD_IN})
    return BackboneDescription(
        inputs=(InputField("text"),),
        features=(vector(config.feature_size), output),
        parts=(Part("letters", ("embedding",), output), mixing),
        cuts=(0, 1),
        licence="Apache-2.0",
        can_mask=True,
    )


def describe_yes(config: YesConfig) -> HeadDescription:
    return HeadDescription(
        layouts=(Layout.VECTOR,), target=TargetKind.CATEGORY, metrics=("old-right",), baselines=("old-commonest",)
    )


def learn_letters(config: LettersConfig, inputs: Columns) -> LettersConfig:
    letters = "".join(sorted({letter for text in inputs["text"] for letter in text or ""}))
    return config if config.letters else config.model_copy(update={"letters": letters})


def split(
    rows: "Rows", targets: Sequence[str], config: EveryConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    held = range(config.every - 1, len(rows), config.every)
    return {"train": [row for row in range(len(rows)) if row not in held], "validation": list(held)}


def judge(predictions: "Predictions", truth: Sequence[Any], columns: Columns, settings: EmptyConfig) -> MetricFunction:
    right = np.array([label == goal for label, goal in zip(predictions.values, truth, strict=True)], dtype=np.float64)
    return lambda rows: {"old_right": float(right[rows].mean())} if len(rows) else {}


def learn_commonest(inputs: Columns, truth: Sequence[Any], settings: EmptyConfig) -> Commonest:
    return Commonest(label=max(sorted(set(truth)), key=list(truth).count))


def predict_commonest(
    learned: Commonest, inputs: Columns, elements: ElementCounts, settings: EmptyConfig
) -> "Predictions":
    from taskgraft.plugin import Predictions

    return Predictions([learned.label] * len(inputs["text"]))


def _letters(config: LettersConfig) -> "Letters":
    from letters_1_0.model import Letters

    return Letters(config)


def _yes(config: YesConfig) -> "Yes":
    from letters_1_0.model import Yes

    return Yes(config)


def _last(config: LastConfig) -> "Last":
    from letters_1_0.plan import Last

    return Last(config)


def _read(path: Path, config: TabsConfig) -> "Rows":
    from letters_1_0.reader import read

    return read(path, config)
