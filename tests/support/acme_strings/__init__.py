"""A correct plugin with something for every hook. Tests of mistakes install it with one error."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from taskgraft.plugin import (
    BackboneDescription,
    BackboneSpec,
    BaselineSpec,
    Config,
    EmptyConfig,
    HeadDescription,
    HeadSpec,
    InputField,
    LayerRole,
    Layout,
    MetricSpec,
    OptimizerSpec,
    ParameterGroups,
    Part,
    ReaderSpec,
    Schedule,
    ScheduleSpec,
    SplitSpec,
    StrategySpec,
    TargetKind,
    hookimpl,
    sequence,
    vector,
)

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from acme_strings.backbone import Strings
    from acme_strings.head import Kinds
    from acme_strings.strategy import LastPart

TASKGRAFT_CONTRACT = "1.0"


class StringsConfig(Config):
    """An encoder of letters with random weights."""

    positional: ClassVar[str | None] = "feature_size"

    feature_size: int = Field(default=8, ge=2, description="length of the feature axis")


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    yield BackboneSpec(
        name="strings",
        summary="an encoder of letters with random weights",
        config=StringsConfig,
        describe=describe,
        build=build,
    )


def describe(config: StringsConfig) -> BackboneDescription:
    size = config.feature_size
    return BackboneDescription(
        inputs=(InputField("text"),),
        features=(sequence(size), vector(size)),
        parts=(
            Part("letters", ("letters", "shift"), sequence(size)),
            Part("mixing", ("mixing", "dropout"), sequence(size), {"mixing": LayerRole.FEED_FORWARD_IN}),
            Part("last", ("last",), sequence(size), {"last": LayerRole.FEED_FORWARD_OUT}),
        ),
        cuts=(0, 1, 2),
    )


def build(config: StringsConfig) -> "Strings":
    from acme_strings.backbone import Strings

    return Strings(config)


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    yield HeadSpec(
        name="kinds", summary="one label per row", config=EmptyConfig, describe=describe_kinds, build=build_kinds
    )


def describe_kinds(config: EmptyConfig) -> HeadDescription:
    return HeadDescription(layouts=(Layout.VECTOR,), target=TargetKind.CATEGORY)


def build_kinds(config: EmptyConfig) -> "Kinds":
    from acme_strings.head import Kinds

    return Kinds()


@hookimpl
def taskgraft_strategies() -> Iterable[StrategySpec]:
    yield StrategySpec(
        name="last-part", summary="train the last part, and a scale", config=EmptyConfig, build=build_last_part
    )


def build_last_part(config: EmptyConfig) -> "LastPart":
    from acme_strings.strategy import LastPart

    return LastPart()


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    from acme_strings.data import read

    yield ReaderSpec(
        name="pairs", summary="a label and a text per line", config=EmptyConfig, suffixes=(".pairs",), read=read
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    from acme_strings.data import split

    yield SplitSpec(name="tenth", summary="every tenth row is held out", config=EmptyConfig, split=split)


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    from acme_strings.data import build_errors

    targets = frozenset({TargetKind.CATEGORY})
    yield MetricSpec(
        name="errors",
        summary="share of wrong labels",
        config=EmptyConfig,
        targets=targets,
        build=build_errors,
        lower_is_better=frozenset({"errors"}),
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    from acme_strings.data import MostFrequent, fit, predict

    yield BaselineSpec(
        name="commonest",
        summary="the most frequent label",
        config=EmptyConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        state=MostFrequent,
        fit=fit,
        predict=predict,
    )


@hookimpl
def taskgraft_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec(name="signs", summary="steps by the sign", config=EmptyConfig, build=build_signs)


def build_signs(groups: ParameterGroups, config: EmptyConfig) -> "Optimizer":
    from acme_strings.descent import Signs

    return Signs(groups)


@hookimpl
def taskgraft_schedules() -> Iterable[ScheduleSpec]:
    yield ScheduleSpec(name="halves", summary="half the rate at the end", config=EmptyConfig, build=build_halves)


def build_halves(config: EmptyConfig) -> Schedule:
    return lambda step, steps: 1 - 0.5 * step / steps
