"""Make a task model: from three components, or from an artifact."""

from pathlib import Path
from typing import Any

from taskgraft.adaptation.dry_run import dry_run_composition
from taskgraft.artifact.load import load_fitted
from taskgraft.composition.compose import build_head, compose_components
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.head import Head
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.entry_point import entry_point
from taskgraft.engine.random_state import Use
from taskgraft.model.task_model import TaskModel
from taskgraft.preparation.distillation import teacher_target, teachers_of


@entry_point("compose the model. Choose a smaller backbone.", Use.DRAW)
def compose(
    backbone: ComponentReference | Backbone,
    head: ComponentReference | Head[Any],
    strategy: ComponentReference | Strategy,
) -> TaskModel:
    """Compose a task model. Reads no weights, but tests what the strategy inserts in a dry run.

    Args:
        backbone: a name (``"hf-text:some/checkpoint"``), a dict with ``name`` and settings, or an object.
        head, strategy: the same.

    Returns:
        a model that is not fitted yet.

    Raises:
        TaskgraftError: for an unknown name, an invalid setting, or components that do not fit together.
    """
    composition = compose_components(catalog(), backbone, head, strategy)
    if teachers_of(composition.plan):  # raises for an artifact that cannot be the teacher of this head
        teacher_target(composition.plan, build_head(composition), composition.head.label)
    composition = dry_run_composition(composition)
    return TaskModel(composition, composition.to_recipe())


@entry_point("load the model. Close other programs, or choose a smaller backbone.", Use.DRAW)
def load(
    path: str | Path,
    *,
    backbone: ComponentReference | Path | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
    device: str = "cpu",
) -> TaskModel:
    """Load an artifact, after verifying all of it.

    Args:
        path: the folder of the artifact.
        backbone: the path of the base, if it has moved without the artifact, or the backbone's name with it; its other settings
            stay. A dict stands for the whole backbone. The object, if it was composed from one.
        head, strategy: the object, if it was composed from one.
        device: where to put the model, such as ``"cuda:0"``.

    Returns:
        the fitted model.

    Raises:
        InvalidArtifact: for damage, a changed base or processor, missing plugins, or settings that need your consent.
        InvalidDevice: when the device cannot be used.
    """
    composition, recipe, fitted = load_fitted(path, backbone=backbone, head=head, strategy=strategy, device=device)
    return TaskModel(composition, recipe, fitted)
