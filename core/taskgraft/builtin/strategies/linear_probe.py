"""Linear probe: freeze the backbone, compute each example's features once, and solve for the head."""

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import HeadSolver, Plan, Stage
from taskgraft.contract.strategy import Strategy


class LinearProbeConfig(Config):
    """Freeze the backbone; fit the head on its features."""

    penalty: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="weight of half the squared norm of the head's weights, times the mean squared norm of the features, "
        "per row (1 / (C x rows) of scikit-learn, for features of norm 1); tuned on validation when left out",
    )
    head_learning_rate: float = Field(
        default=3e-3,
        ge=0,
        description="peak rate, per step, for a head whose loss is not convex and needs gradient descent",
    )


class LinearProbe(Strategy):
    """Train the head alone, with a convex solver where its loss is convex."""

    def __init__(self, config: LinearProbeConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        return (
            Stage(
                "linear-probe",
                head_learning_rate=self._config.head_learning_rate,
                solve=HeadSolver.CONVEX if head.convex else HeadSolver.DESCENT,
                l2_penalty=self._config.penalty,
                cache_features=True,
            ),
        )
