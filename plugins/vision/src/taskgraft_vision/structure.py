"""The structure of an image model, found without weights: its parts, its cuts, and the features that it emits."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from taskgraft.plugin import (
    FeatureDescription,
    InvalidCheckpoint,
    LayerRole,
    Layout,
    Part,
    UnknownPart,
    sequence,
    vector,
)
from taskgraft_vision.blocks import Block
from taskgraft_vision.grids import Size, is_channels_last, stride, to_grid
from taskgraft_vision.trace import Forward, Trace, as_tensors, find_cuts, trace, used_parameters
from taskgraft_vision.traced_forward import ForwardStopped, StopForward, TracedForward


@dataclass(frozen=True)
class LibraryInterface:
    """How to run and take apart the models of a library.

    Attributes:
        vector: computes one vector per image, ``(batch, feature)``.
        grid: computes one grid, ``(batch, feature, height, width)``; None if the model has none.
        tokens: whether the model computes on a list of patches, so that it emits a sequence, too.
        levels: indices of pyramid levels (None for all) → computes these levels; None if the model has none.
        prefix: number of tokens before those of the patches.
        first: whether the vector of a truncated model is its first token.
        split: the model and its trace → its consecutive blocks.
        roles: the model and some paths → the roles of the layers below them.
    """

    vector: Forward
    grid: Forward | None
    tokens: bool
    levels: Callable[[Sequence[int] | None], Forward] | None
    prefix: int
    first: bool
    split: Callable[[nn.Module, Trace], tuple[Block, ...]]
    roles: Callable[[nn.Module, Iterable[str]], Mapping[str, LayerRole]]


@dataclass(frozen=True)
class ModelStructure:
    """The structure of a model.

    Attributes:
        parts: from input to output, with paths relative to the model; of a truncated model those that remain.
        forwards: how each layout is computed.
        removed: paths of modules and tensors that truncation removes.
        stop: path of the module that ends the pass of a truncated model.
        unused: parameters that no layout uses.
    """

    parts: tuple[Part, ...]
    features: tuple[FeatureDescription, ...]
    cuts: tuple[int, ...]
    forwards: Mapping[Layout, TracedForward]
    removed: tuple[str, ...]
    stop: str | None
    unused: tuple[str, ...]


def analyze_model(
    model: nn.Module, library: LibraryInterface, size: Size, until: str | None, name: str
) -> ModelStructure:
    """Find the structure of a model.

    Args:
        model: on the meta device, in eval mode; it is truncated after ``until``.
        until: the last part to use; None for all.
        name: of the model, for messages.

    Raises:
        UnknownPart, InvalidCheckpoint: if it cannot be truncated there.
    """
    blocks = library.split(model, trace(model, library.vector, size))
    removed: tuple[str, ...] = ()
    stop = None
    if until is not None:
        index = _block_index(blocks, until)
        removed = tuple(path for block in blocks[index + 1 :] for path in block.owns)
        stop = blocks[index + 1].entry if index + 1 < len(blocks) else None
        if removed and stop is None:
            raise InvalidCheckpoint(
                name, f"the output of its part '{until}' is read in several places; choose another part"
            )
        truncate(model, removed, stop)
        blocks = blocks[: index + 1]
    if stop is None:
        functions = _forward_functions(model, library, size)
    else:
        functions = _truncated_forward_functions(model, library, size, name, until)
    forwards, cuts = _trace_forwards(model, functions, size, blocks)
    used = {
        function: used_parameters(model, function, size)
        for function in dict.fromkeys(function for function, _ in functions.values())
    }
    used_by_any = frozenset().union(*used.values())
    unused = tuple(name for name, _ in model.named_parameters() if name not in used_by_any)
    features = tuple(
        replace(feature, unused=tuple(sorted(used_by_any - used[function]))) for function, feature in functions.values()
    )
    blocks = tuple(replace(block, owns=tuple(_exclude_tensors(model, block.owns, unused))) for block in blocks)
    parts = _describe_parts(model, library, blocks, next(iter(forwards.values())), features, size)
    return ModelStructure(parts, features, cuts, forwards, removed, stop, unused)


def truncate(model: nn.Module, removed: Sequence[str], stop: str | None) -> None:
    """Remove modules and tensors from a model, and end its pass at ``stop``."""
    for path in removed:
        parent, _, name = path.rpartition(".")
        module = model.get_submodule(parent)
        if path == stop:
            model.set_submodule(path, StopForward())
        elif name in dict(module.named_children()):
            model.set_submodule(path, nn.Identity())
        else:
            delattr(module, name)


def _exclude_tensors(model: nn.Module, owns: Iterable[str], excluded: Collection[str]) -> Iterator[str]:
    """Yield paths without some tensors: a module that contains one of them is replaced by its own tensors and children."""
    modules = dict(model.named_modules())
    for path in owns:
        if path in modules and any(name.startswith(f"{path}.") for name in excluded):
            inside = [
                *(name for name, _ in modules[path].named_parameters(recurse=False)),
                *(name for name, _ in modules[path].named_buffers(recurse=False)),
                *(name for name, _ in modules[path].named_children()),
            ]
            yield from _exclude_tensors(model, (f"{path}.{name}" for name in inside), excluded)
        elif path not in excluded:
            yield path


def _block_index(blocks: Sequence[Block], name: str) -> int:
    names = tuple(block.name for block in blocks)
    if name not in names:
        raise UnknownPart(name, names)
    return names.index(name)


Functions = dict[Layout, tuple[Forward, FeatureDescription]]


def _forward_functions(model: nn.Module, library: LibraryInterface, size: Size) -> Functions:
    """Find the layouts that a whole model emits, and how to compute them."""
    (pooled,) = _output_shapes(model, library.vector, size)
    functions: Functions = {Layout.VECTOR: (library.vector, vector(pooled[1]))}
    if library.grid is not None:
        (cells,) = _output_shapes(model, library.grid, size)
        functions[Layout.GRID] = (library.grid, _grid(cells, size))
        if library.tokens:
            functions[Layout.SEQUENCE] = (library.grid, sequence(cells[1]))
    if library.levels is not None:
        shapes = _output_shapes(model, library.levels(None), size)
        last_of_stride = {stride(shape, size): index for index, shape in enumerate(shapes)}
        levels = sorted(last_of_stride.values())
        rising = sorted(last_of_stride) == list(last_of_stride) and levels == list(last_of_stride.values())
        if len(levels) > 1 and rising:
            sizes = tuple(shapes[index][1] for index in levels)
            pyramid = FeatureDescription(Layout.PYRAMID, sizes, strides=tuple(last_of_stride))
            functions[Layout.PYRAMID] = (library.levels(levels), pyramid)
    return functions


def _truncated_forward_functions(
    model: nn.Module, library: LibraryInterface, size: Size, name: str, until: str | None
) -> Functions:
    """Find the layouts that a truncated model emits: the output of its last part, as a grid and pooled."""

    def hidden(truncated: nn.Module, pixels: Tensor) -> Tensor:
        try:
            library.vector(truncated, pixels)
        except ForwardStopped as stopped:
            tensors = as_tensors(stopped.hidden)
            assert tensors is not None
            return tensors[-1]
        raise AssertionError("the pass of a truncated model ends at its stop")

    def grid(truncated: nn.Module, pixels: Tensor) -> list[Tensor]:
        cells = to_grid(hidden(truncated, pixels), size, library.prefix)
        assert cells is not None
        return [cells]

    def pooled(truncated: nn.Module, pixels: Tensor) -> list[Tensor]:
        state = hidden(truncated, pixels)
        if library.first and state.dim() == 3:
            return [state[:, 0]]
        cells = to_grid(state, size, library.prefix)
        assert cells is not None
        return [cells.mean((2, 3))]

    with torch.no_grad():
        state = hidden(model, torch.empty(1, *size, device="meta"))
    if to_grid(state, size, library.prefix) is None:
        shape = tuple(state.shape[1:])
        raise InvalidCheckpoint(
            name, f"the output of its part '{until}' has the shape {shape}, which is not a grid; choose another part"
        )
    (cells,) = _output_shapes(model, grid, size)
    functions: Functions = {Layout.VECTOR: (pooled, vector(cells[1])), Layout.GRID: (grid, _grid(cells, size))}
    if state.dim() == 3:
        functions[Layout.SEQUENCE] = (grid, sequence(cells[1]))
    return functions


def _trace_forwards(
    model: nn.Module, functions: Functions, size: Size, blocks: Sequence[Block]
) -> tuple[dict[Layout, TracedForward], tuple[int, ...]]:
    """Trace each forward function, and find the cuts that hold for all of them."""
    entries = [block.entry for block in blocks[1:]]
    traced = {
        function: (trace(model, function, size), find_cuts(model, function, size, entries))
        for function, _ in functions.values()
    }
    cuts = sorted(frozenset.intersection(*(flow.cuts for _, flow in traced.values())))
    entry_of_cut = {cut: str(entries[cut - 1]) for cut in cuts}
    forwards = {
        layout: TracedForward(function, traced[function][0], entry_of_cut, traced[function][1].sources)
        for layout, (function, _) in functions.items()
    }
    return forwards, (0, *cuts)


def _describe_parts(
    model: nn.Module,
    library: LibraryInterface,
    blocks: Sequence[Block],
    forward: TracedForward,
    features: Sequence[FeatureDescription],
    size: Size,
) -> tuple[Part, ...]:
    grids = [feature for feature in features if feature.layout == Layout.GRID]
    last = replace(grids[0] if grids else features[0], unused=())
    parts = []
    for block in blocks:
        output = _output_of(block, forward.trace, size) or last
        parts.append(Part(block.name, block.owns, output, library.roles(model, block.owns)))
    return (*parts[:-1], replace(parts[-1], output=last))


def _output_of(block: Block, traced: Trace, size: Size) -> FeatureDescription | None:
    """Describe the output of the last module of a block; None if it is not a grid or a sequence."""
    last_calls = [calls[-1] for path, calls in traced.calls.items() if path in block.owns]
    for call in sorted(last_calls, key=lambda call: call.end, reverse=True):
        for shape in reversed(call.shapes or ()):
            if len(shape) == 4:
                channels_first = (shape[0], shape[3], *shape[1:3]) if is_channels_last(shape, size) else shape
                return _grid(channels_first, size)
            if len(shape) == 3:
                return sequence(shape[2])
    return None


def _output_shapes(model: nn.Module, forward: Forward, size: Size) -> list[tuple[int, ...]]:
    with torch.no_grad():
        return [tuple(output.shape) for output in forward(model, torch.empty(1, *size, device="meta"))]


def _grid(shape: Sequence[int], size: Size) -> FeatureDescription:
    return FeatureDescription(Layout.GRID, (shape[1],), strides=(stride(shape, size),))
