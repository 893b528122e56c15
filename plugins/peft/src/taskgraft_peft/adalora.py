"""AdaLoRA (Zhang et al. 2023): during training, ranks are removed from the layers that need them least.

The state of the rank allocator is in buffers of the layers, so that a resumed run continues with it. Artifacts do not hold it.
"""

from collections.abc import Mapping
from functools import partial

import torch
from peft import AdaLoraConfig as PeftConfig
from peft import inject_adapter_in_model
from peft.tuners.adalora import AdaLoraLayer, RankAllocator
from torch import Tensor, nn

from taskgraft.plugin import BackboneDescription, HeadDescription, Insertion, Plan, Stage, Strategy
from taskgraft_peft.layer_selection import select_layers
from taskgraft_peft.layers import ALL_LAYERS, LayerHolder, is_transposed, merge_adapter, wrap_layers
from taskgraft_peft.settings import AdaLoraConfig

NAME = "default"
"""peft's name of the adapter."""

FACTORS = ("lora_A", "lora_B", "lora_E")
"""An update is B (E ∘ A): directions of the input, directions of the output, and the strength of each rank."""


class AdaLora(Strategy):
    """Low-rank updates with a budget of ranks, in one stage."""

    def __init__(self, config: AdaLoraConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        parts, roles = select_layers("adalora", config, backbone)
        insertion = Insertion("adalora", parts, roles, partial(_wrap, config), config.learning_rate, merge_adapter)
        stage = Stage(
            "adalora",
            insertions=(insertion,),
            head_learning_rate=config.head_learning_rate,
            cache_features=True,
            regularizer=partial(_orthogonality_penalty, config.orthogonality) if config.orthogonality else None,
            on_stage_start=_store_total_steps,
            on_step_end=partial(_allocate_ranks, config),
        )
        return (stage,)


def _wrap(config: AdaLoraConfig, layer: nn.Module) -> nn.Module:
    settings = _settings(config, 1, transposed=is_transposed(layer))
    (adapter,) = wrap_layers([layer], settings, inject_adapter_in_model)
    for name, factor in _factors(adapter).items():
        for kind in ("importance", "uncertainty"):
            adapter.register_buffer(f"{kind}_{name}", torch.zeros_like(factor, requires_grad=False), persistent=False)
    rank = len(_factors(adapter)["lora_E"])
    adapter.register_buffer("kept", torch.ones(rank, dtype=torch.bool), persistent=False)
    adapter.register_buffer("steps", torch.zeros((), dtype=torch.int64), persistent=False)
    return adapter


def _settings(config: AdaLoraConfig, steps: int, *, transposed: bool = False) -> PeftConfig:
    return PeftConfig(
        target_r=config.rank,
        init_r=config.initial_rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        tinit=int(config.warmup * steps),
        tfinal=int(config.settled * steps),
        deltaT=config.every,
        total_step=steps,
        target_modules=ALL_LAYERS,
        fan_in_fan_out=transposed,
    )


def _orthogonality_penalty(weight: float, backbone: nn.Module) -> Tensor:
    """Penalize directions that are not orthogonal: the weighted mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ over layers (§3.1)."""
    norms = []
    for adapter in _adapters(backbone):
        factors = _factors(adapter)
        for directions in (factors["lora_A"], factors["lora_B"].T):
            products = directions @ directions.T
            norms.append(torch.linalg.matrix_norm(products - torch.eye(len(products), device=products.device)))
    return weight * torch.stack(norms).mean()


@torch.no_grad()
def _store_total_steps(backbone: nn.Module, steps: int) -> None:
    for adapter in _adapters(backbone):
        adapter.get_buffer("steps").fill_(steps)


@torch.no_grad()
def _allocate_ranks(config: AdaLoraConfig, backbone: nn.Module, step: int) -> None:
    """Update the importance of each rank, and set the ranks to zero that exceed the budget."""
    adapters = _adapters(backbone)
    steps, holder = int(adapters[0].get_buffer("steps")), LayerHolder(adapters)
    allocator = RankAllocator(holder, _settings(config, steps), NAME)
    last = steps - int(config.settled * steps)
    patterns = {f"layers.{index}.lora_E.{NAME}": adapter for index, adapter in enumerate(adapters)}
    if step > last:
        allocator.mask_using_rank_pattern(
            holder, {name: adapter.get_buffer("kept").tolist() for name, adapter in patterns.items()}
        )
        return
    factors = {
        f"layers.{index}.{name}.{NAME}": (adapter, name) for index, adapter in enumerate(adapters) for name in FACTORS
    }
    for key, (adapter, name) in factors.items():
        allocator.ipt[key] = allocator.exp_avg_ipt[key] = adapter.get_buffer(f"importance_{name}")
        allocator.exp_avg_unc[key] = adapter.get_buffer(f"uncertainty_{name}")
    _, pattern = allocator.update_and_allocate(holder, step, force_mask=step == last)
    for key, (adapter, name) in factors.items():
        adapter.get_buffer(f"importance_{name}").copy_(allocator.exp_avg_ipt[key])
        adapter.get_buffer(f"uncertainty_{name}").copy_(allocator.exp_avg_unc[key])
    for name, kept in (pattern or {}).items():
        patterns[name].get_buffer("kept").copy_(torch.tensor(kept))


def _adapters(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, AdaLoraLayer)]


def _factors(adapter: nn.Module) -> Mapping[str, nn.Parameter]:
    return {name: adapter.get_submodule(name)[NAME] for name in FACTORS}  # type: ignore[index]
