"""Inserted modules merged into the layers they stand around: the same function, in the layers' own tensors."""

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

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

APART = 1e-5
"""How far merged and unmerged may lie apart in 32 bits, relative to the largest value (at least to 1); fewer bits round
more."""


@dataclass(eq=False)
class MergeError(TaskgraftError):
    """An insertion that cannot be written as the layer it stands around."""

    name: str
    problem: str

    def __str__(self) -> str:
        return (
            f"The insertion '{self.name}' cannot be merged: {self.problem}. "
            "The model is as it was; it can be saved and used with its insertions."
        )


@dataclass
class AdapterMerge:
    """Inserted modules that were merged, and how to bring them back.

    Attributes:
        features: of some rows, computed anew whenever asked for; None where no rows are to be compared.
    """

    backbone: Backbone
    inserted: Sequence[InsertedModule]
    features: Callable[[], Features] | None = None
    _done: list[tuple[str, nn.Module, dict[str, Tensor]]] = field(default_factory=list)

    @torch.no_grad()
    def merge(self) -> None:
        """Merge all of them and compare, layer by layer and the features of the rows. It is done whole or not at all.

        Raises:
            MergeError: for the first that has no such form, or that does not compute the same.
        """
        for one in self.inserted:
            if one.insertion.merge is None:
                raise MergeError(one.insertion.name, f"what it adds to {one.path} is no change of that layer's weights")
        self.backbone.eval()
        before = self.features() if self.features else None
        try:
            for number, one in enumerate(self.inserted):
                self._merge(one, current_path(one, self.inserted[number + 1 :]), compared=before is not None)
            if before is not None and self.features is not None:
                apart = max_relative_difference(before, self.features())
                if not apart <= _allowed(before.value.dtype):
                    names = ", ".join(dict.fromkeys(one.insertion.name for one in self.inserted))
                    raise MergeError(names, f"features before and after differ by {apart:.1e} of the largest")
        except BaseException:
            self.undo()
            raise

    @torch.no_grad()
    def undo(self) -> None:
        """Bring everything back to what it was before, bit for bit."""
        for path, around, values in reversed(self._done):
            now = named_tensors(self.backbone.get_submodule(path))
            for name, value in values.items():
                now[name].copy_(value)
            self.backbone.set_submodule(path, around)
        self._done.clear()

    def _merge(self, one: InsertedModule, path: str, *, compared: bool) -> None:
        """Merge one.

        Args:
            path: where it stands now, below those that were inserted around it later.
            compared: whether features will be, so that a layer that cannot be tried by itself may pass.
        """
        insertion, around = one.insertion, self.backbone.get_submodule(path)
        assert insertion.merge is not None
        layer = around.get_submodule(one.inside)
        merged = insertion.merge(deepcopy(around)).eval()
        new, old = named_tensors(merged), named_tensors(layer)
        if _forms(new) != _forms(old):
            raise MergeError(insertion.name, f"what it makes of {one.path} does not have the tensors of that layer")
        tried = next(_tries(layer, around), None)
        if tried is None and not compared:
            problem = f"nothing says what {one.path} reads, so it cannot be compared; give some rows with check=…"
            raise MergeError(insertion.name, problem)
        if tried is not None:
            wanted = around(tried)
            apart = float((merged(tried) - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
            if not apart <= _allowed(wanted.dtype):
                raise MergeError(insertion.name, f"what it makes of {one.path} differs by {apart:.1e} of the largest")
        self._done.append((path, around, {name: tensor.detach().clone() for name, tensor in old.items()}))
        for name, tensor in old.items():
            tensor.copy_(new[name])
        self.backbone.set_submodule(path, layer)


def merged_tensors(backbone: Backbone, inserted: Sequence[InsertedModule]) -> frozenset[str]:
    """Name the base tensors that merging changes: those of the layers, now bare, that modules stood around."""
    return frozenset(
        f"{one.path}.{name}" for one in inserted for name in named_tensors(backbone.get_submodule(one.path))
    )


def _forms(named: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in named.items()}


def _allowed(dtype: torch.dtype) -> float:
    return max(APART, 8 * torch.finfo(dtype).eps)


def _tries(layer: nn.Module, around: nn.Module) -> Iterator[Tensor]:
    """Give random inputs that a layer reads; none where its shapes do not say what it reads."""
    weight = next((one for one in layer.parameters() if one.dim() >= 2), None)
    if weight is None:
        return
    generator = torch.Generator().manual_seed(0)
    for shape in _shapes(layer, weight):
        drawn = torch.randn(shape, generator=generator).to(weight)
        try:
            around(drawn)
        except (
            RuntimeError,
            ValueError,
            TypeError,
            IndexError,
            AssertionError,
        ):
            continue  # so layers say that they read another shape
        yield drawn


def _shapes(layer: nn.Module, weight: Tensor) -> Iterator[tuple[int, ...]]:
    if isinstance(layer, CONVOLUTIONS):
        sides = (
            max(1, (kernel - 1) * dilation + 1) + stride
            for kernel, dilation, stride in zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
        )
        yield (2, layer.in_channels, *sides)
    elif weight.dim() == 2:
        yield from (
            (4, 3, size) for size in dict.fromkeys(reversed(weight.shape))
        )  # linear layers differ in which axis
