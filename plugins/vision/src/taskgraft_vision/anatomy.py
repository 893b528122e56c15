"""How an image model is built and run, known without weights: parts, cuts, and what it emits."""

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
from taskgraft_vision.parts import Piece
from taskgraft_vision.resuming import Stop, Stopped, Stretch
from taskgraft_vision.trace import Run, Trace, flat, follow, reached, trace

Size = tuple[int, int, int]
"""Channels, height and width of the pixels that a model reads."""


@dataclass(frozen=True)
class Manner:
    """How a library runs its models.

    Attributes:
        vector: gives one vector per image, ``(batch, feature)``.
        grid: gives one grid, ``(batch, feature, height, width)``; None where the model has none.
        tokens: whether the model computes on a list of patches, so that it emits sequence, too.
        levels: the levels of a pyramid that are wanted, by their numbers → what gives them; None where there are none.
        prefix: how many tokens stand before those of the patches.
        first: whether the vector is the first token, where a model is cut off before its own pooling.
        pieces: the model and a trace of it → its consecutive blocks.
        roles: the model and some paths → what the layers below them do.
    """

    vector: Run
    grid: Run | None
    tokens: bool
    levels: Callable[[Sequence[int] | None], Run] | None
    prefix: int
    first: bool
    pieces: Callable[[nn.Module, Trace], tuple[Piece, ...]]
    roles: Callable[[nn.Module, Iterable[str]], Mapping[str, LayerRole]]


@dataclass(frozen=True)
class Anatomy:
    """What is known of a model.

    Attributes:
        parts: from input to output; paths start at the model. Those that are kept.
        removed: modules and tensors that are not kept, by path.
        stop: the module at which a model that is cut off ends.
        stretches: how each layout is computed.
        unused: tensors that no layout needs.
    """

    parts: tuple[Part, ...]
    features: tuple[FeatureDescription, ...]
    cuts: tuple[int, ...]
    stretches: Mapping[Layout, Stretch]
    removed: tuple[str, ...]
    stop: str | None
    unused: tuple[str, ...]


def anatomy(model: nn.Module, manner: Manner, size: Size, until: str | None, name: str) -> Anatomy:
    """Take a model apart.

    Args:
        model: on the meta device, in eval mode; is cut off at ``until``.
        until: the last part to keep.
        name: of the model, for messages.

    Raises:
        UnknownPart, InvalidCheckpoint: when it cannot be cut off there.
    """
    traced = trace(model, manner.vector, size)
    found = manner.pieces(model, traced)
    removed: tuple[str, ...] = ()
    stop = None
    if until is not None:
        number = _number(found, until)
        removed = tuple(path for piece in found[number + 1 :] for path in piece.owns)
        stop = found[number + 1].entry if number + 1 < len(found) else None
        if removed and stop is None:
            raise InvalidCheckpoint(
                name, f"what leaves its part '{until}' is read in several places; keep another part"
            )
        shorten(model, removed, stop)
        found = found[: number + 1]
    runs = _runs(model, manner, size) if stop is None else _shortened_runs(model, manner, size, name, until)
    stretches, cuts = _stretches(model, runs, size, found)
    needed = {run: reached(model, run, size) for run in dict.fromkeys(run for run, _ in runs.values())}
    every = frozenset().union(*needed.values())
    unused = tuple(name for name, _ in model.named_parameters() if name not in every)
    features = tuple(replace(feature, unused=tuple(sorted(every - needed[run]))) for run, feature in runs.values())
    found = tuple(replace(piece, owns=tuple(_without(model, piece.owns, unused))) for piece in found)
    parts = _parts(model, manner, found, next(iter(stretches.values())), features, size)
    return Anatomy(parts, features, cuts, stretches, removed, stop, unused)


def shorten(model: nn.Module, removed: Sequence[str], stop: str | None) -> None:
    """Take modules and tensors out of a model, and let its pass end where the first of them stood."""
    for path in removed:
        parent, _, own = path.rpartition(".")
        holder = model.get_submodule(parent)
        if path == stop:
            model.set_submodule(path, Stop())
        elif own in dict(holder.named_children()):
            model.set_submodule(path, nn.Identity())
        else:
            delattr(holder, own)


def prefix_of(tokens: int, size: Size) -> int | None:
    """Find how many tokens stand before those of the patches, which make a grid; None when there is no such number."""
    return next((prefix for prefix in range(tokens) if _rectangle(tokens - prefix, size) is not None), None)


def grid_of(hidden: Tensor, size: Size, prefix: int) -> Tensor | None:
    """Make a grid, ``(batch, feature, height, width)``, of whatever layout a model computes in; None when it is none.

    Args:
        hidden: ``(batch, feature, height, width)``, ``(batch, height, width, feature)`` or ``(batch, token, feature)``.
        prefix: tokens before those of the patches.
    """
    if hidden.dim() == 4:
        return hidden.permute(0, 3, 1, 2) if _is_last(hidden.shape, size) else hidden
    if hidden.dim() != 3:
        return None
    shape = _rectangle(hidden.shape[1] - prefix, size)
    return None if shape is None else hidden[:, prefix:].transpose(1, 2).unflatten(2, shape)


def _without(model: nn.Module, owns: Iterable[str], unused: Collection[str]) -> Iterator[str]:
    """Name what some paths own but for some tensors: in place of a module that holds one of them, what lies in it."""
    modules = dict(model.named_modules())
    for path in owns:
        if path in modules and any(name.startswith(f"{path}.") for name in unused):
            inside = [
                *(name for name, _ in modules[path].named_parameters(recurse=False)),
                *(name for name, _ in modules[path].named_buffers(recurse=False)),
                *(name for name, _ in modules[path].named_children()),
            ]
            yield from _without(model, (f"{path}.{name}" for name in inside), unused)
        elif path not in unused:
            yield path


def _number(found: Sequence[Piece], until: str) -> int:
    names = tuple(piece.name for piece in found)
    if until not in names:
        raise UnknownPart(until, names)
    return names.index(until)


Runs = dict[Layout, tuple[Run, FeatureDescription]]


def _runs(model: nn.Module, manner: Manner, size: Size) -> Runs:
    """Find out what a whole model emits, and how."""
    (pooled,) = _shapes(model, manner.vector, size)
    runs: Runs = {Layout.VECTOR: (manner.vector, vector(pooled[1]))}
    if manner.grid is not None:
        (cells,) = _shapes(model, manner.grid, size)
        runs[Layout.GRID] = (manner.grid, _grid(cells, size))
        if manner.tokens:
            runs[Layout.SEQUENCE] = (manner.grid, sequence(cells[1]))
    if manner.levels is not None:
        shapes = _shapes(model, manner.levels(None), size)
        last = {_stride(shape, size): number for number, shape in enumerate(shapes)}  # of one stride, the last level
        wanted = sorted(last.values())
        if len(wanted) > 1 and wanted == list(last.values()) and sorted(last) == list(last):
            sizes = tuple(shapes[number][1] for number in wanted)
            runs[Layout.PYRAMID] = (
                manner.levels(wanted),
                FeatureDescription(Layout.PYRAMID, sizes, strides=tuple(last)),
            )
    return runs


def _shortened_runs(model: nn.Module, manner: Manner, size: Size, name: str, until: str | None) -> Runs:
    """Say what a model that is cut off emits: what leaves its last part, as a grid and pooled."""

    def hidden(shortened: nn.Module, pixels: Tensor) -> Tensor:
        try:
            manner.vector(shortened, pixels)
        except Stopped as stopped:
            found = flat(stopped.hidden)
            assert found is not None
            return found[-1]
        raise AssertionError("a model that is cut off ends at its stop")

    def grid(shortened: nn.Module, pixels: Tensor) -> list[Tensor]:
        found = grid_of(hidden(shortened, pixels), size, manner.prefix)
        assert found is not None
        return [found]

    def pooled(shortened: nn.Module, pixels: Tensor) -> list[Tensor]:
        found = hidden(shortened, pixels)
        if manner.first and found.dim() == 3:
            return [found[:, 0]]
        cells = grid_of(found, size, manner.prefix)
        assert cells is not None
        return [cells.mean((2, 3))]

    with torch.no_grad():
        tried = hidden(model, torch.empty(1, *size, device="meta"))
    if grid_of(tried, size, manner.prefix) is None:
        shape = tuple(tried.shape[1:])
        raise InvalidCheckpoint(
            name, f"what leaves its part '{until}' has the shape {shape}, which is no grid; keep another"
        )
    (cells,) = _shapes(model, grid, size)
    runs: Runs = {Layout.VECTOR: (pooled, vector(cells[1])), Layout.GRID: (grid, _grid(cells, size))}
    if tried.dim() == 3:
        runs[Layout.SEQUENCE] = (grid, sequence(cells[1]))
    return runs


def _stretches(
    model: nn.Module, runs: Runs, size: Size, found: Sequence[Piece]
) -> tuple[dict[Layout, Stretch], tuple[int, ...]]:
    """Trace each way of running, and keep the cuts that all of them can be resumed from."""
    entries = [piece.entry for piece in found[1:]]
    ways = {run: (trace(model, run, size), follow(model, run, size, entries)) for run, _ in runs.values()}
    cuts = sorted(frozenset.intersection(*(flow.cuts for _, flow in ways.values())))
    at = {cut: str(entries[cut - 1]) for cut in cuts}
    stretches = {layout: Stretch(run, ways[run][0], at, ways[run][1].sources) for layout, (run, _) in runs.items()}
    return stretches, (0, *cuts)


def _parts(
    model: nn.Module,
    manner: Manner,
    found: Sequence[Piece],
    stretch: Stretch,
    features: Sequence[FeatureDescription],
    size: Size,
) -> tuple[Part, ...]:
    grids = [feature for feature in features if feature.layout == Layout.GRID]
    last = replace(grids[0] if grids else features[0], unused=())
    parts = []
    for piece in found:
        output = _output(piece, stretch.traced, size) or last
        parts.append(Part(piece.name, piece.owns, output, manner.roles(model, piece.owns)))
    return (*parts[:-1], replace(parts[-1], output=last))


def _output(piece: Piece, traced: Trace, size: Size) -> FeatureDescription | None:
    """Describe what the last module of a piece gives."""
    calls = [calls[-1] for path, calls in traced.calls.items() if path in piece.owns]
    for call in sorted(calls, key=lambda call: call.end, reverse=True):
        for shape in reversed(call.shapes or ()):
            if len(shape) == 4:
                channels = (shape[0], shape[3], *shape[1:3]) if _is_last(shape, size) else shape
                return _grid(channels, size)
            if len(shape) == 3:
                return sequence(shape[2])
    return None


def _shapes(model: nn.Module, run: Run, size: Size) -> list[tuple[int, ...]]:
    with torch.no_grad():
        return [tuple(output.shape) for output in run(model, torch.empty(1, *size, device="meta"))]


def _grid(shape: Sequence[int], size: Size) -> FeatureDescription:
    return FeatureDescription(Layout.GRID, (shape[1],), strides=(_stride(shape, size),))


def _stride(shape: Sequence[int], size: Size) -> int:
    """Pixels per cell of a grid of the shape ``(batch, feature, height, width)``."""
    return max(1, round(size[1] / shape[2]))


def _is_last(shape: Sequence[int], size: Size) -> bool:
    """Say whether the feature axis of a grid is its last, for then the axes before it divide the image alike."""

    def alike(height: int, width: int) -> bool:
        return round(size[1] / height) == round(size[2] / width) > 0

    return alike(shape[1], shape[2]) and not alike(shape[2], shape[3])


def _rectangle(count: int, size: Size) -> tuple[int, int] | None:
    """Find the height and width of a grid of so many cells, in the proportions of the image; None when there is none."""
    height = round((count * size[1] / size[2]) ** 0.5) if count > 0 else 0
    width = count // height if height else 0
    alike = height * width == count > 0 and round(size[1] / height) == round(size[2] / width)
    return (height, width) if alike else None
