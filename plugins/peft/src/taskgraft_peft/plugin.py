"""What taskgraft-peft provides. Start reading here; no model code is imported."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from taskgraft.plugin import StrategySpec, hookimpl
from taskgraft_peft import settings

if TYPE_CHECKING:
    from taskgraft.plugin import Strategy

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_strategies() -> Iterable[StrategySpec]:
    """List the strategies."""
    for name, summary in (
        ("lora", "low-rank updates of selected layers; the backbone stays frozen"),
        ("dora", "as lora, with a trained magnitude for each output feature"),
        ("rslora", "as lora, scaled so that high ranks train as well as low ones"),
    ):
        yield StrategySpec(name=name, summary=summary, config=settings.LowRankConfig, build=partial(_low_rank, name))
    yield StrategySpec(
        name="ia3",
        summary="a trained factor for each feature of selected layers; the backbone stays frozen",
        config=settings.Ia3Config,
        build=_ia3,
    )
    yield StrategySpec(
        name="adalora",
        summary="as lora, with ranks allocated to the layers that need them",
        config=settings.AdaLoraConfig,
        build=_adalora,
    )
    yield StrategySpec(
        name="vera",
        summary="updates by random matrices that selected layers share; only their scales are trained",
        config=settings.VeraConfig,
        build=_vera,
    )
    yield StrategySpec(
        name="prefix-tuning",
        summary="trained keys and values before all elements, in every attention layer",
        config=settings.VirtualTokenConfig,
        build=_prefix_tuning,
    )
    yield StrategySpec(
        name="prompt-tuning",
        summary="trained vectors before all elements",
        config=settings.VirtualTokenConfig,
        build=_prompt_tuning,
    )


def _low_rank(name: str, config: settings.LowRankConfig) -> "Strategy":
    from taskgraft_peft.low_rank import LowRank

    return LowRank(name, config)


def _ia3(config: settings.Ia3Config) -> "Strategy":
    from taskgraft_peft.ia3 import Ia3

    return Ia3(config)


def _adalora(config: settings.AdaLoraConfig) -> "Strategy":
    from taskgraft_peft.adalora import AdaLora

    return AdaLora(config)


def _vera(config: settings.VeraConfig) -> "Strategy":
    from taskgraft_peft.vera import Vera

    return Vera(config)


def _prefix_tuning(config: settings.VirtualTokenConfig) -> "Strategy":
    from taskgraft_peft.virtual_tokens import PrefixTuning

    return PrefixTuning(config)


def _prompt_tuning(config: settings.VirtualTokenConfig) -> "Strategy":
    from taskgraft_peft.virtual_tokens import PromptTuning

    return PromptTuning(config)
