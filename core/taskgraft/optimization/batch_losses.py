"""Losses that compare rows of a batch with each other, such as contrastive ones: a batch is then one pass of one process."""

from collections.abc import Iterable

from taskgraft.contract.descriptions import HeadDescription
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.preparation.errors import TrainingError
from taskgraft.recipe import TrainingConfig


def compares_rows(stage: Stage, head: HeadDescription) -> bool:
    """Return whether the loss of a stage compares rows of the batch with each other."""
    return stage.loss_over_batch if stage.loss is not None else head.loss_over_batch


def check_undivided(stages: Iterable[Stage], head: HeadDescription, settings: TrainingConfig, processes: int) -> None:
    """Reject settings that would divide the batches of such a stage, or solve for its head.

    Raises:
        TrainingError: naming the stage and the setting.
    """
    for stage in stages:
        if not compares_rows(stage, head):
            continue
        why = f"the loss of the stage '{stage.name}' compares all rows of a batch with each other"
        if stage.solve == HeadSolver.CONVEX:
            raise TrainingError(f"A solver cannot fit the head: {why}. Choose a strategy that trains in steps.")
        if processes > 1:
            raise TrainingError(f"{processes} processes would divide each batch, but {why}. Train in one process.")
        if settings.micro_batch is not None and settings.micro_batch < settings.batch_size:
            raise TrainingError(
                f"training.micro_batch = {settings.micro_batch} would divide batches of {settings.batch_size} rows, but {why}. "
                "Leave micro_batch out, or lower training.batch_size."
            )
