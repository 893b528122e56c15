"""Bottleneck adapters (Houlsby et al. 2019; Pfeiffer et al. 2021): small networks learn beside a frozen backbone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, FeatureDescription, HeadDescription, LayerRole, Part
from taskgraft.contract.plan import Insertion, Plan, Stage
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

if TYPE_CHECKING:
    from torch import nn

ADAPTER = "adapter"
"""The name of the insertion."""

WISHES = {
    "houlsby": frozenset({LayerRole.ATTENTION_OUTPUT, LayerRole.FEED_FORWARD_OUT}),
    "pfeiffer": frozenset({LayerRole.FEED_FORWARD_OUT}),
}
"""The roles of the layers that each style adapts, where a part has such."""


class AdaptersConfig(Config):
    """Keep the backbone; train small networks that stand behind its layers, and the head."""

    positional: ClassVar[str | None] = "style"

    style: Literal["houlsby", "pfeiffer"] = Field(
        default="pfeiffer",
        description="houlsby adapts what attention and what feed-forward give, pfeiffer the latter. In a part without such "
        "layers both adapt every convolution, or else whatever layers have a role; in a backbone without roles whole parts",
    )
    reduction: int = Field(default=16, ge=1, description="features of a layer per feature of its bottleneck")
    last: int | None = Field(default=None, ge=1, description="how many parts, counted from the output; all if left out")
    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of the adapters, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


@dataclass(frozen=True)
class _Wrap:
    """Puts a bottleneck around a layer of a part, or around the part as a whole."""

    output: FeatureDescription
    reduction: int
    whole: bool

    def __call__(self, layer: "nn.Module") -> "nn.Module":
        from taskgraft.builtin.strategies.bottleneck_adapter import BottleneckAdapter

        return BottleneckAdapter(layer, self.output, self.reduction, whole=self.whole)


class Adapters(Strategy):
    """Adapters learn in one stage."""

    def __init__(self, config: AdaptersConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        parts = self._parts(backbone)
        layout = next((layout for layout in head.layouts if backbone.feature(layout)), None)
        feature = backbone.feature(layout) if layout else None
        left_out = (*backbone.unused, *(feature.unused if feature else ()))
        roles = {part.name: self._roles(part, left_out) for part in parts}
        if any(part.roles for part in parts):
            insert = tuple(self._around(part, roles[part.name]) for part in parts if roles[part.name])
        else:
            insert = tuple(self._around(part, None) for part in parts if part.module is not None)
        if not insert:
            raise StrategyNotApplicable(
                f"'adapters' finds nothing to stand around: no layer of {', '.join(part.name for part in parts)} has a role, "
                "and of none one module gives what leaves it. Choose 'partial' or 'full', or let the backbone say "
                "the roles of its layers."
            )
        return (
            Stage(
                "adapters", insertions=insert, head_learning_rate=self._config.head_learning_rate, cache_features=True
            ),
        )

    def _parts(self, backbone: BackboneDescription) -> tuple[Part, ...]:
        last, count = self._config.last, len(backbone.parts)
        if last is not None and last > count:
            names = ", ".join(part.name for part in backbone.parts)
            raise StrategyNotApplicable(
                f"'adapters' are to stand in the last {last} parts, but the backbone has {count}: {names}. "
                f"Choose last = {count} or less."
            )
        return backbone.parts[-(last or count) :]

    def _roles(self, part: Part, left_out: tuple[str, ...]) -> frozenset[LayerRole]:
        """Choose roles of a part, none of whose layers the features do without."""
        without = {
            role
            for path, role in part.roles.items()
            if any(f"{path}." in f"{one}." or path.startswith(f"{one}.") for one in left_out)
        }
        have = frozenset(part.roles.values()) - without
        choices = (have & WISHES[self._config.style], have & {LayerRole.CONVOLUTION}, have)
        return next((roles for roles in choices if roles), frozenset())

    def _around(self, part: Part, roles: frozenset[LayerRole] | None) -> Insertion:
        wrap = _Wrap(part.output, self._config.reduction, whole=roles is None)
        return Insertion(ADAPTER, (part.name,), roles, wrap, self._config.learning_rate)
