"""Settings of text backbones."""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from taskgraft.plugin import Config


class Pooling(StrEnum):
    """How the vectors of a text's pieces become one."""

    MEAN = "mean"
    CLS = "cls"
    LAST = "last"
    MAX = "max"


class Pair(StrEnum):
    """What becomes of a second text.

    ``together``: both go through the model as one input. ``apart``: each goes alone, and the features are
    (u, v, |u - v|, u * v). ``none``: there is no second text.
    """

    NONE = "none"
    TOGETHER = "together"
    APART = "apart"


class TextConfig(Config):
    """A text encoder or decoder of the transformers library."""

    positional: ClassVar[str | None] = "checkpoint"
    needs_consent: ClassVar[frozenset[str]] = frozenset({"remote_code"})

    checkpoint: str = Field(min_length=1, description="name on the hub, or folder")
    revision: str | None = Field(default=None, description="branch, tag or commit of the hub; the newest when left out")
    weights: Literal["pretrained", "random"] = Field(default="pretrained", description="read, or drawn at random")
    remote_code: bool = Field(default=False, description="let Python code that the checkpoint brings run")
    until: str | None = Field(default=None, description="last part to keep ('block.3'); all when left out")
    pooling: Pooling | None = Field(
        default=None,
        description="of vector features; as the checkpoint says, else last for decoders and mean for encoders",
    )
    normalize: bool | None = Field(
        default=None, description="scale vector features to length 1; as the checkpoint says when left out"
    )
    pair: Pair | None = Field(
        default=None,
        description="what becomes of a second text; apart for sentence-transformers folders, else together, when left out",
    )
    max_length: int | None = Field(
        default=None,
        ge=1,
        description="pieces per text, special ones counted; as many as the checkpoint takes when left out",
    )
    dtype: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="of the weights")
