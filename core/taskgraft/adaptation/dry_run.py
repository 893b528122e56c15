"""One small pass, forward and backward, through a backbone with everything inserted that a strategy wants to insert.

What works is found out by trying, when a model is composed: on a sketch of the backbone without weights where its spec offers
one, on the object itself where one was given, else on the first real rows, before anything is trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from taskgraft.adaptation.insertion import (
    InsertedModule,
    InvalidInsertion,
    insert_modules,
    original_named_tensors,
    remove_modules,
)
from taskgraft.adaptation.trainable import resolve_trainable
from taskgraft.composition.compose import Composition, GivenObject
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.batch import Batch
from taskgraft.contract.features import Features
from taskgraft.errors import TaskgraftError, join_words

ROWS = 2
"""Real rows that an insertion is tried on."""


@dataclass(eq=False)
class InsertionFailed(TaskgraftError):
    """Modules that a strategy inserts do not work in a backbone."""

    strategy: str
    backbone: str
    problem: str

    def __str__(self) -> str:
        return (
            f"'{self.strategy}' does not work in '{self.backbone}', as one pass with it showed: {self.problem}.\n"
            "Choose another strategy, or other layers for this one."
        )


@dataclass(eq=False)
class BackboneFailed(TaskgraftError):
    """A backbone that fails with nothing inserted."""

    backbone: str
    problem: str

    def __str__(self) -> str:
        return f"'{self.backbone}' fails by itself, before anything is inserted into it: {self.problem}."


def dry_run_composition(composition: Composition) -> Composition:
    """Try what a plan inserts, and find what it chooses to learn, as far as that can be done without weights.

    Returns:
        the composition, marked as tried where it could be.

    Raises:
        InvalidStage: when a choice of tensors is empty.
        InsertionFailed: with the reason.
    """
    inserts = any(stage.insertions for stage in composition.plan)
    chooses = any(learn.chooses for stage in composition.plan for learn in stage.unfreeze)
    backbone = _without_weights(composition) if inserts or chooses else None
    if backbone is not None and chooses and not inserts:
        for stage in composition.plan:
            resolve_trainable(stage, backbone, composition.layout, nn.Module(), ())
    if not inserts:
        return replace(composition, tried=True)
    batch = None if backbone is None else backbone.example_batch()
    if backbone is None or batch is None:
        return composition
    try:
        dry_run(composition, backbone, batch)
    except BackboneFailed:  # without data, for it looks at them
        return composition
    return replace(composition, tried=True)


def _without_weights(composition: Composition) -> Backbone | None:
    """Give the sketch of a backbone, or the object itself where one was given; None where there is no sketch."""
    chosen = composition.backbone
    if isinstance(chosen, GivenObject):
        return chosen.value
    return None if chosen.spec.build_on_meta is None else chosen.spec.build_on_meta(chosen.config)


def dry_run(composition: Composition, backbone: Backbone, batch: Batch) -> None:
    """Try what a plan inserts on some rows, and take it out again.

    Raises:
        InvalidInsertion: when an insertion cannot be made.
        InsertionFailed: when a pass with it fails, the features have another shape, or do not depend on an inserted tensor.
        BackboneFailed: when the backbone fails by itself.
    """
    who = composition.strategy.label, composition.backbone.label
    with _tried_on(backbone):
        batch = batch.to(_device(backbone))
        try:
            with torch.no_grad():
                before = backbone(batch, composition.layout)
        except Exception as error:
            raise BackboneFailed(who[1], _told(error)) from error
        inserted: tuple[InsertedModule, ...] = ()
        try:
            for stage in composition.plan:
                inserted = (*inserted, *insert_modules(backbone, stage.insertions, inserted))
            backbone.eval()
            learn = _learning(backbone, inserted)
            after = backbone(batch, composition.layout)
            problem = _changed(before, after) or _unconnected(after, learn)
        except InvalidInsertion:
            raise
        except Exception as error:  # whatever a library raises is the reason
            problem = _told(error)
        finally:
            remove_modules(backbone, inserted)
    if problem is not None:
        raise InsertionFailed(*who, problem)


def _told(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, TaskgraftError) else f"{type(error).__name__}: {text}"


def _learning(backbone: Backbone, inserted: Sequence[InsertedModule]) -> Mapping[str, Tensor]:
    found = {
        name: tensor
        for name, tensor in original_named_tensors(backbone, inserted).items()
        if isinstance(tensor, nn.Parameter) and any(one.learns(name) for one in inserted)
    }
    for tensor in found.values():
        tensor.requires_grad_(True)
    return found


def _changed(before: Features, after: Features) -> str | None:
    """Say how features no longer fit what they were."""
    shapes = [tuple(value.shape) for value in before.values], [tuple(value.shape) for value in after.values]
    elements = before.lengths is not None and before.value.shape[:2] != after.value.shape[:2]
    if elements:
        counts = before.value.shape[1], after.value.shape[1]
        return (
            f"the features have {counts[1]} elements in place of {counts[0]}, so they no longer line up with the inputs"
        )
    if shapes[0] != shapes[1]:
        return f"the features have the shape {join_words(map(str, shapes[1]))} in place of {join_words(map(str, shapes[0]))}"
    return None


def _unconnected(after: Features, learn: Mapping[str, Tensor]) -> str | None:
    """Say which inserted tensors the features do not depend on. One behind a gate that is still zero is connected."""
    loss = sum((value.double().sum() for value in after.values), torch.zeros((), dtype=torch.float64))
    gradients: Sequence[Tensor | None] = [None] * len(learn)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, list(learn.values()), allow_unused=True)
    lost = [name for name, gradient in zip(learn, gradients, strict=True) if gradient is None]
    if not lost:
        return None
    return f"the features do not depend on {join_words(lost, 2)}, so that would never learn"


@contextmanager
def _tried_on(backbone: Backbone) -> Iterator[None]:
    """Leave modes, gradients and random numbers as they were."""
    modes = [(module, module.training) for module in backbone.modules()]
    asked = [(tensor, tensor.requires_grad) for tensor in backbone.parameters()]
    try:
        with torch.random.fork_rng(devices=[]), torch.device(_device(backbone)), _MetaScalars():
            backbone.eval().requires_grad_(False)
            yield
    finally:
        for module, training in modes:
            module.training = training
        for tensor, wanted in asked:
            tensor.requires_grad_(wanted)


def _device(backbone: Backbone) -> torch.device:
    return next((tensor.device for tensor in named_tensors(backbone).values()), torch.device("cpu"))


class _MetaScalars(TorchFunctionMode):
    """Lets code that looks at a number of a tensor without data see 1, as a mask without padding would show."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        looks = getattr(function, "__name__", "") in ("__bool__", "__int__", "__index__", "__float__", "item")
        if looks and isinstance(args[0], Tensor) and args[0].is_meta:
            return True if function.__name__ == "__bool__" else 1
        return function(*args, **(kwargs or {}))
