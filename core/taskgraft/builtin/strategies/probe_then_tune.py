"""Probe, then tune: the head is found on frozen features before anything else moves (LP-FT; Kumar et al., 2022).

A head drawn at random sends large and random gradients into the backbone, which distort its features (arXiv:2202.10054). One
that is solved for already does not.
"""

from typing import ClassVar

from pydantic import Field

from taskgraft.builtin.strategies.linear_probe import LinearProbe, LinearProbeConfig
from taskgraft.builtin.strategies.partial import last_parts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy


class ProbeThenTuneConfig(Config):
    """Find the head on the features as they are, then train the backbone and the head from there."""

    positional: ClassVar[str | None] = "learn"

    learn: int | None = Field(
        default=None, ge=1, description="how many parts learn then, counted from the output; all when left out"
    )
    penalty: float | None = Field(
        default=1e-4,
        gt=0,
        le=1e6,
        description="linear-probe's; null chooses what serves the probe best, which is weaker: a head that knows the training "
        "rows by heart leaves the backbone little to learn from",
    )
    learning_rate: float = Field(default=5e-5, ge=0, description="peak rate of the parts that learn, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head that was found, per step")


class ProbeThenTune(Strategy):
    """Two stages: a linear probe, and fine-tuning."""

    def __init__(self, config: ProbeThenTuneConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        learn = len(backbone.parts) if config.learn is None else config.learn
        parts = last_parts("probe-then-tune", learn, backbone)
        tune = Stage(
            "tune",
            (Unfreeze(parts, config.learning_rate),),
            head_learning_rate=config.head_learning_rate,
            cache_features=True,
        )
        return (*LinearProbe(LinearProbeConfig(penalty=config.penalty)).plan(backbone, head), tune)
