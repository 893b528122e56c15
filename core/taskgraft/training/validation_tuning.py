"""Settling: what a head chooses by validation rows once its weights have learned."""

from dataclasses import dataclass
from typing import Any

from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.head import Head
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import InvalidRows, RenamedColumns, Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.examples import Targets, all_targets
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError


def check_validation(label: str, description: HeadDescription, held: Rows | None) -> None:
    """Refuse, before anything is prepared, a head without the validation rows that it settles by, or columns that it names.

    Args:
        label: what messages call the head.

    Raises:
        NothingToSettleBy: when there are no validation rows.
        MissingColumn: for a column that they do not have.
    """
    if held is None:
        if description.tunes:
            raise NothingToSettleBy(label, description.tunes)
        return
    for column in description.tuning_columns:
        held.column(column)


def check_tuning_rows(head: Head[Any], target: TargetDescription, rows: Rows, encoded: Targets) -> None:
    """Let a head look at the validation rows before training.

    Raises:
        InvalidRows: naming those that it cannot settle by.
    """
    if not head.description.tunes:
        return
    try:
        head.check_tuning_rows(all_targets(encoded), _columns(head, rows), target)
    except InvalidTargets as error:
        raise InvalidRows(rows, error.reasons) from None


def tune_on_validation(
    head: Head[Any],
    target: TargetDescription,
    task: TaskModule,
    feature: FeatureDescription,
    predictions: Predictions,
    rows: Rows,
    encoded: Batch,
) -> TargetDescription:
    """Let a head complete its target description; its module is built anew and takes over the weights.

    Args:
        predictions: for the validation rows.
        rows: the validation rows, with their targets ``encoded``.
    """
    completed: TargetDescription = head.tune(predictions, encoded, _columns(head, rows), target)
    module = head.build_module(feature, completed).to(task.device)
    module.load_state_dict(task.head.state_dict())
    task.head = module.eval()
    return completed


def _columns(head: Head[Any], rows: Rows) -> RenamedColumns:
    return RenamedColumns(rows, {column: column for column in head.description.tuning_columns})


@dataclass(eq=False)
class NothingToSettleBy(TaskgraftError):
    """A head that chooses something by validation rows, and none are there."""

    head: str
    settles: str

    def __str__(self) -> str:
        return (
            f"'{self.head}' chooses {self.settles} by validation rows after training, but there are none. "
            "Give data.validation or data.split."
        )
