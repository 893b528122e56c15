"""Settings of the table backbones, and what one learned about its columns; known without any heavy library."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from taskgraft.plugin import Config

Cycle = Literal["hour", "weekday", "yearday"]
Positive = Annotated[float, Field(gt=0)]


class NumberColumn(Config):
    """A column of numbers, with its scale in the training rows."""

    kind: Literal["number"] = "number"
    name: str
    mean: float = Field(description="of the present values, in the column's unit; 0 where numbers are read as they are")
    scale: Positive = Field(description="their standard deviation, in the column's unit; 1 where they are all alike")
    quantiles: tuple[float, ...] = Field(
        default=(),
        description="evenly spaced, the least and the largest included, in the column's unit; for quantile scaling",
    )
    sign: bool = Field(description="whether a sign tells that the value is missing")

    @property
    def size(self) -> int:
        """How many numbers a number becomes, the sign apart."""
        return 1


class CategoryColumn(Config):
    """A column of categories. A value that is none of them, as in every row rarer than asked for, is unknown."""

    kind: Literal["category"] = "category"
    name: str
    categories: tuple[str, ...] = Field(description="the most frequent first")
    sign: bool = Field(description="whether a missing value has a place of its own; else it is unknown")

    @property
    def size(self) -> int:
        """How many places there are: unknown, perhaps missing, and each category."""
        return 1 + self.sign + len(self.categories)


class TimeColumn(Config):
    """A column of times."""

    kind: Literal["time"] = "time"
    name: str
    cycles: tuple[Cycle, ...] = Field(description="each a sine and a cosine")
    first: str = Field(description="the earliest time in the training rows, ISO 8601, UTC")
    elapsed: bool = Field(description="whether days since then are read")
    mean: float = Field(description="of the days since then")
    scale: Positive = Field(description="standard deviation of the days since then; 1 where they are all alike")
    sign: bool = Field(description="whether a sign tells that the value is missing")

    @property
    def size(self) -> int:
        """How many numbers a time becomes, the sign apart."""
        return 2 * len(self.cycles) + self.elapsed


Column = Annotated[NumberColumn | CategoryColumn | TimeColumn, Field(discriminator="kind")]


class KindsConfig(Config):
    """What a table backbone and a baseline have in common."""

    columns: dict[str, Literal["number", "category", "time"]] = Field(
        default={}, description="what a column is, where that should not be inferred from the training rows"
    )


class TableConfig(KindsConfig):
    """What all table backbones have in common: how columns become numbers."""

    scaling: Literal["standard", "quantile", "none"] = Field(
        default="standard",
        description="of numbers: to mean 0 and standard deviation 1, to a normal distribution by their ranks, or as they are",
    )
    categories: int = Field(
        default=1000, ge=1, description="most categories of a column; those beyond, the rarer ones, are unknown"
    )
    least: int = Field(
        default=2, ge=1, description="rows in which a category must stand to be one; values rarer than that are unknown"
    )
    times: tuple[Literal["hour", "weekday", "yearday", "elapsed"], ...] = Field(
        default=("hour", "weekday", "yearday", "elapsed"),
        description="what is read of a time: where it stands in the day, week and year, and days since the first training row",
    )
    learned: tuple[Column, ...] | None = Field(
        default=None, description="what was learned about each column from the training rows; a fit writes it here"
    )

    @model_validator(mode="after")
    def _once(self) -> "TableConfig":
        names = [column.name for column in self.learned or ()]
        if len(set(names)) != len(names):
            raise ValueError("a column should stand in 'learned' once")
        return self


AnyTable = TypeVar("AnyTable", bound=TableConfig)


class FTTransformerConfig(TableConfig):
    """A Transformer over columns."""

    blocks: int = Field(default=3, ge=1, le=24, description="number of blocks")
    feature_size: int = Field(
        default=192, ge=1, description="length of the feature axis; a multiple of attention_heads"
    )
    attention_heads: int = Field(default=8, ge=1, description="heads of each attention")
    attention_dropout: float = Field(default=0.2, ge=0, lt=1, description="of the attention weights")
    feed_forward: Positive = Field(default=4 / 3, description="hidden size of the feed-forward, in feature sizes")
    feed_forward_dropout: float = Field(default=0.1, ge=0, lt=1, description="of the hidden feed-forward")
    residual_dropout: float = Field(default=0.0, ge=0, lt=1, description="of what each branch adds")
    hides: bool = Field(
        default=False,
        description="give every column a sign for a missing value, so that masked-elements can hide any element",
    )

    @model_validator(mode="after")
    def _divides(self) -> "FTTransformerConfig":
        if self.feature_size % self.attention_heads:
            raise ValueError(
                f"feature_size is {self.feature_size}, which {self.attention_heads} attention_heads do not divide"
            )
        return self


class TabularResNetConfig(TableConfig):
    """A residual network over all columns together."""

    blocks: int = Field(default=2, ge=1, le=24, description="number of blocks")
    feature_size: int = Field(default=192, ge=1, description="length of the feature axis")
    hidden: Positive = Field(default=2.0, description="hidden size of a block, in feature sizes")
    hidden_dropout: float = Field(default=0.15, ge=0, lt=1, description="of the hidden features of a block")
    residual_dropout: float = Field(default=0.0, ge=0, lt=1, description="of what each block adds")
    category_size: int = Field(default=16, ge=1, description="length of the embedding of a category")


class MlpPlrConfig(TableConfig):
    """A multilayer perceptron over periodic embeddings of the numbers."""

    blocks: int = Field(default=3, ge=1, le=24, description="number of layers")
    feature_size: int = Field(default=256, ge=1, description="length of the feature axis")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="of each layer")
    embedding_size: int = Field(default=24, ge=1, description="length of the embedding of a number")
    frequencies: int = Field(default=48, ge=1, description="of each number")
    frequency_scale: Positive = Field(
        default=0.1,
        description="standard deviation of the frequencies at the start, per standard deviation of a number",
    )
    category_size: int = Field(default=16, ge=1, description="length of the embedding of a category")


class TabMConfig(TableConfig):
    """An ensemble of multilayer perceptrons that share most of their weights."""

    members: int = Field(default=32, ge=1, description="multilayer perceptrons in the ensemble")
    blocks: int = Field(default=3, ge=1, le=24, description="layers of each")
    feature_size: int = Field(default=256, ge=1, description="length of the feature axis")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="of each layer")
