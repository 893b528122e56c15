"""Settings of the backbone and of the reader."""

from typing import Literal, Self

from pydantic import Field, model_validator
from taskgraft.plugin import Config


class PatchTSTSettings(Config):
    """PatchTST with random weights of any size, or from a checkpoint, whose sizes then apply."""

    checkpoint: str | None = Field(
        default=None, description="folder or hub name of a PatchTST checkpoint; random weights if null"
    )
    channels: tuple[str, ...] = Field(
        default=("series",),
        min_length=1,
        description="inputs of the model, each a channel with a list of numbers per row",
    )
    scaling: Literal["row", "training"] = Field(
        default="row",
        description="standardize each row by its own mean and deviation, as PatchTST does, or by those of the training rows",
    )
    context_length: int = Field(default=128, ge=2, le=100_000, description="values used of each channel, the last ones")
    patch_length: int = Field(default=16, ge=1, description="values of a patch; less than context_length")
    stride: int | None = Field(default=None, ge=1, description="values between patches; half of patch_length if null")
    feature_size: int = Field(default=64, ge=2, le=4_096, description="features of each channel; even")
    blocks: int = Field(default=3, ge=1, le=48, description="number of blocks")
    heads: int = Field(default=4, ge=1, description="attention heads per block; must divide feature_size")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability")
    norm: Literal["batchnorm", "layernorm"] = Field(default="batchnorm", description="norms of the blocks")
    seed: int = Field(default=0, ge=0, description="seed of the random weights")
    means: tuple[float, ...] = Field(default=(), description="mean of each channel; from the training rows if empty")
    deviations: tuple[float, ...] = Field(
        default=(), description="standard deviation of each channel; from the training rows if empty"
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.feature_size % self.heads or self.feature_size % 2:
            raise ValueError(f"feature_size = {self.feature_size} is odd, or not a multiple of heads = {self.heads}")
        if self.patch_length >= self.context_length:
            raise ValueError(
                f"patch_length = {self.patch_length} is not less than context_length = {self.context_length}"
            )
        if len(set(self.channels)) < len(self.channels):
            raise ValueError(f"channels = {list(self.channels)} names a channel twice")
        if {len(self.means), len(self.deviations)} not in ({0}, {len(self.channels)}):
            raise ValueError("means and deviations have one number per channel, or none")
        return self


class LongTableConfig(Config):
    """A table with a line per measurement: which series, when, and values."""

    id: str = Field(min_length=1, description="column that names the series")
    time: str = Field(min_length=1, description="column with the time of the measurement, a number")
    values: tuple[str, ...] = Field(
        min_length=1,
        description="columns with measurements; each becomes a list per series. Others are constant in a series",
    )
    step: float | None = Field(
        default=None, gt=0, description="time between measurements; gaps then become missing values. Any times if null"
    )
