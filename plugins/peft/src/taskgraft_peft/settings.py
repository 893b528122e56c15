"""Settings of the strategies."""

from typing import ClassVar

from pydantic import Field, model_validator

from taskgraft.plugin import Config, LayerRole


class AdapterConfig(Config):
    """Settings of all strategies."""

    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of the inserted parameters, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class LayerConfig(AdapterConfig):
    """Settings of all strategies that wrap layers."""

    roles: tuple[LayerRole, ...] | None = Field(
        default=None,
        min_length=1,
        description="roles of the layers to wrap; chosen to fit the backbone when left out",
    )
    last: int | None = Field(
        default=None,
        ge=1,
        description="wrap layers of this many parts only, counted from the output; of all when left out",
    )

    @model_validator(mode="after")
    def _roles_of_layers(self) -> "LayerConfig":
        if LayerRole.MODEL in (self.roles or ()):
            raise ValueError("the role 'model' is the whole model, not a layer; remove it from 'roles'")
        return self


class LowRankConfig(LayerConfig):
    """A low-rank update of each layer (LoRA, Hu et al. 2022)."""

    positional: ClassVar[str | None] = "rank"

    rank: int = Field(default=8, ge=1, description="rank of each update")
    alpha: float = Field(
        default=16.0, gt=0, description="the update is scaled by alpha / rank (rslora: by alpha / square root of rank)"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the input of an update")


class Ia3Config(LayerConfig):
    """A factor per output feature of a layer, or per input feature of the last feed-forward layer (IA³, Liu et al. 2022)."""

    learning_rate: float = Field(default=1e-2, ge=0, description="peak rate of the inserted parameters, per step")


class AdaLoraConfig(LayerConfig):
    """Low-rank updates whose ranks are removed from the layers that need them least (AdaLoRA, Zhang et al. 2023)."""

    positional: ClassVar[str | None] = "rank"

    rank: int = Field(default=8, ge=1, description="mean rank of an update at the end")
    first_rank: int | None = Field(
        default=None, ge=1, description="rank of each update at the start; 1.5 times the final one when left out"
    )
    alpha: float = Field(default=16.0, gt=0, description="the update is scaled by alpha / first rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the input of an update")
    orthogonality: float = Field(
        default=0.5, ge=0, description="weight of the penalty on directions that are not orthogonal, in the loss"
    )
    warmup: float = Field(default=0.2, ge=0, lt=1, description="share of the steps before the first rank is removed")
    settled: float = Field(default=0.3, ge=0, lt=1, description="share of the steps after the last rank is removed")
    every: int = Field(default=5, ge=1, description="steps between two allocations of ranks")

    @model_validator(mode="after")
    def _fits(self) -> "AdaLoraConfig":
        if self.initial_rank <= self.rank:
            raise ValueError(
                f"first_rank is {self.initial_rank}, but must be more than rank, which is {self.rank}: ranks are removed"
            )
        if self.warmup + self.settled >= 1:
            raise ValueError(
                f"warmup is {self.warmup:g} and settled is {self.settled:g}; together they must be less than 1"
            )
        return self

    @property
    def initial_rank(self) -> int:
        """The rank of each update at the start."""
        return self.first_rank or max(self.rank + 1, self.rank * 3 // 2)


class VeraConfig(LayerConfig):
    """Updates by two random matrices that all layers share, with trained scales (VeRA, Kopiczko et al. 2024)."""

    positional: ClassVar[str | None] = "rank"

    learning_rate: float = Field(default=1e-2, ge=0, description="peak rate of the inserted parameters, per step")
    rank: int = Field(default=256, ge=1, description="rank of each update")
    scale: float = Field(default=0.1, gt=0, description="initial scale of the rank axis")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the input of an update")
    seed: int = Field(default=0, ge=0, description="seed of the random matrices")


class VirtualTokenConfig(AdapterConfig):
    """Trained virtual tokens before all elements."""

    positional: ClassVar[str | None] = "length"

    learning_rate: float = Field(default=1e-2, ge=0, description="peak rate of the inserted parameters, per step")
    length: int = Field(default=20, ge=1, description="number of virtual tokens")
