"""The trainer: runs the stages of a plan, and knows no strategy by name.

load the checkpoint, if the run is resumed
for each stage that is not finished:
    insert its modules, find its trainable tensors, restore the weights of the checkpoint
    choose a cut, checked on a first batch; cache what frozen layers compute up to it    (frozen_features)
    solve for the head, or train for epochs of steps            (convex_solver; epoch_loop, train_step)
    check that exactly the declared tensors changed             (adaptation.guard)
    save a checkpoint
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from taskgraft.adaptation.guard import WeightGuard, WeightGuardError
from taskgraft.adaptation.insertion import InsertedModule, insert_modules, original_named_tensors
from taskgraft.adaptation.trainable import TrainableTensors, resolve_trainable, restore_tensors
from taskgraft.composition.resolve import GivenObject
from taskgraft.contract.backbone import named_tensors
from taskgraft.contract.batch import Batch
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, Rows
from taskgraft.data.batching import batch_budget
from taskgraft.data.examples import EncodedDataset
from taskgraft.data.soft_labels import add_soft_labels
from taskgraft.engine.feature_checks import find_data_fault
from taskgraft.engine.finite import NotFinite
from taskgraft.engine.shared_cache import SharedCacheKeys
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import join_words
from taskgraft.optimization.batch_losses import compares_rows
from taskgraft.optimization.batch_norms import check_rows_per_pass
from taskgraft.optimization.train_step import TrainStep
from taskgraft.preparation.fit_functions import NO_FUNCTIONS, FitFunctions
from taskgraft.preparation.prepare import Preparation
from taskgraft.progress import ProgressReporter
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import HEAD
from taskgraft.storage.run_directory import ResumeMismatch, RunDirectory
from taskgraft.training.checkpoint import StageReport, TrainingCheckpoint, check_saved
from taskgraft.training.convex_solver import Solution, solve_head
from taskgraft.training.epoch_loop import EpochLoop
from taskgraft.training.epoch_validation import EpochValidation
from taskgraft.training.frozen_features import FrozenFeatures
from taskgraft.training.tracking import log_metrics


@dataclass
class Trainer:
    """Runs the plan of a prepared composition.

    Attributes:
        folder: a temporary one.
        functions: callbacks of the caller, besides those of the stages.
        directory: None saves no checkpoints.
        shared: the cache of frozen features of other runs; None shares nothing.
        inserted: modules inserted so far; ``trained`` are the names of tensors trained so far.
        evaluated: the cut, and the validation rows cached there, of the latest stage.
        seconds_before: wall-clock seconds of the stages before the run was interrupted, up to its last checkpoint.
    """

    task: TaskModule
    prepared: Preparation
    accelerator: Accelerator
    reporter: ProgressReporter
    folder: Path
    functions: FitFunctions = NO_FUNCTIONS
    directory: RunDirectory | None = None
    shared: SharedCacheKeys | None = None
    inserted: tuple[InsertedModule, ...] = ()
    trained: frozenset[str] = frozenset()
    evaluated: tuple[int | None, EncodedDataset] | None = None
    seconds_before: float = 0.0
    _steps: int = 0
    _stage_start: float = 0.0
    _finished: list[StageReport] = field(default_factory=list)
    _base: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = self.prepared.recipe.training

    def run(self) -> list[StageReport]:
        """Run all stages; of a resumed run those that were not finished."""
        plan = self.prepared.composition.plan
        if self.directory is not None and isinstance(self.prepared.composition.backbone, GivenObject):
            tensors = named_tensors(self.task.backbone)
            self._base = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
        checkpoint = None if self.directory is None else TrainingCheckpoint.load(self.directory, len(plan))
        if checkpoint is not None:
            self._check_base(checkpoint)
            self._finished, self._steps = list(checkpoint.finished), checkpoint.steps
            self.seconds_before = sum(report.seconds for report in self._finished) + checkpoint.seconds
        self.accelerator.wait_for_everyone()  # no process may save before all have loaded
        rows, processes = len(self.prepared.rows), self.accelerator.num_processes
        check_rows_per_pass(plan[len(self._finished) :], self.task, self.inserted, self.settings, rows, processes)
        for index, stage in enumerate(plan):
            if index < len(self._finished):
                self._insert(index, stage)
                continue
            try:
                self._finished.append(self._run_stage(index, stage, checkpoint))
            except WeightGuardError as error:
                raise replace(error, data_fault=self._data_fault() if error.starved else None) from None
            checkpoint = None
            if index + 1 < len(plan):
                self._save_checkpoint(self._resolve(stage))
        return self._finished

    def _run_stage(self, index: int, stage: Stage, checkpoint: TrainingCheckpoint | None) -> StageReport:
        """Run one stage, from a checkpoint or (None) from its start."""
        self._stage_start = time.monotonic() - (0.0 if checkpoint is None else checkpoint.seconds)
        digests = self._digests(checkpoint) if stage.insertions else {}
        trained = self.trained
        trainable = self._insert(index, stage)
        if checkpoint is not None and self.directory is not None:
            expected = self._saved_tensors(trainable, trained if checkpoint.epoch_loop is None else self.trained)
            check_saved(self.directory, "weights", checkpoint.weights, expected)
            restore_tensors(trainable.tensors(), checkpoint.weights)
        features = FrozenFeatures(self.task, self.settings, self.reporter, self.folder, self.shared)
        cut = features.choose_cut(stage, trainable, self._first_batch())
        self._fit_feature_scale(index, stage, resumed=checkpoint is not None)
        guard = WeightGuard(stage.name, trainable, trainable.set_train_modes(), digests)
        resumed = checkpoint is not None and checkpoint.seconds > 0
        with _rows_named(self.prepared.rows):
            training, validation = features.cache(cut, self.prepared.training, "training", index, resumed=resumed), None
        if stage.teacher is not None:
            training = add_soft_labels(training, self.prepared.soft_labels[stage.teacher])
        if self.prepared.validation is not None and self.prepared.validation_rows is not None:
            with _rows_named(self.prepared.validation_rows):
                validation = features.cache(cut, self.prepared.validation, "validation", index, resumed=resumed)
        self.evaluated = None if validation is None else (cut, validation)
        trainable.set_train_modes()
        epoch_validation, penalty = self._epoch_validation(stage, validation), stage.l2_penalty
        chosen: dict[str, float] = {}
        if stage.solve == HeadSolver.CONVEX:
            solution = self._solve(stage, training, validation)
            guard.finish(solved=True)
            losses, penalty = [solution.training_loss], solution.penalty
            validation_losses = self._report_solution(stage, cut, solution, epoch_validation)
            if stage.l2_penalty is None and validation is not None:
                chosen = {"penalty": penalty}
        else:
            divisible = not compares_rows(stage, self.prepared.head.description)
            parts = (stage, self.task, trainable, guard, cut, self.settings, self.accelerator, self.reporter)
            stepper = TrainStep(*parts, divisible)
            callbacks = self.functions.callbacks
            loop = EpochLoop(stepper, training, epoch_validation, self.directory, self._steps, callbacks)
            losses, validation_losses = self._train(loop, checkpoint), loop.progress.validation_losses
            if loop.best_epoch is not None:
                chosen = {"epoch": loop.best_epoch}
        self.task.eval()
        return StageReport(
            stage.name,
            time.monotonic() - self._stage_start,
            _count_parameters(trainable),
            tuple(losses),
            cut or None,
            penalty,
            guard.zero_gradients,
            tuple(validation_losses),
            chosen,
        )

    def _resolve(self, stage: Stage) -> TrainableTensors:
        return resolve_trainable(stage, self.task.backbone, self.task.layout, self.task.head, self.inserted)

    def _insert(self, index: int, stage: Stage) -> TrainableTensors:
        torch.manual_seed(self.settings.seed + index)
        self.inserted = (*self.inserted, *insert_modules(self.task.backbone, stage.insertions, self.inserted))
        self.task.to(self.accelerator.device)
        trainable = self._resolve(stage)
        self.trained |= trainable.declared
        return trainable

    def _digests(self, checkpoint: TrainingCheckpoint | None) -> dict[str, str]:
        """Take digests of the backbone before a stage wraps its layers, but not of what a checkpoint restores afterwards."""
        tensors = original_named_tensors(self.task.backbone, self.inserted)
        restored = {} if checkpoint is None else checkpoint.weights
        return {name: tensor_digest(tensor) for name, tensor in tensors.items() if name not in restored}

    @torch.no_grad()
    def _fit_feature_scale(self, index: int, stage: Stage, *, resumed: bool) -> None:
        """Fit the head to the scale of the features before gradient descent, in the first stage.

        A solver's penalty accounts for the scale by itself, so for a later solver it is set back to 1.
        """
        if stage.solve == HeadSolver.DESCENT and index == 0 and not resumed:
            batch = self._first_batch() if self.task.padding_invariant else self._first_batch().select([0])
            self.task.head.fit_feature_scale(self.task.features(0, batch))
        elif stage.solve == HeadSolver.CONVEX and index > 0:
            features = self.task.features(0, self._first_batch().select([0]))
            ones = tuple(torch.ones_like(value) for value in features.values)
            self.task.head.fit_feature_scale(replace(features, values=ones))

    def _first_batch(self) -> Batch:
        inputs = self.prepared.training.inputs
        lengths = np.asarray(inputs.sizes()[: self.settings.batch_size])
        rows = next(batch_budget(self.settings).cut(np.arange(len(lengths)), lengths))
        return inputs.gather(rows).to(self.task.device)

    def _data_fault(self) -> str | None:
        fault = find_data_fault(self.task.backbone.eval(), self._first_batch(), self.task.layout)
        columns = join_words(self.prepared.recipe.data.columns.values())
        return fault and f"{fault}. Check the input columns: {columns}"

    def _solve(self, stage: Stage, training: EncodedDataset, validation: EncodedDataset | None) -> Solution:
        solution = solve_head(self.task, self.settings, stage.l2_penalty, training, validation)
        if self.accelerator.num_processes > 1:
            for parameter in self.task.head.parameters():
                parameter.data.copy_(broadcast(parameter.data))
        return solution

    def _epoch_validation(self, stage: Stage, validation: EncodedDataset | None) -> EpochValidation | None:
        """Evaluate all validation rows if something is chosen by them; else no more than there are training rows."""
        prepared = self.prepared
        chooses = stage.patience or self.settings.patience or stage.solve == HeadSolver.CONVEX
        if validation is None or prepared.validation_rows is None:
            return None
        return EpochValidation(
            prepared.head,
            prepared.target,
            validation,
            prepared.validation_rows,
            self.settings,
            self.reporter,
            most=None if chooses else len(prepared.rows),
            on_bad_row=prepared.recipe.data.on_bad_row,
        )

    def _report_solution(
        self, stage: Stage, cut: int | None, solution: Solution, validation: EpochValidation | None
    ) -> list[float]:
        """Print and log a solved head; return the validation loss, if there is one."""
        scores = None if validation is None else validation.evaluate(self.task, cut)
        text = f"training loss {solution.training_loss:.4g}" + ("" if scores is None else f", {scores}")
        chosen = f", chosen on {solution.chosen_on}" if solution.chosen_on else ""
        self.reporter.message(f"{stage.name}: {text}; penalty {solution.penalty:.4g}{chosen}")
        scored = {} if scores is None else scores.to_line()
        line = {"stage": stage.name, "training_loss": solution.training_loss, **scored, "penalty": solution.penalty}
        log_metrics(self.accelerator, self.directory, self._steps, line)
        return [] if scores is None else [scores.loss]

    def _train(self, loop: EpochLoop, checkpoint: TrainingCheckpoint | None) -> list[float]:
        """Train for epochs of steps; return the loss of each epoch."""
        if checkpoint is not None and checkpoint.epoch_loop is not None:
            loop.resume(checkpoint.epoch_loop, checkpoint.tensors)
        loop.run(None if self.directory is None else lambda: self._save_checkpoint(loop.stepper.trainable, loop))
        self._steps += loop.progress.step
        return loop.progress.losses

    def _save_checkpoint(self, trainable: TrainableTensors, loop: EpochLoop | None = None) -> None:
        """Save the weights trained so far, the head, and how far the stage is."""
        if self.directory is None:
            return
        weights = self._saved_tensors(trainable, self.trained)
        state, loop_tensors = (None, {}) if loop is None else loop.state()
        seconds = 0.0 if loop is None else time.monotonic() - self._stage_start
        done, base = tuple(self._finished), self._base
        TrainingCheckpoint(done, self._steps, seconds, state, loop_tensors, weights, base).save(self.directory)

    def _saved_tensors(self, trainable: TrainableTensors, trained: frozenset[str]) -> dict[str, Tensor]:
        """Select what a checkpoint holds: the tensors trained so far, and the head's."""
        tensors = trainable.tensors()
        return {name: tensors[name] for name in tensors if name in trained or name.startswith(f"{HEAD}.")}

    def _check_base(self, checkpoint: TrainingCheckpoint) -> None:
        """Raise ResumeMismatch when the tensors of a backbone object that a checkpoint does not restore have changed."""
        changed = [name for name, digest in checkpoint.base.items() if self._base.get(name) != digest]
        if changed and self.directory is not None:
            problem = f"{join_words(changed, 3)} of the backbone object has other values"
            raise ResumeMismatch(str(self.directory.path), (problem,))


@contextmanager
def _rows_named(rows: Rows) -> Iterator[None]:
    """Name rows whose features are not finite. They were valid when they were read, so they are an error in any case."""
    try:
        yield
    except NotFinite as error:
        raise InvalidRows(rows, error.reasons, FIX_ADVICE) from None


def _count_parameters(trainable: TrainableTensors) -> int:
    tensors, declared = trainable.tensors(), trainable.declared
    return sum(tensors[name].numel() for name in declared if isinstance(tensors[name], nn.Parameter))
