"""BatchNorm in training: its statistics are those of the rows of one pass, so each pass needs two rows or more."""

from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from taskgraft.adaptation.insertion import InsertedModule
from taskgraft.adaptation.trainable import InvalidStage, resolve_trainable
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.engine.task_module import TaskModule, restore_modes
from taskgraft.recipe import TrainingConfig

ROWS_PER_PASS = 2
"""The fewest rows of one pass that BatchNorm can be trained on."""

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def trains_batch_norm(task: TaskModule) -> bool:
    """Say whether a BatchNorm of a model is in training mode."""
    return any(isinstance(module, _BATCH_NORMS) and module.training for module in task.modules())


def check_rows_per_pass(
    stages: Iterable[Stage],
    task: TaskModule,
    inserted: tuple[InsertedModule, ...],
    settings: TrainingConfig,
    rows: int,
    processes: int,
) -> None:
    """Reject stages that would train BatchNorm on a single row.

    Args:
        inserted: modules inserted by earlier stages.
        rows: the number of training rows.
        processes: among which the rows of each batch are divided.

    Raises:
        InvalidStage: naming the stage, the setting and its smallest value.
    """
    problem = _problem(settings, rows, processes)
    if problem is None:
        return
    with restore_modes(task):
        for stage in stages:
            if stage.solve == HeadSolver.DESCENT and _trains_batch_norm(stage, task, inserted):
                needs = f"it trains BatchNorm layers, which need {ROWS_PER_PASS} rows or more in each pass"
                frozen = "choose a strategy that keeps these layers frozen"
                raise InvalidStage(stage.name, f"{needs}, but {problem}, or {frozen}")


def _problem(settings: TrainingConfig, rows: int, processes: int) -> str | None:
    """Say why passes have a single row, and what to write instead."""
    fewest = ROWS_PER_PASS * processes
    if settings.batch_size < fewest:
        divided = "" if processes == 1 else f", divided among {processes} processes"
        return f"training.batch_size = {settings.batch_size}{divided}. Set it to {fewest} or more"
    if settings.micro_batch is not None and settings.micro_batch < ROWS_PER_PASS:
        return f"training.micro_batch = {settings.micro_batch}. Set it to {ROWS_PER_PASS} or more, leave it out"
    if rows < fewest:
        divided = "" if processes == 1 else f" for {processes} processes"
        return f"there {'is' if rows == 1 else 'are'} only {rows} training row{'s' * (rows != 1)}{divided}. Add training rows"
    return None


def _trains_batch_norm(stage: Stage, task: TaskModule, inserted: tuple[InsertedModule, ...]) -> bool:
    """Say whether a stage puts a BatchNorm into training mode. Those of modules that it inserts itself do not count."""
    try:
        trainable = resolve_trainable(replace(stage, insertions=()), task.backbone, task.layout, task.head, inserted)
    except InvalidStage:  # it trains nothing but what it inserts
        return False
    trainable.set_train_modes()
    return trains_batch_norm(task)
