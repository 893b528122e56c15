"""Merge inserted modules into the weights of a fitted task, for good or for one export."""

from pathlib import Path
from typing import Any

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.merging import AdapterMerge, example_features
from taskgraft.artifact.export import export_checkpoint
from taskgraft.composition.compose import Composition
from taskgraft.inference.predict import reference_features
from taskgraft.recipe import Recipe


def merge_inserted(fitted: FittedTask, recipe: Recipe, check: Any) -> None:
    """Merge for good. Arguments and errors as for :meth:`taskgraft.TaskModel.merge`."""
    _start_merge(fitted, recipe, check).merge()
    if fitted.inserted:
        fitted.mark_merged()


def export_merged(
    fitted: FittedTask, composition: Composition, recipe: Recipe, folder: Path, check: Any, *, overwrite: bool
) -> Path:
    """Export the backbone with merged modules. Arguments, result and errors as for :meth:`taskgraft.TaskModel.export`."""
    merge = _start_merge(fitted, recipe, check)
    merge.merge()
    try:
        return export_checkpoint(fitted.task.backbone, recipe, composition, folder, overwrite=overwrite)
    finally:
        merge.undo()


def _start_merge(fitted: FittedTask, recipe: Recipe, check: Any) -> AdapterMerge:
    backbone = fitted.task.backbone
    if check is None:
        features = example_features(backbone, fitted.task.layout) if fitted.inserted else None
    else:
        features = reference_features(fitted, recipe, check)
    return AdapterMerge(backbone, fitted.inserted, features)
