"""Sharpness-aware minimization around any strategy (SAM; Foret et al., 2021, arXiv:2010.01412)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from taskgraft.builtin.strategies.descent import change_descent
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

if TYPE_CHECKING:
    from torch import Tensor, nn


class SharpnessAwareConfig(Config):
    """Step along the gradient at the worst weights nearby. A step takes twice the time."""

    positional: ClassVar[str | None] = "strategy"

    strategy: ComponentRef = Field(description="strategy that trains, a name or a table with its name and settings")
    radius: float = Field(default=0.05, gt=0, description="distance of those weights, as a Euclidean norm (ρ)")
    adaptive: bool = Field(
        default=False,
        description="relative to the size of each weight (ASAM; Kwon et al., 2021), which needs a larger radius: 0.5",
    )


@dataclass(frozen=True)
class _NearbyGradient:
    """The gradient at w + radius x g / ‖g‖, where g is the gradient at w (equation 2); for ASAM w + radius x w²g / ‖|w| g‖."""

    radius: float
    adaptive: bool

    def __call__(self, evaluate: "Callable[[], Tensor]", parameters: "Sequence[nn.Parameter]") -> None:
        import torch

        evaluate()
        with torch.no_grad():
            trained = [parameter for parameter in parameters if parameter.grad is not None]
            scales = [parameter.abs() if self.adaptive else torch.ones_like(parameter) for parameter in trained]
            slopes = [scale * one.grad for scale, one in zip(scales, trained, strict=True) if one.grad is not None]
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(slope.float()) for slope in slopes]))
            for parameter, scale, slope in zip(trained, scales, slopes, strict=True):
                parameter.add_(scale * slope * (self.radius / (norm + 1e-12)).to(slope.dtype))
        evaluate()


class SharpnessAware(Strategy):
    """The plan of another strategy, with sharpness-aware gradients in each stage of gradient descent."""

    def __init__(self, config: SharpnessAwareConfig, nested: tuple[Strategy, ...]):
        (self._strategy,) = nested
        self._rule = _NearbyGradient(config.radius, config.adaptive)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        plan = self._strategy.plan(backbone, head)
        if any(stage.gradient is not None for stage in plan):
            raise StrategyNotApplicable(
                "'sharpness-aware' computes the gradient of each step, and so does the strategy that it contains. Keep one."
            )
        return change_descent("sharpness-aware", plan, lambda stage: {"gradient": self._rule})
