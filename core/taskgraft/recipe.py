"""The declarative description of a task model: backbone, head, strategy, data and training."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainSerializer, field_validator, model_validator

from taskgraft.contract.cell_formats import CellFormats, one_or_more
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import Config
from taskgraft.labels import by_label_key


class _DataSources(Config):
    """Training and validation data, and the columns that are read."""

    train: str | None = Field(default=None, description="file or folder of training rows, or hub:NAME")
    validation: str | None = Field(default=None, description="file or folder of validation rows")
    split: ComponentRef | None = Field(default=None, description="split that holds out validation rows: fraction:0.1")
    reader: ComponentRef | None = Field(default=None, description="reader of the files; default: found by their suffix")
    inputs: dict[str, str] | tuple[str, ...] = Field(
        default=(), description="input role → column, or columns in the order of the roles; default: matched by name"
    )
    target: tuple[str, ...] = Field(default=(), description="target columns")
    on_bad_row: Literal["error", "skip"] = Field(default="error", description="what to do with invalid rows")
    exclude: tuple[str, ...] = Field(default=(), description="columns that are never inputs")
    labels: dict[str, str] = Field(
        default={}, description="label as the data have it → label to use instead; empty: the label is missing"
    )

    _one_column = field_validator("inputs", "target", "exclude", mode="before")(one_or_more)
    _names_by_label = field_validator("labels", mode="before")(by_label_key)

    @property
    def columns(self) -> dict[str, str]:
        """Input role → column, once a fit has determined them."""
        assert isinstance(self.inputs, dict), "the columns of this recipe are not known yet"
        return self.inputs

    @model_validator(mode="after")
    def _check_one_validation(self) -> Self:
        if self.validation is not None and self.split is not None:
            raise ValueError("give validation rows by 'validation' or by 'split', not by both")
        return self


class DataConfig(CellFormats, _DataSources):
    """Training and validation data, the columns that are read, and what their cells mean."""


def _name_alone(reference: ComponentRef) -> Any:
    """Write a component without settings as its name."""
    return reference.name if reference == ComponentRef(name=reference.name) else reference.model_dump(mode="json")


NamedRef = Annotated[ComponentRef, PlainSerializer(_name_alone)]
"""A component that a recipe writes as a name where it has no settings."""


class TrainingConfig(Config):
    """Training arguments, for all stages."""

    epochs: int = Field(default=3, ge=1, le=100_000, description="passes over the training rows, if a stage sets none")
    steps: int | None = Field(default=None, ge=1, le=10**9, description="optimizer steps instead of epochs")
    batch_size: int = Field(default=32, ge=1, le=10**6, description="rows per step, over all processes")
    batch_elements: int | None = Field(
        default=None, ge=1, le=10**9, description="most elements per step, with padding; a longer row is its own batch"
    )
    micro_batch: int | None = Field(default=None, ge=1, le=10**6, description="rows per pass; gradients accumulate")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of all random choices")
    optimizer: NamedRef = Field(
        default=ComponentRef(name="adamw"), description="name of an optimizer, or a table with its name and settings"
    )
    schedule: NamedRef = Field(
        default=ComponentRef(name="linear"),
        description="name of a learning-rate schedule, or a table with its name and settings",
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which learning rates rise from 0")
    weight_decay: float = Field(default=0.01, ge=0, le=1e3, description="of the optimizer, on matrices alone")
    clip: float | None = Field(default=1.0, gt=0, description="clip gradients to this total norm")
    patience: int | None = Field(
        default=None, ge=1, le=10**5, description="epochs without a lower validation loss; then the best is restored"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="fp32", description="numeric precision of training; auto: the fastest safe one on the device"
    )
    checkpoint_every: int | None = Field(
        default=None, ge=1, le=10**9, description="steps between checkpoints, in addition to one after each epoch"
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        description="loader processes, 0 for none; default: one per core if preprocessing is on the fly, else 0",
    )
    memory: int = Field(default=1 << 30, ge=0, le=1 << 50, description="bytes of cached features held in memory")
    trackers: tuple[str, ...] = Field(default=(), description="trackers of accelerate: tensorboard, wandb, mlflow, …")

    _one_tracker = field_validator("trackers", mode="before")(one_or_more)


class Recipe(Config):
    """Backbone, head and strategy, with data and training arguments."""

    backbone: ComponentRef
    head: ComponentRef
    strategy: ComponentRef
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
