"""Merging: inserted modules become part of the layers they wrap, which then compute the same function alone."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from taskgraft.adaptation.insertion import InsertedModule, current_path, original_name
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.engine.feature_checks import max_relative_difference
from taskgraft.engine.task_module import module_device
from taskgraft.errors import TaskgraftError

_TOLERANCE = 1e-5
"""How far merged and unmerged may differ in fp32, relative to the largest value (at least to 1); fewer bits round more."""


@dataclass(eq=False)
class MergeError(TaskgraftError):
    """An insertion that cannot be merged into the layer it wraps."""

    name: str
    problem: str

    def __str__(self) -> str:
        return (
            f"The insertion '{self.name}' cannot be merged: {self.problem}. "
            "The model is unchanged; it can be saved and used with its insertions."
        )


@dataclass
class AdapterMerge:
    """Merges inserted modules, and can undo it. ``features`` computes those of some rows to compare before and after.

    A layer that shares a weight with a module elsewhere (tied embeddings, a layer that is called in two places) is not merged:
    the other module would change too.
    """

    backbone: Backbone
    inserted: Sequence[InsertedModule]
    features: Callable[[], Features] | None = None
    _merged: list[tuple[str, nn.Module, dict[str, Tensor]]] = field(default_factory=list)

    @torch.no_grad()
    def merge(self) -> None:
        """Merge all modules, or none. Raises MergeError if one cannot be merged, or its layer or the features differ then."""
        for one in self.inserted:
            if one.insertion.merge is None:
                problem = f"what it adds to {one.path} is not a change of that layer's weights"
                raise MergeError(one.insertion.name, problem)
        self.backbone.eval()
        before = self.features() if self.features else None
        try:
            for index, one in enumerate(self.inserted):
                self._merge(one, self.inserted[index:])
            if before is not None and self.features is not None:
                difference = max_relative_difference(before, self.features())
                if not difference <= _tolerance(before.value.dtype):
                    names = ", ".join(dict.fromkeys(one.insertion.name for one in self.inserted))
                    problem = f"features before and after differ by {difference:.1e} of the largest value"
                    raise MergeError(names, problem)
        except BaseException:
            self.undo()
            raise

    @torch.no_grad()
    def undo(self) -> None:
        """Restore modules and weights, bit for bit."""
        for path, around, values in reversed(self._merged):
            now = named_tensors(self.backbone.get_submodule(path))
            for name, value in values.items():
                now[name].copy_(value)
            self.backbone.set_submodule(path, around)
        self._merged.clear()

    def _merge(self, one: InsertedModule, present: Sequence[InsertedModule]) -> None:
        """Merge the first of the present modules. If features are compared, the input shape of its layer may be unknown."""
        path = current_path(one, present[1:])
        insertion, around = one.insertion, self.backbone.get_submodule(path)
        assert insertion.merge is not None
        layer = around.get_submodule(one.inside)
        if (shared := _shared_tensor(self.backbone, path, layer)) is not None:
            own, other = shared
            problem = f"{one.path} shares its {own} with {original_name(other, present)}, which would change too"
            raise MergeError(insertion.name, problem)
        merged = insertion.merge(deepcopy(around)).eval()
        new, old = named_tensors(merged), named_tensors(layer)
        if _shapes_and_dtypes(new) != _shapes_and_dtypes(old):
            raise MergeError(insertion.name, f"the merged {one.path} does not have the tensors of that layer")
        value = next(_random_inputs(layer, around), None)
        if value is None and self.features is None:
            problem = f"the input shape of {one.path} is unknown, so it cannot be compared; pass some rows as check=…"
            raise MergeError(insertion.name, problem)
        if value is not None:
            expected = around(value)
            difference = float((merged(value) - expected).abs().max()) / max(1.0, float(expected.abs().max()))
            if not difference <= _tolerance(expected.dtype):
                problem = f"the merged {one.path} differs by {difference:.1e} of the largest value"
                raise MergeError(insertion.name, problem)
        self._merged.append((path, around, {name: tensor.detach().clone() for name, tensor in old.items()}))
        for name, tensor in old.items():
            tensor.copy_(new[name])
        self.backbone.set_submodule(path, layer)


def merged_tensors(backbone: Backbone, inserted: Sequence[InsertedModule]) -> frozenset[str]:
    """Return the names of the base tensors that merging changed: those of the layers that were wrapped."""
    return frozenset(
        f"{one.path}.{name}" for one in inserted for name in named_tensors(backbone.get_submodule(one.path))
    )


def example_features(backbone: Backbone, layout: Layout) -> Callable[[], Features] | None:
    """Return a function that computes features of the backbone's own example batch; None if it has none."""
    example = backbone.example_batch()
    if example is None:
        return None
    batch = example.to(module_device(backbone))

    def features() -> Features:
        with torch.no_grad():
            return backbone(batch, layout)  # type: ignore[no-any-return]

    return features


def _shared_tensor(backbone: Backbone, path: str, layer: nn.Module) -> tuple[str, str] | None:
    """Find a tensor of a layer that lies in the same memory as one outside the module at a path. Return both names."""
    own = named_tensors(layer)
    for other, tensor in _tensors_outside(backbone, "", backbone.get_submodule(path), set()):
        name = next((name for name, mine in own.items() if _overlap(mine, tensor)), None)
        if name is not None:
            return name, other
    return None


def _tensors_outside(
    module: nn.Module, prefix: str, skipped: nn.Module, visited: set[int]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of all modules but one and those below it, each module once."""
    if module is skipped or id(module) in visited:
        return
    visited.add(id(module))
    for name, tensor in (*module.named_parameters("", False), *module.named_buffers("", False)):
        yield f"{prefix}{name}", tensor
    for name, child in module.named_children():
        yield from _tensors_outside(child, f"{prefix}{name}.", skipped, visited)


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors share memory. Their strides are taken to cover the whole range that they span."""
    if one.device != other.device or not one.numel() or not other.numel():
        return False
    (first, first_end), (second, second_end) = map(_memory_range, (one, other))
    return first < second_end and second < first_end


def _memory_range(tensor: Tensor) -> tuple[int, int]:
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (steps + 1) * tensor.element_size()


def _shapes_and_dtypes(named: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in named.items()}


def _tolerance(dtype: torch.dtype) -> float:
    return max(_TOLERANCE, 8 * torch.finfo(dtype).eps)


def _random_inputs(layer: nn.Module, around: nn.Module) -> Iterator[Tensor]:
    """Yield random inputs that a layer accepts; none where its weights do not show the shape."""
    weight = next((parameter for parameter in layer.parameters() if parameter.dim() >= 2), None)
    if weight is None:
        return
    generator = torch.Generator().manual_seed(0)
    for shape in _possible_shapes(layer, weight):
        value = torch.randn(shape, generator=generator).to(weight)
        try:
            around(value)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
            continue  # a layer's ways to reject a shape
        yield value


def _possible_shapes(layer: nn.Module, weight: Tensor) -> Iterator[tuple[int, ...]]:
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        sides = (
            max(1, (kernel - 1) * dilation + 1) + stride
            for kernel, dilation, stride in zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
        )
        yield (2, layer.in_channels, *sides)
    elif weight.dim() == 2:  # linear layers differ in which axis is the input
        yield from ((4, 3, size) for size in dict.fromkeys(reversed(weight.shape)))
