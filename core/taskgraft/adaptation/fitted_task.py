"""The fitted task: the trained module, the head's target description, and which tensors were trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from taskgraft.adaptation.insertion import InsertedModule, is_inserted
from taskgraft.adaptation.merging import merged_tensors
from taskgraft.adaptation.trainable import task_tensors
from taskgraft.contract.config import Config
from taskgraft.contract.head import Head
from taskgraft.contract.targets import TargetDescription
from taskgraft.engine.task_module import TaskModule


@dataclass
class FittedTask:
    """What a fit or an artifact adds to a composition.

    Attributes:
        trained: names of the tensors that any stage trained.
        base: the fingerprint of the base weights; None for random weights.
        metrics: on the validation rows; empty if there were none.
        baselines: name of a baseline → its state, fitted on the training rows.
        baseline_targets: name of a baseline → the target description that the head tuned for it on the validation rows.
        merged: whether inserted modules were merged into the base tensors.
        chosen: what the validation rows decided ("threshold" → 0.41); None for what is not a single number.
    """

    task: TaskModule
    head: Head[Any]
    target: TargetDescription
    inserted: tuple[InsertedModule, ...]
    trained: frozenset[str]
    base: str | None
    metrics: Mapping[str, float]
    baselines: Mapping[str, Config]
    merged: bool = False
    chosen: Mapping[str, float | None] = field(default_factory=dict)
    baseline_targets: Mapping[str, TargetDescription] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Return all present tensors by name. See :func:`taskgraft.adaptation.trainable.task_tensors`."""
        return task_tensors(self.task.backbone, self.task.head, self.inserted)

    def mark_merged(self) -> None:
        """Count the base tensors that inserted modules were merged into as trained; the modules are gone."""
        base = {name for name in self.trained if not is_inserted(name)}
        self.trained = frozenset(base) | merged_tensors(self.task.backbone, self.inserted)
        self.inserted, self.merged = (), True
