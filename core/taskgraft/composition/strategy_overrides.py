"""What any strategy takes beside its own settings, and what that does to its plan."""

from dataclasses import replace
from functools import cache

from pydantic import Field, create_model

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import HeadSolver, Plan, Stage
from taskgraft.contract.specs import Spec, StrategySpec
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable


class StrategyOverrides(Config):
    """What any strategy takes beside its own settings. It holds in each stage that does not say something else."""

    layer_decay: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="each part learns at this times the rate of the part after it; the last part at the rate stated",
    )
    epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="passes over the training rows, in place of training.epochs"
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="epochs without a lower validation loss before a stage stops at its best, in place of training.patience",
    )


NO_OVERRIDES = StrategyOverrides()
"""Said where nothing is to be adjusted."""


class OverriddenStrategy(Strategy):
    """Another strategy, its plan adjusted."""

    def __init__(self, strategy: Strategy, adjustment: StrategyOverrides):
        self._strategy = strategy
        self._said = adjustment.model_dump(exclude_none=True)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        plan = self._strategy.plan(backbone, head)
        for name, value in self._said.items():
            if not any(_takes(stage, name) for stage in plan):
                raise StrategyNotApplicable(
                    f"The setting {name} = {value:g} would change nothing: {USELESS[name]}. Leave it out."
                )
        return tuple(
            replace(stage, **{name: value for name, value in self._said.items() if _takes(stage, name)})
            for stage in plan
        )


USELESS = {
    "layer_decay": "this strategy lets no part of the backbone learn, or says at which rates itself",
    "epochs": "this strategy solves for the head, or says how many epochs itself",
    "patience": "this strategy solves for the head, or says itself when to stop",
}
"""Why no stage takes a setting."""


def _takes(stage: Stage, name: str) -> bool:
    """Say whether a setting means something for a stage, which does not state it itself."""
    means = stage.unfreeze or stage.insertions if name == "layer_decay" else stage.solve == HeadSolver.DESCENT
    return bool(means) and getattr(stage, name) is None


@cache
def config_with_overrides(spec: Spec) -> type[Config]:
    """Give the class of all settings that a spec takes: its config; of a strategy, with those of an adjustment.

    Where the config has a setting of the same name, that is the strategy's own and stays so.
    """
    if not isinstance(spec, StrategySpec):
        return spec.config
    own = spec.config
    more = {name: field for name, field in StrategyOverrides.model_fields.items() if name not in own.model_fields}
    fields = {name: (field.annotation, field) for name, field in more.items()}
    return create_model(own.__name__, __base__=own, __doc__=own.__doc__, **fields)  # type: ignore[call-overload, no-any-return]


def split_overrides(spec: Spec, settings: Config) -> tuple[Config, StrategyOverrides]:
    """Part settings of :func:`config_with_overrides` into those of the spec's own config, and the adjustment."""
    if not isinstance(spec, StrategySpec):
        return settings, NO_OVERRIDES
    own, given = spec.config, dict(settings)
    said = {
        name: given[name] for name in StrategyOverrides.model_fields if name in given and name not in own.model_fields
    }
    return own.model_construct(**{name: given[name] for name in own.model_fields}), StrategyOverrides(**said)
