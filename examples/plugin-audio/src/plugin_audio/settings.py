"""Settings, and the description that follows from them."""

from typing import Self

from pydantic import Field, model_validator
from taskgraft.plugin import BackboneDescription, Config, InputField, LayerRole, Layout, Part, sequence, vector

AUDIO = "audio"
"""The name of the backbone's input, and of the column that the reader makes."""


class MelNetworkConfig(Config):
    """Two convolutions and attention blocks over a log-mel spectrogram, initialized at random or from a checkpoint."""

    checkpoint: str | None = Field(
        default=None, description="folder with model.safetensors, as export writes it; random weights if null"
    )
    feature_size: int = Field(default=64, ge=2, le=4_096, description="length of the feature axis; even")
    blocks: int = Field(default=2, ge=1, le=48, description="number of attention blocks")
    heads: int = Field(default=4, ge=1, description="attention heads per block; must divide feature_size")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability")
    seed: int = Field(default=0, ge=0, description="seed of the random weights")
    sample_rate: int = Field(
        default=16_000, ge=4_000, le=192_000, description="rate that sounds are converted to, in hertz"
    )
    bands: int = Field(default=64, ge=8, le=256, description="mel bands")
    max_seconds: float = Field(
        default=10.0, ge=0.1, le=600, description="maximum length in seconds; the rest of a longer sound is not used"
    )
    gain: float = Field(default=0.0, ge=0, le=40, description="augmentation: largest change of loudness, in decibels")
    shift: float = Field(default=0.0, ge=0, le=600, description="augmentation: largest shift in time, in seconds")
    noise: float = Field(
        default=0.0, ge=0, le=1, description="augmentation: largest amplitude of white noise, as a share of full scale"
    )
    masks: float = Field(
        default=0.0, ge=0, lt=1, description="augmentation: largest share of the time, and of the bands, that is masked"
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.feature_size % self.heads or self.feature_size % 2:
            raise ValueError(f"feature_size = {self.feature_size} is odd, or not a multiple of heads = {self.heads}")
        return self


def describe(config: MelNetworkConfig) -> BackboneDescription:
    """Describe the network: its parts are the convolutions and the blocks, with a cut before each."""
    output = sequence(config.feature_size)
    blocks = tuple(
        Part(
            name=f"block-{number}",
            owns=(f"blocks.{number}", "norm") if number == config.blocks - 1 else (f"blocks.{number}",),
            output=output,
            roles={
                f"blocks.{number}.query": LayerRole.QUERY,
                f"blocks.{number}.key": LayerRole.KEY,
                f"blocks.{number}.value": LayerRole.VALUE,
                f"blocks.{number}.attention_out": LayerRole.ATTENTION_OUTPUT,
                f"blocks.{number}.feed_forward_in": LayerRole.FEED_FORWARD_IN,
                f"blocks.{number}.feed_forward_out": LayerRole.FEED_FORWARD_OUT,
            },
        )
        for number in range(config.blocks)
    )
    convolutions = Part(
        name="convolutions",
        owns=("first", "second"),
        output=output,
        roles={"first.convolution": LayerRole.CONVOLUTION, "second.convolution": LayerRole.CONVOLUTION},
    )
    return BackboneDescription(
        inputs=(InputField(AUDIO, files=True),),
        features=(vector(config.feature_size), output),
        parts=(convolutions, *blocks),
        cuts=tuple(range(config.blocks + 1)),
        moves_positions_in=frozenset({Layout.SEQUENCE}) if config.shift else frozenset(),
    )
