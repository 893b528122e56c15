"""Settling: what a head chooses by validation rows once its weights have learned."""

from dataclasses import dataclass
from typing import Any

from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.head import BadTargets, Head, Predictions, Target
from taskgraft.contract.rows import BadRows, InputColumns, Rows
from taskgraft.data.examples import Targets, whole
from taskgraft.engine.task_module import Task
from taskgraft.errors import TaskgraftError


def check_validation(label: str, description: HeadDescription, held: Rows | None) -> None:
    """Refuse, before anything is prepared, a head without the validation rows that it settles by, or columns that it names.

    Args:
        label: what messages call the head.

    Raises:
        NothingToSettleBy: when there are no validation rows.
        ColumnMissing: for a column that they do not have.
    """
    if held is None:
        if description.settles:
            raise NothingToSettleBy(label, description.settles)
        return
    for column in description.columns:
        held.column(column)


def check_rows(head: Head[Any], target: Target, rows: Rows, encoded: Targets) -> None:
    """Let a head look at the validation rows before training.

    Raises:
        BadRows: naming those that it cannot settle by.
    """
    if not head.description.settles:
        return
    try:
        head.check_settling(whole(encoded), _columns(head, rows), target)
    except BadTargets as error:
        raise BadRows(rows, error.reasons) from None


def settle(
    head: Head[Any],
    target: Target,
    task: Task,
    feature: FeatureDescription,
    predictions: Predictions,
    rows: Rows,
    encoded: Batch,
) -> Target:
    """Let a head complete its target description; its module is built anew and takes over the weights.

    Args:
        predictions: for the validation rows.
        rows: the validation rows, with their targets ``encoded``.
    """
    completed: Target = head.settle(predictions, encoded, _columns(head, rows), target)
    module = head.build(feature, completed).to(task.device)
    module.load_state_dict(task.head.state_dict())
    task.head = module.eval()
    return completed


def _columns(head: Head[Any], rows: Rows) -> InputColumns:
    return InputColumns(rows, {column: column for column in head.description.columns})


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
