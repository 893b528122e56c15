"""Merging: inserted modules become part of the layers they wrap, which then compute the same function alone."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from taskgraft.adaptation.insertion import InsertedModule, current_path
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.features import Features
from taskgraft.engine.feature_checks import max_relative_difference
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
    """Merges inserted modules, and can undo it. ``features`` computes those of some rows to compare before and after."""

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
                self._merge(one, current_path(one, self.inserted[index + 1 :]))
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

    def _merge(self, one: InsertedModule, path: str) -> None:
        """Merge the module at a path. If features are compared, the input shape of its layer may be unknown."""
        insertion, around = one.insertion, self.backbone.get_submodule(path)
        assert insertion.merge is not None
        layer = around.get_submodule(one.inside)
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
