"""Bottleneck adapters (Houlsby et al. 2019; Pfeiffer et al. 2021): train small networks inserted into a frozen backbone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from taskgraft.builtin.strategies.fine_tuning import last_parts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, FeatureDescription, HeadDescription, LayerRole, Part
from taskgraft.contract.plan import Insertion, Plan, Stage
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

if TYPE_CHECKING:
    from torch import nn

_STYLE_ROLES = {
    "houlsby": frozenset({LayerRole.ATTENTION_OUTPUT, LayerRole.FEED_FORWARD_OUT}),
    "pfeiffer": frozenset({LayerRole.FEED_FORWARD_OUT}),
}
"""Style → roles of the layers that it adapts, in a part that has such layers."""


class AdaptersConfig(Config):
    """Freeze the backbone; train small networks inserted behind its layers, and the head."""

    positional: ClassVar[str | None] = "style"

    style: Literal["houlsby", "pfeiffer"] = Field(
        default="pfeiffer",
        description="houlsby adapts the outputs of attention and feed-forward, pfeiffer only the latter. In a part without "
        "such layers both adapt all convolutions, or else all layers with a role; in a backbone without roles, whole parts",
    )
    reduction: int = Field(default=16, ge=1, description="features of a layer per feature of its bottleneck")
    last: int | None = Field(
        default=None, ge=1, description="number of parts that are adapted, counted from the output; all when left out"
    )
    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of the adapters, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


@dataclass(frozen=True)
class _Wrap:
    """Wraps a layer of a part, or the whole part, in a bottleneck adapter."""

    output: FeatureDescription
    reduction: int
    whole: bool

    def __call__(self, layer: "nn.Module") -> "nn.Module":
        from taskgraft.builtin.strategies.bottleneck_adapter import BottleneckAdapter

        return BottleneckAdapter(layer, self.output, self.reduction, whole=self.whole)


class Adapters(Strategy):
    """Train adapters in one stage."""

    def __init__(self, config: AdaptersConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        parts = last_parts("adapters", "last", self._config.last, backbone)
        feature = next(filter(None, map(backbone.feature, head.layouts)), None)
        unused = (*backbone.unused, *(feature.unused if feature else ()))
        if any(part.roles for part in parts):
            chosen = ((part, self._roles(part, unused)) for part in parts)
            insertions = tuple(self._insertion(part, roles) for part, roles in chosen if roles)
        else:
            insertions = tuple(self._insertion(part, None) for part in parts if part.module is not None)
        if not insertions:
            raise StrategyNotApplicable(
                f"'adapters' finds no layer to adapt: no layer of {', '.join(part.name for part in parts)} has a role, and no "
                "part is a single module. Choose 'partial' or 'full', or let the backbone declare the roles of its layers."
            )
        head_rate = self._config.head_learning_rate
        return (Stage("adapters", insertions=insertions, head_learning_rate=head_rate, cache_features=True),)

    def _roles(self, part: Part, unused: tuple[str, ...]) -> frozenset[LayerRole]:
        """Choose which roles to adapt in a part. A role of a layer that the features do not use is left out."""
        skipped = {
            role
            for path, role in part.roles.items()
            if any(f"{path}." in f"{other}." or path.startswith(f"{other}.") for other in unused)
        }
        available = frozenset(part.roles.values()) - skipped
        choices = (available & _STYLE_ROLES[self._config.style], available & {LayerRole.CONVOLUTION}, available)
        return next((roles for roles in choices if roles), frozenset())

    def _insertion(self, part: Part, roles: frozenset[LayerRole] | None) -> Insertion:
        wrap = _Wrap(part.output, self._config.reduction, whole=roles is None)
        return Insertion("adapter", (part.name,), roles, wrap, self._config.learning_rate)
