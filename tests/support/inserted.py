"""What a strategy inserted into a fitted model, for tests of plugins, which import no module of the core."""

from collections.abc import Mapping

from torch import Tensor

import taskgraft as tg
from taskgraft.adaptation.insertion import is_inserted, named_modules, original_named_tensors, remove_modules
from taskgraft.adaptation.trainable import resolve_trainable


def inserted_paths(model: tg.TaskModel) -> list[str]:
    """List the inserted modules by dotted path."""
    modules = named_modules(model.fitted.task.backbone, model.fitted.inserted)
    return [name for name, _ in modules if is_inserted(name)]


def original_tensors(model: tg.TaskModel) -> Mapping[str, Tensor]:
    """Give all tensors of the backbone; those of the base by their original names."""
    return original_named_tensors(model.fitted.task.backbone, model.fitted.inserted)


def remove_inserted(model: tg.TaskModel) -> None:
    """Remove all inserted modules."""
    remove_modules(model.fitted.task.backbone, model.fitted.inserted)


def rate_factors(model: tg.TaskModel, group: str) -> Mapping[str, float]:
    """Give the factors on the learning rate of a parameter group: name of a tensor → factor."""
    task, (stage,) = model.fitted.task, model.composition.plan
    trainable = resolve_trainable(stage, task.backbone, task.layout, task.head, model.fitted.inserted)
    (found,) = (one for one in trainable.groups if one.name == group)
    return {name: found.factors.get(name, 1.0) for name in found.tensors}
