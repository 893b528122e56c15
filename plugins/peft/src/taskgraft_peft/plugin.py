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
        ("lora", "a change of low rank beside chosen layers; the rest stays as it is"),
        ("dora", "as lora, with a size of its own for each feature"),
        ("rslora", "as lora, scaled so that a high rank learns as well as a low one"),
    ):
        yield StrategySpec(name=name, summary=summary, config=settings.LowRankConfig, build=partial(_low_rank, name))
    yield StrategySpec(
        name="ia3",
        summary="a factor for each feature of chosen layers; the rest stays as it is",
        config=settings.Ia3Config,
        build=_ia3,
    )
    yield StrategySpec(
        name="adalora",
        summary="as lora, with ranks that go to the layers that need them",
        config=settings.AdaLoraConfig,
        build=_adalora,
    )
    yield StrategySpec(
        name="vera",
        summary="changes through random matrices that chosen layers share; only their scales learn",
        config=settings.VeraConfig,
        build=_vera,
    )
    yield StrategySpec(
        name="prefix-tuning",
        summary="learned keys and values in front of all elements, in every attention",
        config=settings.FrontConfig,
        build=_prefix,
    )
    yield StrategySpec(
        name="prompt-tuning",
        summary="learned vectors in front of all elements",
        config=settings.FrontConfig,
        build=_prompt,
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


def _prefix(config: settings.FrontConfig) -> "Strategy":
    from taskgraft_peft.front import PrefixTuning

    return PrefixTuning(config)


def _prompt(config: settings.FrontConfig) -> "Strategy":
    from taskgraft_peft.front import PromptTuning

    return PromptTuning(config)
