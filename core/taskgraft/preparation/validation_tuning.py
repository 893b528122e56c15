"""Tuning on validation rows: what a head chooses after training (a threshold), and early stopping need them."""

from typing import Any

from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Plan
from taskgraft.contract.rows import Rows
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.examples import Targets, all_targets
from taskgraft.engine.task_module import TaskModule
from taskgraft.evaluation.baseline_tuning import select_tuning_columns
from taskgraft.evaluation.evaluator import LabelledPredictions
from taskgraft.preparation.errors import ValidationRequired


def check_validation(
    plan: Plan, patience: int | None, label: str, head: HeadDescription, validation_rows: Rows | None
) -> None:
    """Check that there are validation rows if something needs them, with the columns that the head reads of them.

    Args:
        patience: of the training settings.
        label: of the head.

    Raises:
        ValidationRequired: when early stopping or the head needs validation rows, and there are none.
        MissingColumn: for a column that they do not have.
    """
    if validation_rows is not None:
        for column in head.tuning_columns:
            validation_rows.column(column)
        return
    stages = ((f"The stage '{stage.name}'", stage.patience) for stage in plan)
    for name, epochs in (("training.patience", patience), *stages):
        if epochs is not None:
            raise ValidationRequired(name, f"stops training after {epochs} epochs without a lower validation loss")
    if head.tunes:
        raise ValidationRequired(f"'{label}'", f"tunes {head.tunes} on validation rows after training")


def check_tuning_rows(head: Head[Any], target: TargetDescription, rows: Rows, targets: Targets) -> None:
    """Let a head that tunes check the validation rows, before training.

    Raises:
        InvalidTargets: naming those that it cannot tune on.
    """
    if head.description.tunes:
        head.check_tuning_rows(all_targets(targets), select_tuning_columns(head, rows), target)


def tune_on_validation(
    head: Head[Any],
    target: TargetDescription,
    task: TaskModule,
    feature: FeatureDescription,
    validation: LabelledPredictions,
) -> TargetDescription:
    """Let a head complete its target description; its module is built again with the trained weights."""
    columns = select_tuning_columns(head, validation.rows)
    tuned: TargetDescription = head.tune(validation.predictions, validation.targets, columns, target)
    module = head.build_module(feature, tuned).to(task.device)
    module.load_state_dict(task.head.state_dict())
    task.head = module.eval()
    return tuned
