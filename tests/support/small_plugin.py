"""A plugin of four small backbones: their settings and descriptions. The modules are in ``backbones.py``."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import (
    BackboneDescription,
    FeatureDescription,
    InputField,
    LayerRole,
    Layout,
    Part,
    sequence,
    vector,
)
from taskgraft.contract.hooks import hookimpl
from taskgraft.contract.specs import BackboneSpec

if TYPE_CHECKING:
    from backbones import Pairs, Pictures, Table, Words

TASKGRAFT_CONTRACT = "1.0"

WORDS_SIZE, TABLE_SIZE, PAIRS_SIZE = 16, 8, 8


class WordsConfig(Config):
    """A small encoder over words."""

    seed: int = 0
    blocks: int = Field(default=2, ge=1, description="attention blocks")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of values dropped in training")


class PicturesConfig(Config):
    """A small convolutional network over one channel."""

    seed: int = 0
    side: int = Field(default=8, ge=4, multiple_of=4, description="pixels per side")


class TableConfig(Config):
    """A small ensemble over columns of numbers. Columns, means and scales are fitted to the training split."""

    seed: int = 0
    members: int = Field(default=3, ge=1)
    columns: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()


class PairsConfig(Config):
    """A small network over pairs of letters."""

    seed: int = 0


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    yield BackboneSpec(
        name="small-words",
        summary="a small encoder over words",
        config=WordsConfig,
        describe=describe_words,
        build=_words,
    )
    yield BackboneSpec(
        name="small-pictures",
        summary="a small convolutional network",
        config=PicturesConfig,
        describe=describe_pictures,
        build=_pictures,
    )
    yield BackboneSpec(
        name="small-table",
        summary="a small ensemble over columns of numbers",
        config=TableConfig,
        describe=describe_table,
        build=_table,
        fit_config=learn_table,
    )
    yield BackboneSpec(
        name="small-pairs",
        summary="a small network over pairs of letters",
        config=PairsConfig,
        describe=describe_pairs,
        build=_pairs,
    )


def describe_words(config: WordsConfig) -> BackboneDescription:
    output = sequence(WORDS_SIZE)
    blocks = tuple(
        Part(
            name=f"block-{number}",
            owns=(f"blocks.{number}", "norm") if number == config.blocks - 1 else (f"blocks.{number}",),
            output=output,
            roles={
                f"blocks.{number}.query": LayerRole.QUERY,
                f"blocks.{number}.key": LayerRole.KEY,
                f"blocks.{number}.value": LayerRole.VALUE,
                f"blocks.{number}.attention_output": LayerRole.ATTENTION_OUTPUT,
                f"blocks.{number}.feed_forward_in": LayerRole.FEED_FORWARD_IN,
                f"blocks.{number}.feed_forward_out": LayerRole.FEED_FORWARD_OUT,
            },
        )
        for number in range(config.blocks)
    )
    return BackboneDescription(
        inputs=(InputField("text"),),
        features=(vector(WORDS_SIZE), sequence(WORDS_SIZE)),
        parts=(Part("embedding", ("embedding", "embedding_norm", "frequencies"), output), *blocks),
        cuts=tuple(range(config.blocks + 1)),
        licence="Apache-2.0",
        can_mask=True,
    )


def describe_pictures(config: PicturesConfig) -> BackboneDescription:
    def grid(feature_size: int, stride: int) -> FeatureDescription:
        return FeatureDescription(Layout.GRID, (feature_size,), strides=(stride,))

    return BackboneDescription(
        inputs=(InputField("image"),),
        features=(vector(16), grid(16, 4), FeatureDescription(Layout.PYRAMID, (8, 16), strides=(2, 4))),
        parts=(
            Part("stem", ("stem",), grid(8, 1), {"stem.convolution": LayerRole.CONVOLUTION}),
            Part(
                "middle",
                ("middle",),
                grid(8, 2),
                {"middle.depthwise": LayerRole.DEPTHWISE, "middle.pointwise": LayerRole.CONVOLUTION},
            ),
            Part("last", ("last",), grid(16, 4), {"last.convolution": LayerRole.CONVOLUTION}),
        ),
        cuts=(0, 1, 2),
    )


def describe_table(config: TableConfig) -> BackboneDescription:
    return BackboneDescription(
        inputs=(),
        features=(vector(TABLE_SIZE, config.members),),
        parts=(
            Part("columns", ("columns",), vector(TABLE_SIZE), {"columns": LayerRole.FEED_FORWARD_IN}),
            Part(
                "ensemble",
                ("scale", "shared", "shift", "dropout"),
                vector(TABLE_SIZE, config.members),
                {"shared": LayerRole.FEED_FORWARD_OUT},
            ),
        ),
        cuts=(0, 1),
    )


def learn_table(config: TableConfig, inputs: Columns) -> TableConfig:
    """Complete the settings with the columns, and the mean and standard deviation of each."""
    means, scales = [], []
    for values in inputs.values():
        read = [number for number in map(number_in, values) if number is not None]
        mean = sum(read) / len(read)
        means.append(mean)
        scales.append(math.sqrt(sum((number - mean) ** 2 for number in read) / len(read)) or 1.0)
    learned = {"columns": tuple(inputs), "means": tuple(means), "scales": tuple(scales)}
    return config.model_copy(update=learned)


def number_in(value: Any) -> float | None:
    """Parse a finite number; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def describe_pairs(config: PairsConfig) -> BackboneDescription:
    output = FeatureDescription(Layout.PAIR, (PAIRS_SIZE,))
    return BackboneDescription(
        inputs=(InputField("letters"),),
        features=(output, vector(PAIRS_SIZE)),
        parts=(
            Part("letters", ("letters", "left", "right"), output),
            Part(
                "mixing",
                ("mixing_in", "mixing_out"),
                output,
                {"mixing_in": LayerRole.FEED_FORWARD_IN, "mixing_out": LayerRole.FEED_FORWARD_OUT},
            ),
        ),
        cuts=(0, 1),
    )


def _words(config: WordsConfig) -> "Words":
    from backbones import Words

    return Words(config)


def _pictures(config: PicturesConfig) -> "Pictures":
    from backbones import Pictures

    return Pictures(config)


def _table(config: TableConfig) -> "Table":
    from backbones import Table

    return Table(config)


def _pairs(config: PairsConfig) -> "Pairs":
    from backbones import Pairs

    return Pairs(config)
