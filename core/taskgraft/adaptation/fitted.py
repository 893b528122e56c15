"""A trained task: the module, what its head learned, and which tensors moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskgraft.adaptation.insertion import InsertedModule, is_inserted
from taskgraft.adaptation.merging import merged_tensors
from taskgraft.contract.config import Config
from taskgraft.contract.head import Head
from taskgraft.contract.targets import TargetDescription
from taskgraft.engine.task_module import TaskModule


@dataclass
class FittedTask:
    """What a fit or an artifact adds to a composition.

    Attributes:
        learned: names of the tensors that learned in any stage.
        base: the fingerprint of the checkpoint below; None when there is none.
        metrics: on the validation data; empty when there were none.
        baselines: name of a baseline → what it learned from the training rows.
        merged: whether what was inserted lies in the base tensors now.
    """

    task: TaskModule
    head: Head[Any]
    target: TargetDescription
    inserted: tuple[InsertedModule, ...]
    learned: frozenset[str]
    base: str | None
    metrics: Mapping[str, float]
    baselines: Mapping[str, Config]
    merged: bool = False

    def take_as_merged(self) -> None:
        """Count the base tensors that hold what was inserted, and is no longer there, as learned."""
        base = {name for name in self.learned if not is_inserted(name)}
        self.learned = frozenset(base) | merged_tensors(self.task.backbone, self.inserted)
        self.inserted, self.merged = (), True
