"""Settings that every strategy accepts besides its own, and how they change its plan."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import Field, create_model

from taskgraft.contract.config import Config, parse_config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import HeadSolver, Plan, Stage
from taskgraft.contract.specs import Spec, StrategySpec
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable


class StrategyOverrides(Config):
    """Settings that every strategy accepts. Each applies to the stages that do not set it themselves."""

    layer_decay: float | None = Field(
        default=None, gt=0, le=1, description="learning rate of a part, as a multiple of that of the part after it"
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
"""Leaves a plan as it is."""

_WHY_USELESS = {
    "layer_decay": "this strategy trains no part of the backbone, or sets the rates itself",
    "epochs": "this strategy solves for the head, or sets the number of epochs itself",
    "patience": "this strategy solves for the head, or sets its own early stopping",
}
"""Setting → why no stage of a plan takes it."""


class OverriddenStrategy(Strategy):
    """Another strategy, its plan changed by overrides."""

    def __init__(self, strategy: Strategy, overrides: StrategyOverrides):
        self._strategy = strategy
        self._values = overrides.model_dump(exclude_none=True)

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        plan = self._strategy.plan(backbone, head)
        for name, value in self._values.items():
            if not any(_applies(name, stage) for stage in plan):
                raise StrategyNotApplicable(
                    f"The setting {name} = {value:g} would have no effect: {_WHY_USELESS[name]}. Leave it out."
                )
        return tuple(
            replace(stage, **{name: value for name, value in self._values.items() if _applies(name, stage)})
            for stage in plan
        )


def _applies(name: str, stage: Stage) -> bool:
    """Say whether a setting has an effect on a stage that does not set it itself."""
    effective = stage.unfreeze or stage.insertions if name == "layer_decay" else stage.solve == HeadSolver.DESCENT
    return bool(effective) and getattr(stage, name) is None


@cache
def config_with_overrides(spec: Spec) -> type[Config]:
    """Give the class of all settings that a spec accepts: its config; of a strategy, with the fields of the overrides.

    A setting of the same name in the config is the strategy's own and is not replaced.
    """
    if not isinstance(spec, StrategySpec):
        return spec.config
    own = spec.config
    fields = {
        name: (field.annotation, field)
        for name, field in StrategyOverrides.model_fields.items()
        if name not in own.model_fields
    }
    return create_model(own.__name__, __base__=own, __doc__=own.__doc__, **fields)  # type: ignore[call-overload, no-any-return]


def parse_settings(spec: Spec, settings: Mapping[str, Any], label: str) -> tuple[Config, StrategyOverrides]:
    """Validate the settings of a spec, and separate the overrides from the spec's own config.

    Raises:
        ConfigError: beginning with the label.
    """
    config = parse_config(config_with_overrides(spec), settings, label)
    if not isinstance(spec, StrategySpec):
        return config, NO_OVERRIDES
    own, values = spec.config.model_fields, dict(config)
    overrides = {name: value for name, value in values.items() if name not in own}
    return spec.config.model_construct(**{name: values[name] for name in own}), StrategyOverrides(**overrides)
