"""Settings of text backbones."""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from taskgraft.plugin import Config


class Pooling(StrEnum):
    """How the token vectors of a text are combined into one vector."""

    MEAN = "mean"
    CLS = "cls"
    LAST = "last"
    MAX = "max"


class Pair(StrEnum):
    """How a second text is read.

    ``together``: both texts are one input of the model. ``apart``: each text is an input of its own, and the features are
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
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub; the newest when left out")
    weights: Literal["pretrained", "random"] = Field(
        default="pretrained", description="load the checkpoint's weights, or initialize at random"
    )
    remote_code: bool = Field(default=False, description="run Python code that comes with the checkpoint")
    until: str | None = Field(default=None, description="last part to keep ('block.3'); all when left out")
    pooling: Pooling | None = Field(
        default=None,
        description="pooling of vector features; when left out, as the checkpoint says, else last for decoders and mean for "
        "encoders",
    )
    normalize: bool | None = Field(
        default=None, description="scale vector features to length 1; as the checkpoint says when left out"
    )
    pair: Pair | None = Field(
        default=None,
        description="how a second text is read; when left out, apart for sentence-transformers folders, else together",
    )
    max_length: int | None = Field(
        default=None,
        ge=1,
        description="tokens per text, special tokens included; the checkpoint's limit when left out",
    )
    dtype: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="dtype of the weights")
