"""Settings, and the description that follows from them."""

from typing import Self

from pydantic import Field, model_validator
from taskgraft.plugin import BackboneDescription, Config, InputField, LayerRole, Part, sequence, vector

SMILES = "smiles"
"""The name of the backbone's input, and the usual name of a column of molecules."""


class SmilesTransformerConfig(Config):
    """A transformer over the tokens of canonical SMILES, initialized at random."""

    blocks: int = Field(default=4, ge=1, le=48, description="number of blocks")
    feature_size: int = Field(default=128, ge=2, le=4_096, description="length of the feature axis")
    heads: int = Field(default=4, ge=1, description="attention heads per block; must divide feature_size")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability")
    max_length: int = Field(default=512, ge=1, description="maximum tokens of a molecule; longer ones are invalid rows")
    randomised: bool = Field(
        default=False, description="write each training molecule as a different SMILES in each epoch"
    )
    seed: int = Field(default=0, ge=0, description="seed of the random weights")
    vocabulary: tuple[str, ...] = Field(default=(), description="tokens; taken from the training molecules if empty")

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.feature_size % self.heads or self.feature_size % 2:
            raise ValueError(f"feature_size = {self.feature_size} is odd, or not a multiple of heads = {self.heads}")
        return self


class ScaffoldConfig(Config):
    """Hold out whole scaffolds, the rarest first. Deterministic."""

    positional = "validation"

    validation: float = Field(gt=0, lt=1, description="share of the rows for validation")
    test: float = Field(default=0.0, ge=0, lt=1, description="share of the rows for a later test")
    column: str = Field(default=SMILES, min_length=1, description="column of the SMILES")

    @model_validator(mode="after")
    def _check_train_share(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation = {self.validation:g} and test = {self.test:g} leave no rows for training")
        return self


class MorganForestConfig(Config):
    """A forest over Morgan fingerprints, of fully grown trees on bootstrap samples."""

    trees: int = Field(default=500, ge=1, description="number of trees")
    radius: int = Field(default=2, ge=0, description="radius of the fingerprint around an atom, in bonds")
    bits: int = Field(default=2_048, ge=1, description="length of the fingerprint")


def describe(config: SmilesTransformerConfig) -> BackboneDescription:
    """Describe a transformer: its parts are the embedding and the blocks, with a cut before each and after the embedding."""
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
