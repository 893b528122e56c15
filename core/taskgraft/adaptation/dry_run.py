"""Dry run of a strategy's insertions: one small forward and backward pass through a backbone with everything inserted.

It runs when a model is composed, on the backbone's spec without weights (torch's meta device) or on the object that was passed;
otherwise on the first real rows, before training.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from taskgraft.composition.compose import Composition
from taskgraft.composition.plugin_errors import find_plugin_failure
from taskgraft.composition.resolve import GivenObject
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.features import Features
from taskgraft.engine.task_module import module_device, restore_modes
from taskgraft.errors import TaskgraftError, join_words

DRY_RUN_ROWS = 2


class InsertionFailed(TaskgraftError):
    """Modules that a strategy inserts do not work in a backbone."""


class BackboneFailed(TaskgraftError):
    """A backbone that fails with nothing inserted."""


def dry_run_composition(composition: Composition) -> Composition:
    """Try a plan's insertions and selections of tensors, as far as that is possible without weights.

    Returns:
        the composition, with ``dry_run_done`` where a dry run was possible or is not needed.

    Raises:
        InvalidStage, InvalidInsertion, InsertionFailed: if the plan does not fit the backbone.
    """
    inserts = any(stage.insertions for stage in composition.plan)
    selects = any(unfreeze.chooses for stage in composition.plan for unfreeze in stage.unfreeze)
    backbone = _backbone_without_weights(composition) if inserts or selects else None
    if backbone is not None and selects and not inserts:
        for stage in composition.plan:
            resolve_trainable(stage, backbone, composition.layout, nn.Module(), ())
    if not inserts:
        return replace(composition, dry_run_done=True)
    batch = None if backbone is None else backbone.example_batch()
    if backbone is None or batch is None:
        return composition
    try:
        dry_run(composition, backbone, batch)
    except BackboneFailed:  # on the meta device: its forward pass reads values
        return composition
    return replace(composition, dry_run_done=True)


def _backbone_without_weights(composition: Composition) -> Backbone | None:
    """Build a backbone on the meta device, or return the object that was passed; None if the spec builds no such backbone."""
    chosen = composition.backbone
    if isinstance(chosen, GivenObject):
        return chosen.value
    return None if chosen.spec.build_on_meta is None else chosen.spec.build_on_meta(chosen.config)


def dry_run(composition: Composition, backbone: Backbone, batch: Batch) -> None:
    """Insert everything in a plan, run some rows through it, and remove it again.

    Raises:
        InvalidInsertion: if an insertion cannot be made.
        InsertionFailed: if the forward pass fails, features change shape, or do not depend on an inserted parameter.
        BackboneFailed: if the backbone fails with nothing inserted.
    """
    strategy, name = composition.strategy.label, composition.backbone.label
    with _without_side_effects(backbone):
        batch = batch.to(module_device(backbone))
        try:
            with torch.no_grad():
                before = backbone(batch, composition.layout)
        except Exception as error:
            failure, reason = find_plugin_failure(error), _error_text(error)
            reason = reason if failure is None else f"{reason}. {failure}"
            raise BackboneFailed(
                f"'{name}' fails on its own, before anything is inserted into it: {reason}."
            ) from error
        inserted: tuple[InsertedModule, ...] = ()
        try:
            for stage in composition.plan:
                inserted = (*inserted, *insert_modules(backbone, stage.insertions, inserted))
            backbone.eval()
            parameters = _unfreeze_inserted(backbone, inserted)
            after = backbone(batch, composition.layout)
            problem = _find_shape_change(before, after) or _find_unused(after, parameters)
        except InvalidInsertion:
            raise
        except Exception as error:  # any exception of a library is the reason
            problem = _error_text(error)
        finally:
            remove_modules(backbone, inserted)
    if problem is not None:
        raise InsertionFailed(
            f"'{strategy}' does not work in '{name}', as a dry run showed: {problem}.\n"
            "Choose another strategy, or other layers for this one."
        )


def _error_text(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, TaskgraftError) else f"{type(error).__name__}: {text}"


def _unfreeze_inserted(backbone: Backbone, inserted: Sequence[InsertedModule]) -> Mapping[str, Tensor]:
    """Return the trainable inserted parameters by name, with ``requires_grad`` set."""
    return {
        name: tensor.requires_grad_(True)
        for name, tensor in original_named_tensors(backbone, inserted).items()
        if isinstance(tensor, nn.Parameter) and any(one.has_trainable(name) for one in inserted)
    }


def _find_shape_change(before: Features, after: Features) -> str | None:
    old, new = ([tuple(value.shape) for value in features.values] for features in (before, after))
    if before.lengths is not None and old[0][:2] != new[0][:2]:
        return (
            f"the features have {new[0][1]} elements instead of {old[0][1]}, so they no longer line up with the inputs"
        )
    if old != new:
        return f"the features have the shape {join_words(new)} instead of {join_words(old)}"
    return None


def _find_unused(after: Features, parameters: Mapping[str, Tensor]) -> str | None:
    """Name inserted parameters that the features do not depend on. One behind a gate that is still zero is used."""
    loss = sum((value.double().sum() for value in after.values), torch.zeros((), dtype=torch.float64))
    gradients: Sequence[Tensor | None] = [None] * len(parameters)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    unused = [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None]
    if not unused:
        return None
    return f"the features do not depend on {join_words(unused, 2)}, so it would never be trained"


@contextmanager
def _without_side_effects(backbone: Backbone) -> Iterator[None]:
    """Restore modes, ``requires_grad`` and the random state; new tensors are on the backbone's device."""
    required = [(parameter, parameter.requires_grad) for parameter in backbone.parameters()]
    with restore_modes(backbone), torch.random.fork_rng(devices=[]):
        try:
            with torch.device(module_device(backbone)), _MetaScalars():
                backbone.eval().requires_grad_(False)
                yield
        finally:
            for parameter, requires_grad in required:
                parameter.requires_grad_(requires_grad)


class _MetaScalars(TorchFunctionMode):
    """Makes ``item()``, ``bool()`` and the like of meta tensors return 1 or True, as for a mask without padding."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        name = getattr(func, "__name__", "")
        reads_value = name in ("__bool__", "__int__", "__index__", "__float__", "item")
        if reads_value and isinstance(args[0], Tensor) and args[0].is_meta:
            return True if name == "__bool__" else 1
        return func(*args, **(kwargs or {}))
