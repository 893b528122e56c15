"""Settings of protein backbones."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config


class SequenceConfig(Config):
    """What becomes of long sequences, and in which numbers a model computes."""

    max_length: int | None = Field(
        default=None, ge=1, description="residues that go through the model at once; as many as it takes when left out"
    )
    long: Literal["refuse", "truncate", "windows"] = Field(
        default="refuse",
        description="what becomes of a longer sequence: a bad row, cut off, or read in windows of that many residues",
    )
    overlap: int | None = Field(
        default=None, ge=0, description="residues that neighbouring windows share; a quarter of a window when left out"
    )
    until: str | None = Field(default=None, description="last part to keep ('block.3'); all when left out")
    dtype: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="of the weights")

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap is not None and self.long != "windows":
            raise ValueError("'overlap' is for long = \"windows\"")
        if None not in (self.overlap, self.max_length) and self.overlap >= self.max_length:  # type: ignore[operator]
            raise ValueError(f"windows of {self.max_length} residues cannot share {self.overlap}")
        return self


class ProteinConfig(SequenceConfig):
    """A protein language model of the transformers library: ESM, ProtBERT, ProtT5, Ankh and their kind."""

    positional: ClassVar[str | None] = "checkpoint"

    checkpoint: str = Field(min_length=1, description="name on the hub, or folder")
    revision: str | None = Field(default=None, description="branch, tag or commit of the hub; the newest when left out")
    weights: Literal["pretrained", "random"] = Field(default="pretrained", description="read, or drawn at random")


class NewEsmConfig(SequenceConfig):
    """An ESM-2 of any size with random weights, to be pretrained by the head masked-elements. It has 8 million at first."""

    blocks: int = Field(default=6, ge=1, le=100, description="number of blocks")
    feature_size: int = Field(default=320, ge=8, le=20_480, description="length of the feature axis")
    heads: int = Field(
        default=20, ge=1, description="of attention in each block; feature_size is an even multiple of it"
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.feature_size % (2 * self.heads):
            raise ValueError(f"feature_size = {self.feature_size} is no even multiple of heads = {self.heads}")
        return self
