"""Settings of the table backbones, with the columns they were fitted on; importing them imports no heavy library."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from taskgraft.plugin import Config

Cycle = Literal["hour", "weekday", "yearday"]
Positive = Annotated[float, Field(gt=0)]


class NumberColumn(Config):
    """A column of numbers, scaled by the training rows."""

    kind: Literal["number"] = "number"
    name: str
    mean: float = Field(description="of non-missing values, in the column's unit; 0 without scaling")
    scale: Positive = Field(description="standard deviation, in the column's unit; 1 if all values are equal")
    quantiles: tuple[float, ...] = Field(
        default=(),
        description="evenly spaced, from minimum to maximum, in the column's unit; for quantile scaling",
    )
    sign: bool = Field(description="whether the column has a missing indicator")

    @property
    def size(self) -> int:
        """Number of features, without the missing indicator."""
        return 1


class CategoryColumn(Config):
    """A column of categories. Any other value, such as a category too rare in training, is unknown."""

    kind: Literal["category"] = "category"
    name: str
    categories: tuple[str, ...] = Field(description="most frequent first")
    sign: bool = Field(description="whether a missing value has an index of its own; otherwise it is unknown")

    @property
    def size(self) -> int:
        """Number of category indices: unknown, missing if ``sign`` is set, and one per category."""
        return 1 + self.sign + len(self.categories)


class TimeColumn(Config):
    """A column of times."""

    kind: Literal["time"] = "time"
    name: str
    cycles: tuple[Cycle, ...] = Field(description="periods; each becomes a sine and a cosine")
    first: str = Field(description="the earliest time in the training rows, ISO 8601, UTC")
    elapsed: bool = Field(description="whether the days since then are a feature")
    mean: float = Field(description="of the days since then")
    scale: Positive = Field(description="standard deviation of the days since then; 1 if all are equal")
    sign: bool = Field(description="whether the column has a missing indicator")

    @property
    def size(self) -> int:
        """Number of features, without the missing indicator."""
        return 2 * len(self.cycles) + self.elapsed


Column = Annotated[NumberColumn | CategoryColumn | TimeColumn, Field(discriminator="kind")]


class ColumnKindsConfig(Config):
    """Settings that table backbones and baselines share."""

    columns: dict[str, Literal["number", "category", "time"]] = Field(
        default={}, description="kind of each listed column; the others are inferred from the training rows"
    )


class TableConfig(ColumnKindsConfig):
    """Settings that all table backbones share: how columns become features."""

    scaling: Literal["standard", "quantile", "none"] = Field(
        default="standard",
        description="of numbers: to mean 0 and standard deviation 1, by rank to a normal distribution, or none",
    )
    categories: int = Field(
        default=1000, ge=1, description="maximum number of categories per column; rarer ones are unknown"
    )
    least: int = Field(default=2, ge=1, description="minimum training rows of a category; rarer values are unknown")
    times: tuple[Literal["hour", "weekday", "yearday", "elapsed"], ...] = Field(
        default=("hour", "weekday", "yearday", "elapsed"),
        description="features of a time: position in the day, week and year, and days since the first training row",
    )
    learned: tuple[Column, ...] | None = Field(
        default=None, description="the columns as fitted on the training rows; a fit fills this in"
    )

    @model_validator(mode="after")
    def _check_unique(self) -> "TableConfig":
        names = [column.name for column in self.learned or ()]
        if len(set(names)) != len(names):
            raise ValueError("'learned' must list each column only once")
        return self


AnyTable = TypeVar("AnyTable", bound=TableConfig)


class FTTransformerConfig(TableConfig):
    """A Transformer over columns."""

    blocks: int = Field(default=3, ge=1, le=24, description="number of blocks")
    feature_size: int = Field(
        default=192, ge=1, description="length of the feature axis; a multiple of attention_heads"
    )
    attention_heads: int = Field(default=8, ge=1, description="attention heads per block")
    attention_dropout: float = Field(
        default=0.2, ge=0, lt=1, description="dropout probability of the attention weights"
    )
    feed_forward: Positive = Field(default=4 / 3, description="hidden size of the feed-forward, in feature sizes")
    feed_forward_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="dropout probability of the hidden feed-forward"
    )
    residual_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="dropout probability of the output of each residual branch"
    )
    hides: bool = Field(
        default=False,
        description="give every column a missing indicator, so that the head masked-elements can mask any of them",
    )

    @model_validator(mode="after")
    def _check_divisible(self) -> "FTTransformerConfig":
        if self.feature_size % self.attention_heads:
            raise ValueError(
                f"feature_size {self.feature_size} is not a multiple of {self.attention_heads} attention_heads"
            )
        return self


class TabularResNetConfig(TableConfig):
    """A residual network over all columns together."""

    blocks: int = Field(default=2, ge=1, le=24, description="number of blocks")
    feature_size: int = Field(default=192, ge=1, description="length of the feature axis")
    hidden: Positive = Field(default=2.0, description="hidden size of a block, in feature sizes")
    hidden_dropout: float = Field(
        default=0.15, ge=0, lt=1, description="dropout probability of the hidden features of a block"
    )
    residual_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="dropout probability of the output of each block"
    )
    category_size: int = Field(default=16, ge=1, description="length of the embedding of a category")


class MlpPlrConfig(TableConfig):
    """A multilayer perceptron over periodic embeddings of the numbers."""

    blocks: int = Field(default=3, ge=1, le=24, description="number of layers")
    feature_size: int = Field(default=256, ge=1, description="length of the feature axis")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability of each layer")
    embedding_size: int = Field(default=24, ge=1, description="length of the embedding of a number")
    frequencies: int = Field(default=48, ge=1, description="frequencies per number")
    frequency_scale: Positive = Field(
        default=0.1,
        description="initial standard deviation of the frequencies, per standard deviation of a number",
    )
    category_size: int = Field(default=16, ge=1, description="length of the embedding of a category")


class TabMConfig(TableConfig):
    """An ensemble of multilayer perceptrons that share most of their weights."""

    members: int = Field(default=32, ge=1, description="number of multilayer perceptrons in the ensemble")
    blocks: int = Field(default=3, ge=1, le=24, description="layers per member")
    feature_size: int = Field(default=256, ge=1, description="length of the feature axis")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability of each layer")
