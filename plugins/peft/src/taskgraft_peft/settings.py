"""Settings of the strategies."""

from typing import ClassVar

from pydantic import Field, model_validator

from taskgraft.plugin import Config, LayerRole


class AdapterConfig(Config):
    """What all of them have in common."""

    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of what is inserted, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class LayerConfig(AdapterConfig):
    """What those have in common that go around layers."""

    roles: tuple[LayerRole, ...] | None = Field(
        default=None,
        min_length=1,
        description="which layers, by what they do; when left out, those that suit the backbone",
    )
    last: int | None = Field(
        default=None, ge=1, description="only in this many parts, counted from the output; in all when left out"
    )

    @model_validator(mode="after")
    def _layers(self) -> "LayerConfig":
        if LayerRole.MODEL in (self.roles or ()):
            raise ValueError("the role 'model' is the model as a whole, not a layer of it; leave it out of 'roles'")
        return self


class LowRankConfig(LayerConfig):
    """A change of low rank beside each layer (LoRA, Hu et al. 2022)."""

    positional: ClassVar[str | None] = "rank"

    rank: int = Field(default=8, ge=1, description="of each change")
    alpha: float = Field(
        default=16.0, gt=0, description="the change is scaled by alpha / rank (rslora: by alpha / square root of rank)"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of what a change reads")


class Ia3Config(LayerConfig):
    """One factor for each feature that a layer gives, or that the last layer of a feed-forward reads (IA³, Liu et al. 2022)."""

    learning_rate: float = Field(default=1e-2, ge=0, description="peak rate of what is inserted, per step")


class AdaLoraConfig(LayerConfig):
    """Changes of low rank whose ranks are taken from the layers that need them least (AdaLoRA, Zhang et al. 2023)."""

    positional: ClassVar[str | None] = "rank"

    rank: int = Field(default=8, ge=1, description="of a change in the mean, at the end")
    first_rank: int | None = Field(
        default=None, ge=1, description="of each change at the start; one and a half times the last when left out"
    )
    alpha: float = Field(default=16.0, gt=0, description="the change is scaled by alpha / first rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of what a change reads")
    orthogonality: float = Field(
        default=0.5, ge=0, description="weight of how far the directions of a change are from orthogonal, in the loss"
    )
    warmup: float = Field(default=0.2, ge=0, lt=1, description="share of the steps before the first rank is taken")
    settled: float = Field(default=0.3, ge=0, lt=1, description="share of the steps after the last rank is taken")
    every: int = Field(default=5, ge=1, description="steps from one choice of ranks to the next")

    @model_validator(mode="after")
    def _fits(self) -> "AdaLoraConfig":
        if self.rank_at_first <= self.rank:
            raise ValueError(
                f"first_rank is {self.rank_at_first}, but must be more than rank, which is {self.rank}: ranks are taken away"
            )
        if self.warmup + self.settled >= 1:
            raise ValueError(
                f"warmup is {self.warmup:g} and settled is {self.settled:g}; together they must be less than 1"
            )
        return self

    @property
    def rank_at_first(self) -> int:
        """The rank of each change at the start."""
        return self.first_rank or max(self.rank + 1, self.rank * 3 // 2)


class VeraConfig(LayerConfig):
    """Changes through two random matrices that all layers share, scaled along their axes (VeRA, Kopiczko et al. 2024)."""

    positional: ClassVar[str | None] = "rank"

    learning_rate: float = Field(default=1e-2, ge=0, description="peak rate of what is inserted, per step")
    rank: int = Field(default=256, ge=1, description="of each change")
    scale: float = Field(default=0.1, gt=0, description="of the axis of rank at the start")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of what a change reads")
    seed: int = Field(default=0, ge=0, description="of the random matrices")


class FrontConfig(AdapterConfig):
    """Learned vectors in front of all elements."""

    positional: ClassVar[str | None] = "length"

    learning_rate: float = Field(default=1e-2, ge=0, description="peak rate of what is inserted, per step")
    length: int = Field(default=20, ge=1, description="how many")
