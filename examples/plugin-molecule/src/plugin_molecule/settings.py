"""Settings, and the description that follows from them."""

from typing import Self

from pydantic import Field, model_validator
from taskgraft.plugin import BackboneDescription, Config, InputField, LayerRole, Part, sequence, vector

SMILES = "smiles"
"""The input role of the backbone, and the usual name of a column of molecules."""


class SmilesTransformerConfig(Config):
    """A transformer over the tokens of canonical SMILES. Its weights begin at random."""

    blocks: int = Field(default=4, ge=1, le=48, description="number of blocks")
    feature_size: int = Field(default=128, ge=2, le=4_096, description="length of the feature axis")
    heads: int = Field(default=4, ge=1, description="of attention in each block; feature_size is a multiple of it")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of values dropped in training")
    max_length: int = Field(default=512, ge=1, description="tokens of a molecule; one with more is a bad row")
    randomised: bool = Field(
        default=False, description="whether training reads each molecule in another writing in each epoch"
    )
    seed: int = Field(default=0, ge=0, description="of the random weights")
    vocabulary: tuple[str, ...] = Field(default=(), description="tokens; learned from the training molecules if empty")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.feature_size % self.heads or self.feature_size % 2:
            raise ValueError(f"feature_size = {self.feature_size} is odd, or no multiple of heads = {self.heads}")
        return self


class ScaffoldConfig(Config):
    """Hold out whole scaffolds. The commoner they are, the sooner they are learned from; no chance is in it."""

    positional = "validation"

    validation: float = Field(gt=0, lt=1, description="share of the rows to choose and judge by")
    test: float = Field(default=0.0, ge=0, lt=1, description="share of the rows that is left for a later judgement")
    column: str = Field(default=SMILES, min_length=1, description="holds the SMILES")

    @model_validator(mode="after")
    def _some_are_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation = {self.validation:g} and test = {self.test:g} leave nothing to learn from")
        return self


class MorganForestConfig(Config):
    """A forest over Morgan fingerprints, each tree grown to the end on rows drawn again."""

    trees: int = Field(default=500, ge=1, description="how many")
    radius: int = Field(default=2, ge=0, description="bonds around an atom that a part of the fingerprint sees")
    bits: int = Field(default=2_048, ge=1, description="length of the fingerprint")


def describe(config: SmilesTransformerConfig) -> BackboneDescription:
    """Describe a transformer: parts are the embedding and the blocks, and it can be resumed between all of them."""
    output = sequence(config.feature_size)
    blocks = tuple(
        Part(
            name=f"block-{number}",
            owns=(f"blocks.{number}", "norm") if number == config.blocks - 1 else (f"blocks.{number}",),
            output=output,
            roles={
                f"blocks.{number}.attention_in": LayerRole.FUSED,
                f"blocks.{number}.attention_out": LayerRole.ATTENTION_OUTPUT,
                f"blocks.{number}.feed_forward_in": LayerRole.FEED_FORWARD_IN,
                f"blocks.{number}.feed_forward_out": LayerRole.FEED_FORWARD_OUT,
            },
        )
        for number in range(config.blocks)
    )
    return BackboneDescription(
        inputs=(InputField(SMILES),),
        features=(vector(config.feature_size), output),
        parts=(Part("embedding", ("embedding", "dropout"), output), *blocks),
        cuts=tuple(range(config.blocks + 1)),
        can_mask=True,
    )
