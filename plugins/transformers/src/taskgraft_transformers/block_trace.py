"""One forward pass on the meta device: which modules outside the blocks run when, and which are not used at all."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

InputShapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Pairs of input name and shape."""

TEXT_INPUT: InputShapes = (("input_ids", (1, 4)),)
"""One text of four tokens."""


@dataclass(frozen=True)
class BlockTrace:
    """What one forward pass on the meta device showed.

    Attributes:
        after: modules outside the blocks that run after the last block only, in order.
        unused: modules outside the blocks that the last hidden state does not depend on.
        skippable: whether blocks can be skipped (:class:`taskgraft_transformers.block_skipping.BlockSkipper`).
    """

    after: tuple[str, ...]
    unused: tuple[str, ...]
    skippable: bool


def trace_blocks(model: nn.Module, blocks: str, inputs: InputShapes) -> BlockTrace:
    """Run a model on the meta device and record the order of its modules.

    Args:
        blocks: dotted path of the list of blocks.
    """
    order: list[str] = []
    extra: list[object] = []
    handles = []
    for name, module in model.named_modules():
        leaf_outside = name and not name.startswith(f"{blocks}.") and not any(True for _ in module.children())
        if leaf_outside or name.rpartition(".")[0] == blocks:
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: order.append(name)))
    first = model.get_submodule(f"{blocks}.0")
    handles.append(first.register_forward_hook(lambda _, __, output: extra.extend(_extra_tensors(output))))
    output = _run(model, inputs)
    for handle in handles:
        handle.remove()
    positions = [position for position, name in enumerate(order) if name.startswith(f"{blocks}.")]
    if output is None or not positions:
        return BlockTrace(_final_norms(model, blocks), (), skippable=False)
    between = {name for name in order[positions[0] : positions[-1]] if not name.startswith(f"{blocks}.")}
    before = set(order[: positions[0]])
    after = tuple(dict.fromkeys(name for name in order[positions[-1] + 1 :] if name not in before | between))
    skippable = not between and (not extra or _shares_relative_bias(model, blocks))
    return BlockTrace(after, _unused_modules(model, blocks, output), skippable)


def modules_outside(module: nn.Module, blocks: str | None, path: str = "") -> list[str]:
    """List the largest modules that contain no block, and the tensors that no such module holds, by dotted path."""
    prefix = f"{path}." if path else ""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    paths = [f"{prefix}{name}" for name, _ in own]
    for name, child in module.named_children():
        child_path = f"{prefix}{name}"
        if child_path == blocks:
            continue
        contains_blocks = blocks is not None and blocks.startswith(f"{child_path}.")
        paths += modules_outside(child, blocks, child_path) if contains_blocks else [child_path]
    return paths


def _extra_tensors(output: Any) -> list[Any]:
    return [] if isinstance(output, Tensor) else [entry for entry in output[1:] if isinstance(entry, Tensor)]


def _shares_relative_bias(model: nn.Module, blocks: str) -> bool:
    """Check whether only the first block has a table of relative positions, whose bias is passed to the others (T5)."""
    suffix = ".relative_attention_bias.weight"
    owners = {name for name, _ in model.get_submodule(blocks).named_parameters() if name.endswith(suffix)}
    return len(owners) == 1 and next(iter(owners)).startswith("0.")


def _unused_modules(model: nn.Module, blocks: str, output: Any) -> tuple[str, ...]:
    """Find modules outside the blocks whose parameters get no gradient from the last hidden state."""
    hidden = getattr(output, "last_hidden_state", None)
    if hidden is None:
        return ()
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(hidden.sum(), list(named.values()), allow_unused=True)
    used = {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}
    return tuple(
        path
        for path in modules_outside(model, blocks)
        if path not in named
        and any(name.startswith(f"{path}.") for name in named)
        and not any(name.startswith(f"{path}.") for name in used)
    )


def _run(model: nn.Module, inputs: InputShapes) -> Any:
    """Try several ways to call the model without data. Returns None if every one fails."""
    dtype = torch.int64 if inputs == TEXT_INPUT else torch.float32
    arguments = {name: torch.ones(shape, dtype=dtype, device="meta") for name, shape in inputs}
    mask = torch.ones(next(iter(arguments.values())).shape[:2], dtype=torch.int64, device="meta")
    for more in ({}, {"use_cache": True}, {"attention_mask": mask}):
        try:
            return model(**arguments, **more)
        except Exception:  # noqa: S112, unknown model code may fail in any way on meta tensors
            continue
    return None


def _final_norms(model: nn.Module, blocks: str) -> tuple[str, ...]:
    """Guess by name which modules run after the last block."""
    names = {"norm", "final_norm", "ln_f", "final_layer_norm", "emb_layer_norm_after"}
    outside = (name for name, _ in model.named_modules() if not name.startswith(f"{blocks}."))
    return tuple(name for name in outside if name.rpartition(".")[2] in names)
