"""The blocks and layer roles of an image model: the library's own grouping of layers, in the order of one pass."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from timm.models import group_parameters
from torch import nn

from taskgraft.plugin import LayerRole
from taskgraft_vision.trace import Trace

ROLES: Mapping[LayerRole, tuple[str, ...]] = {
    LayerRole.QUERY: ("attn.q", "attn.q_proj", "attn.wq"),
    LayerRole.KEY: ("attn.k", "attn.k_proj", "attn.wk"),
    LayerRole.VALUE: ("attn.v", "attn.v_proj", "attn.wv"),
    LayerRole.FUSED: ("qkv", "kv", "qk", "qkvu"),
    LayerRole.ATTENTION_OUTPUT: ("attn.proj", "attn.out_proj", "attn.wo"),
    LayerRole.FEED_FORWARD_IN: (
        "mlp.fc1",
        "mlp.fc1_g",
        "mlp.fc1_x",
        "mlp.w1",
        "mlp.w2",
        "mlp.up_proj",
        "mlp.gate_proj",
    ),
    LayerRole.FEED_FORWARD_OUT: ("mlp.fc2", "mlp.w3", "mlp.down_proj"),
}
"""Role → the ends of the dotted paths of such layers in timm."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Block:
    """A block of a model: a part without its description.

    Attributes:
        name: path of the module that it is named after.
        owns: dotted paths of modules, parameters and buffers.
        entry: path of the module that reads the block's input; None for the first block, and if several modules do.
    """

    name: str
    owns: tuple[str, ...]
    entry: str | None


def split_into_blocks(model: nn.Module, traced: Trace, groups: Mapping[str, int]) -> tuple[Block, ...]:
    """Split a model into consecutive blocks.

    Modules before the first block belong to the first one, modules after the last to the last one.

    Args:
        groups: parameter → index of its layer, from the input; 0 for the stem.
    """
    tensors = [name for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    runs = _consecutive_runs(groups, _call_order(model, traced))
    run_of = _assign_tensors(runs, groups, tensors)
    names = [_block_name(model, number, run_of) for number in range(len(runs))]
    merged = _merge_ends(dict(zip(names, runs, strict=True)), groups)
    block_of = _assign_tensors(list(merged.values()), groups, tensors)
    starts = {path: calls[0].start for path, calls in traced.calls.items()}
    blocks: list[Block] = []
    for number, name in enumerate(merged):
        owns = tuple(_largest_modules(model, "", number, block_of))
        called = [path for path in owns if path in starts]
        entry = min(called, key=lambda path: starts[path], default=None) if number else None
        blocks.append(Block(name, owns, entry))
    return _assign_other_modules(model, blocks, starts)


def layer_groups(model: Any) -> dict[str, int]:
    """Number the layer of each parameter of a timm model by timm's group matcher, or else by the stages of feature_info."""
    names = [name for name, _ in model.named_parameters()]
    if hasattr(model, "group_matcher"):
        matched = group_parameters(model, model.group_matcher(coarse=False))
        return {name: number for number, members in enumerate(matched.values()) for name in members}
    stages = [str(stage["module"]) for stage in getattr(model, "feature_info", ())]
    inside = {name: number for name in names for number, stage in enumerate(stages, 1) if name.startswith(f"{stage}.")}
    first = next((index for index, name in enumerate(names) if name in inside), len(names))
    return {name: inside.get(name, 0 if index < first else len(stages)) for index, name in enumerate(names)}


def layer_roles(model: nn.Module, paths: Iterable[str]) -> dict[str, LayerRole]:
    """Find the roles of linear and convolutional layers at or below some paths."""
    roots = tuple(paths)
    roles = {}
    for name, module in model.named_modules():
        if any(name == path or name.startswith(f"{path}.") for path in roots):
            role = _role(name, module)
            if role is not None:
                roles[name] = role
    return roles


def _role(name: str, module: nn.Module) -> LayerRole | None:
    if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
        return None
    for role, ends in ROLES.items():
        if any(f".{name}".endswith(f".{end}") for end in ends):
            return role
    if not isinstance(module, CONVOLUTIONS):
        return None
    return LayerRole.DEPTHWISE if module.groups == module.in_channels > 1 else LayerRole.CONVOLUTION


def _assign_other_modules(model: nn.Module, blocks: Sequence[Block], starts: Mapping[str, int]) -> tuple[Block, ...]:
    """Assign modules without tensors (dropout, pooling) to the block that runs when they are called."""
    owned = {path for block in blocks for path in block.owns}
    others: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        inside = any(f"{path}.".startswith(f"{owner}.") for owner in owned)
        if inside or isinstance(module, nn.Identity) or any(True for _ in chain(module.parameters(), module.buffers())):
            continue
        started = [
            number
            for number, block in enumerate(blocks)
            if block.entry is None or path not in starts or starts[block.entry] <= starts[path]
        ]
        others.setdefault(max(started), []).append(path)
        owned.add(path)
    return tuple(replace(block, owns=(*block.owns, *others.get(number, ()))) for number, block in enumerate(blocks))


def _call_order(model: nn.Module, traced: Trace) -> dict[str, int]:
    """Give the first call of each module with parameters of its own; of one that is never called, that of its parent."""
    starts = {path: calls[0].start for path, calls in traced.calls.items()}
    order = {}
    for path, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            called = path
            while called and called not in starts:
                called = called.rpartition(".")[0]
            order[path] = starts.get(called, 0)
    return order


def _consecutive_runs(groups: Mapping[str, int], order: Mapping[str, int]) -> list[list[str]]:
    """Split parameters into runs of one layer, in call order. A layer that is left and entered again gives two runs."""
    groups_below: dict[str, set[int]] = {}
    for name, group in groups.items():
        for path in _parents(name):
            groups_below.setdefault(path, set()).add(group)
    modules = [path for path in sorted(order, key=lambda path: order[path]) if len(groups_below.get(path, ())) == 1]
    own_parameters: dict[str, list[str]] = {}
    for name in groups:
        own_parameters.setdefault(name.rpartition(".")[0], []).append(name)
    runs: list[list[str]] = []
    current: int | None = None
    for path in modules:
        group = groups[own_parameters[path][0]]
        if group != current or not runs:
            runs.append([])
        runs[-1] += own_parameters[path]
        current = group
    return runs or [list(groups)]


def _assign_tensors(runs: Sequence[Sequence[str]], groups: Mapping[str, int], tensors: Sequence[str]) -> dict[str, int]:
    """Assign each tensor to a run: parameters in no run by their layer, buffers by the module that contains them."""
    assigned = {name: number for number, run in enumerate(runs) for name in run}
    run_of_group: dict[int, int] = {}
    run_of_module: dict[str, int] = {}
    for name, run in assigned.items():
        run_of_group.setdefault(groups[name], run)
        for path in _parents(name):
            run_of_module.setdefault(path, run)
    for name in tensors:
        if name in assigned:
            continue
        if name in groups:
            lower = [group for group in run_of_group if group <= groups[name]]
            assigned[name] = run_of_group[max(lower)] if lower else 0
        else:
            assigned[name] = next((run_of_module[path] for path in _parents(name) if path in run_of_module), 0)
    return assigned


def _merge_ends(runs: Mapping[str, Sequence[str]], groups: Mapping[str, int]) -> dict[str, list[str]]:
    """Merge the stem into the first block, and what follows the last numbered block into that."""
    stem = [name for run in runs.values() if groups[run[0]] == 0 for name in run]
    blocks = {name: list(run) for name, run in runs.items() if groups[run[0]] != 0}
    if not blocks:
        return {next(iter(runs)): stem}
    while len(blocks) > 1 and not _is_numbered(next(reversed(blocks))):
        _, last = blocks.popitem()
        blocks[next(reversed(blocks))] += last
    first = next(iter(blocks))
    blocks[first] = stem + blocks[first]
    return blocks


def _parents(path: str) -> Iterable[str]:
    """Yield the paths of the modules around a module or tensor, innermost first, without the root."""
    while path := path.rpartition(".")[0]:
        yield path


def _is_numbered(path: str) -> bool:
    """Whether the last name of a path ends in a number: ``blocks.3``, ``layer2``, ``Mixed_5b``."""
    return re.search(r"\d[a-z]?$", path) is not None


def _block_name(model: nn.Module, number: int, run_of: Mapping[str, int]) -> str:
    """Choose the path that names a run: of the modules inside it, the largest whose last name is numbered."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    candidates = {}
    for path in _largest_modules(model, "", number, run_of):
        size = sum(count for name, count in sizes.items() if f"{name}.".startswith(f"{path}."))
        candidates[_descend(model, path)] = size
    return max(candidates, key=lambda path: (_is_numbered(path), candidates[path]))


def _descend(model: nn.Module, path: str) -> str:
    """Follow modules with a single child that has parameters, to the last one whose name is a number."""
    best, inner = path, path
    modules = dict(model.named_modules())
    while inner in modules:
        children = [name for name, child in modules[inner].named_children() if any(True for _ in child.parameters())]
        if len(children) != 1 or any(True for _ in modules[inner].parameters(recurse=False)):
            break
        inner = f"{inner}.{children[0]}"
        best = inner if _is_numbered(inner) and children[0].isdigit() else best
    return best


def _largest_modules(model: nn.Module, path: str, number: int, run_of: Mapping[str, int]) -> list[str]:
    """Find the largest modules with tensors of one run only, and the tensors of that run outside of them."""
    module = model.get_submodule(path)
    prefix = f"{path}." if path else ""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    largest = [f"{prefix}{name}" for name, _ in own if run_of[f"{prefix}{name}"] == number]
    for name, _ in module.named_children():
        child = f"{prefix}{name}"
        inside = {run for tensor, run in run_of.items() if tensor.startswith(f"{child}.")}
        if inside == {number}:
            largest.append(child)
        elif number in inside:
            largest += _largest_modules(model, child, number, run_of)
    return largest
