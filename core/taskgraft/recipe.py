"""The declarative description of a task model: backbone, head, strategy, data and training."""

from typing import Any, Literal

from pydantic import Field

from taskgraft.config import Config


class Choice(Config):
    """One implementation and its settings.

    ``name`` is written as the grammar of names says, without an argument. ``object`` stands there instead for something
    that was passed as an object, and names its class; such a recipe needs the object again to run.
    """

    name: str | None = None
    object: str | None = None
    settings: dict[str, Any] = {}
    base: str | None = Field(default=None, description="artifact whose trained backbone this one starts from")


class DataConfig(Config):
    """Which columns are read."""

    inputs: dict[str, str] = Field(default={}, description="input role (or column) → column")
    target: tuple[str, ...] = Field(default=(), description="target columns")


class TrainingConfig(Config):
    """How stages are trained."""

    epochs: int = Field(
        default=3, ge=1, le=100_000, description="passes over the training rows, where a stage does not say"
    )
    batch_size: int = Field(default=32, ge=1, description="rows per step, over all processes")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of every random choice")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which rates rise from 0")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, on matrices; never on biases and norms")
    clip: float | None = Field(default=1.0, gt=0, description="largest norm of all gradients together")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="arithmetic of training passes")
    workers: int = Field(default=0, ge=0, description="processes that put batches together; 0 uses the main one")
    memory: int = Field(
        default=1 << 30, ge=0, description="bytes of stored features kept in memory; more lies in files"
    )


class Recipe(Config):
    """What to graft onto what, how, and on which data."""

    backbone: Choice
    head: Choice
    strategy: Choice
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
