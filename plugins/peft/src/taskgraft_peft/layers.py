"""What all adapters around layers share: putting peft's layers around them, and merging those away."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig
from torch import nn
from transformers.pytorch_utils import Conv1D

from taskgraft.plugin import TaskgraftError, join_words

HELD = "layers"
"""The attribute of a :class:`Holder` with the layers."""

EVERY = rf"{HELD}\.\d+"
"""What peft is told to go around: all layers of a holder."""


class Holder(nn.Module):
    """The model that peft sees: layers, one beside the other."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)


def put_around(
    layers: Sequence[nn.Module], config: PeftConfig, inject: Callable[[PeftConfig, Holder], object]
) -> list[nn.Module]:
    """Let peft go around layers.

    Args:
        config: targets :data:`EVERY`.
        inject: puts peft's layers into a holder.

    Returns:
        peft's layers, one for each, which hold them as ``base_layer``.

    Raises:
        CannotAdapt: when peft cannot.
    """
    holder = Holder(layers)
    with quiet():
        try:
            inject(config, holder)
        except (NotImplementedError, TypeError, ValueError) as error:
            kinds = sorted({type(layer).__name__ for layer in layers})
            raise CannotAdapt(tuple(kinds), str(error)) from None
    return list(holder.layers)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep peft from warning of what it sets right by itself, or does only when it is asked to merge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def turned(layer: nn.Module) -> bool:
    """Say whether the weight of a layer is ``(in, out)``, as transformers' Conv1D has it."""
    return isinstance(layer, Conv1D)


def merged(adapter: nn.Module) -> nn.Module:
    """Give a layer that alone computes what it does with peft's layer around it. The layer itself stays as it is.

    Raises:
        MergeError: when peft cannot.
    """
    copy: Any = deepcopy(adapter)
    layer: nn.Module = copy.get_base_layer()
    try:
        copy.merge(safe_merge=True)
    except (NotImplementedError, ValueError) as error:
        raise CannotMerge(type(layer).__name__, str(error)) from None
    return layer


@dataclass(eq=False)
class CannotAdapt(TaskgraftError):
    """Layers that peft does not go around."""

    kinds: tuple[str, ...]
    problem: str

    def __str__(self) -> str:
        return f"peft does not go around a layer of the type {join_words(self.kinds)}: {self.problem.rstrip('.')}."


@dataclass(eq=False)
class CannotMerge(TaskgraftError):
    """An adapter that does not become part of its layer."""

    layer: str
    problem: str

    def __str__(self) -> str:
        return f"The adapter of a layer of the type {self.layer} cannot be merged into it: {self.problem.rstrip('.')}."
