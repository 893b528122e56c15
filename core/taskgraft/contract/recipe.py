"""The declarative description of a task model: backbone, head, strategy, data and training."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from taskgraft.contract.config import Config


class ComponentRef(Config):
    """One implementation and its settings.

    A recipe writes it as a name (``"partial:2"``), or as a name with settings (``{"name": "partial", "learn": 2}``, or
    the settings apart, under ``settings``). ``object`` stands there instead for something that was passed as an object,
    and names its class; such a recipe needs the object again to run.
    """

    name: str | None = None
    object: str | None = None
    settings: dict[str, Any] = {}
    base: str | None = Field(default=None, description="artifact whose trained backbone this one starts from")

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and (flat := {key: value[key] for key in value if key not in cls.model_fields}):
            apart = value.get("settings", {})
            known = {key: value[key] for key in value if key in cls.model_fields}
            return known | {"settings": {**apart, **flat}} if isinstance(apart, Mapping) else value
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string"}, written | {"additionalProperties": True}]}


def _as_list(value: Any) -> Any:
    """Let one name stand for a list of one."""
    return (value,) if isinstance(value, str) else value


class DataConfig(Config):
    """Where rows come from, which of them are held out, and which columns are read."""

    train: str | None = Field(default=None, description="file or folder of training rows, or hub:NAME")
    validation: str | None = Field(default=None, description="file or folder of rows to choose and judge by")
    split: ComponentRef | None = Field(default=None, description="how training rows are held out instead: fraction:0.1")
    reader: ComponentRef | None = Field(
        default=None, description="what reads the files; found by their suffix if left out"
    )
    inputs: dict[str, str] | tuple[str, ...] = Field(
        default=(), description="input role → column, or columns in the order of the roles; found by name if left out"
    )
    target: tuple[str, ...] = Field(default=(), description="target columns")
    on_bad_row: Literal["error", "skip"] = Field(default="error", description="what to do with a row that is unusable")

    _one_column = field_validator("inputs", "target", mode="before")(_as_list)

    @property
    def columns(self) -> dict[str, str]:
        """Give input role → column, once a fit has decided it."""
        assert isinstance(self.inputs, dict), "the columns of this recipe are not decided yet"
        return self.inputs

    def with_paths(self, path: Callable[[str], str]) -> Self:
        """Write the places of the rows in another way."""
        named = {"train": self.train, "validation": self.validation}
        return self.model_copy(update={key: path(value) for key, value in named.items() if value is not None})

    @model_validator(mode="after")
    def _held_out_once(self) -> Self:
        if self.validation is not None and self.split is not None:
            raise ValueError("rows are held out by 'validation' or by 'split', not by both")
        return self


class TrainingConfig(Config):
    """How stages are trained."""

    epochs: int = Field(
        default=3, ge=1, le=100_000, description="passes over the training rows, where a stage does not say"
    )
    steps: int | None = Field(default=None, ge=1, description="optimizer steps instead of epochs")
    batch_size: int = Field(default=32, ge=1, description="rows per step, over all processes")
    batch_elements: int | None = Field(
        default=None,
        ge=1,
        description="elements per step at most, padding counted, where rows differ in length; a longer row stands alone",
    )
    micro_batch: int | None = Field(
        default=None, ge=1, description="rows per pass; gradients are summed until batch_size is reached"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of every random choice")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="how rates fall to 0 after the warm-up; constant: not at all"
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which rates rise from 0")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, on matrices; never on biases and norms")
    clip: float | None = Field(default=1.0, gt=0, description="largest norm of all gradients together")
    patience: int | None = Field(
        default=None, ge=1, description="epochs without a lower validation loss before a stage stops at its best"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="fp32", description="arithmetic of training passes; auto: the fastest safe one of the device"
    )
    checkpoint_every: int | None = Field(
        default=None, ge=1, description="steps between checkpoints of a run; there is one after each epoch anyway"
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        description="processes that put batches together, 0 uses the main one; if left out, one per core where examples are "
        "prepared anew in each epoch, else 0",
    )
    memory: int = Field(
        default=1 << 30, ge=0, description="bytes of stored features kept in memory; more lies in files"
    )
    trackers: tuple[str, ...] = Field(default=(), description="trackers of accelerate: tensorboard, wandb, mlflow, …")

    _one_tracker = field_validator("trackers", mode="before")(_as_list)


class Recipe(Config):
    """What to graft onto what, how, and on which data."""

    backbone: ComponentRef
    head: ComponentRef
    strategy: ComponentRef
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
