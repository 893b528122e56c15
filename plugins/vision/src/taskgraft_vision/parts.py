"""Parts and roles of an image model: the grouping that its library knows, brought into the order of one pass."""

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
"""Each role and how timm calls such layers: the end of a dotted path."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Piece:
    """One part before it is described.

    Attributes:
        name: the path of the block that it is made of.
        owns: dotted paths of modules, parameters and buffers.
        entry: the module that reads what enters the part; None for the first part, and where no one module does.
    """

    name: str
    owns: tuple[str, ...]
    entry: str | None


def pieces(model: nn.Module, traced: Trace, groups: Mapping[str, int]) -> tuple[Piece, ...]:
    """Take a model apart into consecutive blocks.

    What runs before the first block belongs to its piece, and what runs after the last one to that.

    Args:
        groups: parameter → the number of its layer, from the input; 0 is what lies before the blocks.
    """
    tensors = [name for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    runs = _runs(groups, _order(model, traced))
    names = [_name(model, number, _homes(runs, groups, tensors)) for number in range(len(runs))]
    blocks = _joined(dict(zip(names, runs, strict=True)), groups)
    homes = _homes(list(blocks.values()), groups, tensors)
    started = {path: calls[0].start for path, calls in traced.calls.items()}
    found: list[Piece] = []
    for number, name in enumerate(blocks):
        owns = tuple(_cover(model, "", number, homes))
        called = [path for path in owns if path in started]
        entry = min(called, key=lambda path: started[path], default=None) if number else None
        found.append(Piece(name, owns, entry))
    return _with_the_rest(model, found, started)


def _with_the_rest(model: nn.Module, found: Sequence[Piece], started: Mapping[str, int]) -> tuple[Piece, ...]:
    """Let modules without tensors (dropout, pooling) belong to the piece that runs when they are called."""
    owned = {path for piece in found for path in piece.owns}
    rest: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        inside = any(f"{path}.".startswith(f"{one}.") for one in owned)
        if inside or isinstance(module, nn.Identity) or any(True for _ in chain(module.parameters(), module.buffers())):
            continue
        behind = [
            number
            for number, piece in enumerate(found)
            if piece.entry is None or path not in started or started[piece.entry] <= started[path]
        ]
        rest.setdefault(max(behind), []).append(path)
        owned.add(path)
    return tuple(replace(piece, owns=(*piece.owns, *rest.get(number, ()))) for number, piece in enumerate(found))


def groups_of(model: Any) -> dict[str, int]:
    """Number the layer of each parameter of a timm model, as timm knows it, else by the stages of its feature_info."""
    names = [name for name, _ in model.named_parameters()]
    if hasattr(model, "group_matcher"):
        matched = group_parameters(model, model.group_matcher(coarse=False))
        return {name: number for number, some in enumerate(matched.values()) for name in some}
    stages = [str(stage["module"]) for stage in getattr(model, "feature_info", ())]
    inside = {name: number for name in names for number, stage in enumerate(stages, 1) if name.startswith(f"{stage}.")}
    first = next((place for place, name in enumerate(names) if name in inside), len(names))
    return {name: inside.get(name, 0 if place < first else len(stages)) for place, name in enumerate(names)}


def roles(model: nn.Module, paths: Iterable[str]) -> dict[str, LayerRole]:
    """Say what the linear and convolutional layers below some paths do."""
    below = tuple(paths)
    found = {}
    for name, module in model.named_modules():
        if any(name == path or name.startswith(f"{path}.") for path in below):
            role = _role(name, module)
            if role is not None:
                found[name] = role
    return found


def _role(name: str, module: nn.Module) -> LayerRole | None:
    if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
        return None
    for role, ends in ROLES.items():
        if any(f".{name}".endswith(f".{end}") for end in ends):
            return role
    if not isinstance(module, CONVOLUTIONS):
        return None
    return LayerRole.DEPTHWISE if module.groups == module.in_channels > 1 else LayerRole.CONVOLUTION


def _order(model: nn.Module, traced: Trace) -> dict[str, int]:
    """Say when each module that holds a parameter is first called; one that is never called, with what it lies in."""
    started = {path: calls[0].start for path, calls in traced.calls.items()}
    found = {}
    for path, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            near = path
            while near and near not in started:
                near = near.rpartition(".")[0]
            found[path] = started.get(near, 0)
    return found


def _runs(groups: Mapping[str, int], order: Mapping[str, int]) -> list[list[str]]:
    """Put parameters into runs of one layer, in the order of the pass. A layer that is left and entered again is two."""
    spans: dict[str, set[int]] = {}
    for name, group in groups.items():
        path = name.rpartition(".")[0]
        while path:
            spans.setdefault(path, set()).add(group)
            path = path.rpartition(".")[0]
    inner = [path for path in sorted(order, key=lambda path: order[path]) if len(spans.get(path, ())) == 1]
    runs: list[list[str]] = []
    current: int | None = None
    own: dict[str, list[str]] = {}
    for name in groups:
        own.setdefault(name.rpartition(".")[0], []).append(name)
    for path in inner:
        group = groups[own[path][0]]
        if group != current or not runs:
            runs.append([])
        runs[-1] += own[path]
        current = group
    return runs or [list(groups)]


def _homes(runs: Sequence[Sequence[str]], groups: Mapping[str, int], tensors: Sequence[str]) -> dict[str, int]:
    """Say in which run each tensor is at home."""
    homes = {name: number for number, run in enumerate(runs) for name in run}
    numbers: dict[int, int] = {}
    for name, home in homes.items():
        numbers.setdefault(groups[name], home)
    beside: dict[str, int] = {}
    for name, home in homes.items():
        path = name.rpartition(".")[0]
        while path:
            beside.setdefault(path, home)
            path = path.rpartition(".")[0]
    for name in tensors:
        if name in homes:
            continue
        if name in groups:
            lower = [number for number in numbers if number <= groups[name]]
            homes[name] = numbers[max(lower)] if lower else 0
            continue
        path = name.rpartition(".")[0]
        while path and path not in beside:
            path = path.rpartition(".")[0]
        homes[name] = beside.get(path, 0)
    return homes


def _joined(runs: Mapping[str, Sequence[str]], groups: Mapping[str, int]) -> dict[str, list[str]]:
    """Join the stem to the first block, and what stands behind the last block to that."""
    stem = [name for run in runs.values() if groups[run[0]] == 0 for name in run]
    blocks = {name: list(run) for name, run in runs.items() if groups[run[0]] != 0}
    if not blocks:
        return {next(iter(runs)): stem}
    while len(blocks) > 1 and not _counts(next(reversed(blocks))):
        _, last = blocks.popitem()
        blocks[next(reversed(blocks))] += last
    first = next(iter(blocks))
    blocks[first] = stem + blocks[first]
    return blocks


def _counts(path: str) -> bool:
    """Say whether the last name of a path counts blocks: ``blocks.3``, ``layer2``, ``Mixed_5b``."""
    return re.search(r"\d[a-z]?$", path) is not None


def _name(model: nn.Module, number: int, homes: Mapping[str, int]) -> str:
    """Choose the path of a run's block: of the modules that are all its own, the largest whose last name counts."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    candidates = {}
    for path in _cover(model, "", number, homes):
        size = sum(count for name, count in sizes.items() if f"{name}.".startswith(f"{path}."))
        candidates[_narrowed(model, path)] = size
    return max(candidates, key=lambda path: (_counts(path), candidates[path]))


def _narrowed(model: nn.Module, path: str) -> str:
    """Follow a module that holds but one to that one, as far as the last name counts."""
    best, inner = path, path
    modules = dict(model.named_modules())
    while inner in modules:
        holding = [name for name, child in modules[inner].named_children() if any(True for _ in child.parameters())]
        if len(holding) != 1 or any(True for _ in modules[inner].parameters(recurse=False)):
            break
        inner = f"{inner}.{holding[0]}"
        best = inner if _counts(inner) and holding[0].isdigit() else best
    return best


def _cover(model: nn.Module, path: str, number: int, homes: Mapping[str, int]) -> list[str]:
    """Find the largest modules, and the tensors beside them, that are at home in one run alone."""
    module = model.get_submodule(path)
    prefix = f"{path}." if path else ""
    found = []
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    found += [f"{prefix}{name}" for name, _ in own if homes[f"{prefix}{name}"] == number]
    for name, _ in module.named_children():
        below = f"{prefix}{name}"
        inside = {home for tensor, home in homes.items() if tensor.startswith(f"{below}.")}
        if inside == {number}:
            found.append(below)
        elif number in inside:
            found += _cover(model, below, number, homes)
    return found
