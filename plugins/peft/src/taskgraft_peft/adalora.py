"""AdaLoRA (Zhang et al. 2023): ranks are taken, while training goes on, from the layers that need them least.

What that remembers lies in buffers of the layers, so that a run that was killed goes on with it. Artifacts do without.
"""

from collections.abc import Mapping
from functools import partial

import torch
from peft import AdaLoraConfig as PeftConfig
from peft import inject_adapter_in_model
from peft.tuners.adalora import AdaLoraLayer, RankAllocator
from torch import Tensor, nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, Plan, Stage, Strategy
from taskgraft_peft.choosing import choose
from taskgraft_peft.layers import EVERY, Holder, merged, put_around, turned
from taskgraft_peft.settings import AdaLoraConfig

NAME = "default"
"""What peft calls the adapter."""

FACTORS = ("lora_A", "lora_B", "lora_E")
"""A change is B (E ∘ A): directions that are read, directions that are changed, and how much."""


class AdaLora(Strategy):
    """Changes with a budget of ranks, in one stage."""

    def __init__(self, config: AdaLoraConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        parts, roles = choose("adalora", config, backbone)
        insertion = Insertion("adalora", parts, roles, partial(_around, config), config.learning_rate, merged)
        stage = Stage(
            "adalora",
            insertions=(insertion,),
            head_learning_rate=config.head_learning_rate,
            cache_features=True,
            regularizer=partial(_slant, config.orthogonality) if config.orthogonality else None,
            on_stage_start=_note_steps,
            on_step_end=partial(_allocate, config),
        )
        return (stage,)


def _around(config: AdaLoraConfig, layer: nn.Module) -> nn.Module:
    settings = _settings(config, 1, turned=turned(layer))
    (adapter,) = put_around([layer], settings, inject_adapter_in_model)
    for name, factor in _factors(adapter).items():
        for kind in ("importance", "uncertainty"):
            adapter.register_buffer(f"{kind}_{name}", torch.zeros_like(factor, requires_grad=False), persistent=False)
    rank = len(_factors(adapter)["lora_E"])
    adapter.register_buffer("kept", torch.ones(rank, dtype=torch.bool), persistent=False)
    adapter.register_buffer("steps", torch.zeros((), dtype=torch.int64), persistent=False)
    return adapter


def _settings(config: AdaLoraConfig, steps: int, *, turned: bool = False) -> PeftConfig:
    return PeftConfig(
        target_r=config.rank,
        init_r=config.rank_at_first,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        tinit=int(config.warmup * steps),
        tfinal=int(config.settled * steps),
        deltaT=config.every,
        total_step=steps,
        target_modules=EVERY,
        fan_in_fan_out=turned,
    )


def _slant(weight: float, backbone: nn.Module) -> Tensor:
    """Say how far directions are from orthogonal: the mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ over layers (§3.1), weighted."""
    found = []
    for adapter in _adapters(backbone):
        factors = _factors(adapter)
        for directions in (factors["lora_A"], factors["lora_B"].T):
            angles = directions @ directions.T
            found.append(torch.linalg.matrix_norm(angles - torch.eye(len(angles), device=angles.device)))
    return weight * torch.stack(found).mean()


@torch.no_grad()
def _note_steps(backbone: nn.Module, steps: int) -> None:
    for adapter in _adapters(backbone):
        adapter.get_buffer("steps").fill_(steps)


@torch.no_grad()
def _allocate(config: AdaLoraConfig, backbone: nn.Module, step: int) -> None:
    """Learn how much each rank matters, and set those to zero for which there is no budget any more."""
    adapters = _adapters(backbone)
    steps, holder = int(adapters[0].get_buffer("steps")), Holder(adapters)
    allocator = RankAllocator(holder, _settings(config, steps), NAME)
    last = steps - int(config.settled * steps)
    patterns = {f"layers.{number}.lora_E.{NAME}": adapter for number, adapter in enumerate(adapters)}
    if step > last:
        allocator.mask_using_rank_pattern(
            holder, {name: adapter.get_buffer("kept").tolist() for name, adapter in patterns.items()}
        )
        return
    remembered = {
        f"layers.{number}.{name}.{NAME}": (adapter, name) for number, adapter in enumerate(adapters) for name in FACTORS
    }
    for key, (adapter, name) in remembered.items():
        allocator.ipt[key] = allocator.exp_avg_ipt[key] = adapter.get_buffer(f"importance_{name}")
        allocator.exp_avg_unc[key] = adapter.get_buffer(f"uncertainty_{name}")
    _, pattern = allocator.update_and_allocate(holder, step, force_mask=step == last)
    for key, (adapter, name) in remembered.items():
        adapter.get_buffer(f"importance_{name}").copy_(allocator.exp_avg_ipt[key])
        adapter.get_buffer(f"uncertainty_{name}").copy_(allocator.exp_avg_unc[key])
    for name, kept in (pattern or {}).items():
        patterns[name].get_buffer("kept").copy_(torch.tensor(kept))


def _adapters(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, AdaLoraLayer)]


def _factors(adapter: nn.Module) -> Mapping[str, nn.Parameter]:
    return {name: adapter.get_submodule(name)[NAME] for name in FACTORS}  # type: ignore[index]
