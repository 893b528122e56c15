"""Settings of protein backbones."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config


class SequenceConfig(Config):
    """How long sequences are read, which parts are kept, and the dtype of the weights."""

    max_length: int | None = Field(
        default=None, ge=1, description="residues per forward pass; the model's limit when left out"
    )
    long: Literal["refuse", "truncate", "windows"] = Field(
        default="refuse",
        description="what to do with a longer sequence: report an invalid row, truncate it, or read it in windows of "
        "max_length residues",
    )
    overlap: int | None = Field(
        default=None, ge=0, description="residues that neighbouring windows share; a quarter of a window when left out"
    )
    until: str | None = Field(default=None, description="last part to keep ('block.3'); all when left out")
    dtype: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="dtype of the weights")

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap is not None and self.long != "windows":
            raise ValueError("'overlap' is for long = \"windows\"")
        if None not in (self.overlap, self.max_length) and self.overlap >= self.max_length:  # type: ignore[operator]
            raise ValueError(f"windows of {self.max_length} residues cannot share {self.overlap}")
        return self


class ProteinConfig(SequenceConfig):
    """A protein language model of the transformers library: ESM, ProtBERT, ProtT5, Ankh and similar models."""

    positional: ClassVar[str | None] = "checkpoint"

    checkpoint: str = Field(min_length=1, description="name on the hub, or folder")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub; the newest when left out")
    weights: Literal["pretrained", "random"] = Field(
        default="pretrained", description="load the checkpoint's weights, or initialize at random"
    )


class NewEsmConfig(SequenceConfig):
    """An ESM-2 of any size with random weights, for pretraining with the head masked-elements. The default has 8 million."""

    blocks: int = Field(default=6, ge=1, le=100, description="number of blocks")
    feature_size: int = Field(default=320, ge=8, le=20_480, description="length of the feature axis")
    heads: int = Field(
        default=20, ge=1, description="attention heads per block; feature_size must be an even multiple of it"
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.feature_size % (2 * self.heads):
            raise ValueError(f"feature_size = {self.feature_size} is not an even multiple of heads = {self.heads}")
        return self
