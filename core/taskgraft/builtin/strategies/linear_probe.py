"""Linear probe: solve for the head on frozen features, each computed once; alone, or before fine-tuning."""

from typing import ClassVar

from pydantic import Field

from taskgraft.builtin.strategies.fine_tuning import last_parts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import HeadSolver, Plan, Stage, Unfreeze
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


class ProbeThenTuneConfig(Config):
    """Fit the head on frozen features, then train the backbone and the head from there."""

    positional: ClassVar[str | None] = "learn"

    learn: int | None = Field(
        default=None,
        ge=1,
        description="number of parts that are trained then, counted from the output; all when left out",
    )
    penalty: float | None = Field(
        default=1e-4,
        gt=0,
        le=1e6,
        description="as for linear-probe; null tunes it for the probe, which chooses less: a head that memorizes the training "
        "rows leaves no gradient for the backbone",
    )
    learning_rate: float = Field(default=5e-5, ge=0, description="peak rate of the trained parts, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the fitted head, per step")


class ProbeThenTune(Strategy):
    """Two stages: a linear probe, then fine-tuning (LP-FT; Kumar et al., 2022, arXiv:2202.10054).

    A randomly initialized head sends large random gradients into the backbone, which distort its features. A fitted head does
    not.
    """

    def __init__(self, config: ProbeThenTuneConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        names = tuple(part.name for part in last_parts("probe-then-tune", "learn", config.learn, backbone))
        unfreeze = Unfreeze(names, config.learning_rate)
        tune = Stage("tune", (unfreeze,), head_learning_rate=config.head_learning_rate, cache_features=True)
        return (*LinearProbe(LinearProbeConfig(penalty=config.penalty)).plan(backbone, head), tune)
