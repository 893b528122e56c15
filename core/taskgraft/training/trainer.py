"""The loop: carries out a plan stage by stage. It knows no strategy by name."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from taskgraft.adaptation.guard import WeightGuard
from taskgraft.adaptation.insertion import InsertedModule, insert_modules, original_named_tensors
from taskgraft.adaptation.trainable import HEAD, TrainableTensors, resolve_trainable
from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.features import Features, batch_to_features
from taskgraft.contract.plan import HeadSolver, Plan, Stage, Teacher
from taskgraft.contract.recipe import TrainingConfig
from taskgraft.data.batching import BatchBudget, limit_of
from taskgraft.data.examples import EncodedDataset
from taskgraft.data.soft_labels import add_soft_labels
from taskgraft.data.tensor_cache import RowSource, TensorCache
from taskgraft.engine.feature_checks import check_features
from taskgraft.engine.forward import cache_features
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError
from taskgraft.progress import ProgressReporter
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.run_directory import RunDirectory
from taskgraft.training.convex_solver import ConvexProblem, Solution, solve, solve_with_penalty_search, start_at_zero
from taskgraft.training.epoch_loop import EpochLoop
from taskgraft.training.shared_cache import SharedCacheKeys, frozen_digest
from taskgraft.training.tracking import MetricsLogger
from taskgraft.training.train_step import TrainStep

HELD_OUT = 5
"""Where there is no validation, one row in this many is held out to choose a penalty; then all rows are solved for."""

WEIGHTS = "weights"
"""First word of the names of the model's own tensors in the state of a run."""

TRAINING, VALIDATION = "training", "validation"
"""The parts of the data of which something is stored."""

STILL = "What stays frozen is computed once, so training examples are the same in every epoch."
"""Said where training examples are to vary, or elements to be hidden, and a stage stores what lies at a cut."""

PIECE = BatchBudget(rows=8_192, elements=65_536)
"""Stored features that the solver reads at a time."""


@dataclass(frozen=True)
class StageReport:
    """What one stage did.

    Attributes:
        seconds: wall-clock, storing included. Of a run that was interrupted, also the time before, up to what was kept last.
        trained: how many numbers learned.
        losses: the mean training loss of each epoch, in the head's unit.
        stored_at: the cut at which inputs were stored; None when features were stored or nothing was.
        penalty: what the solver chose or was given.
        excused: tensors that received no gradient, with the reason.
    """

    name: str
    seconds: float
    trained: int
    losses: tuple[float, ...]
    stored_at: int | None
    penalty: float | None
    excused: dict[str, str]


@dataclass(eq=False)
class TooFewRows(TaskgraftError):
    """Too few rows to choose a penalty."""

    rows: int

    def __str__(self) -> str:
        return (
            f"There is only {self.rows} training row, so none can be held out to choose the penalty. "
            "Give more rows, a validation set, or the setting 'penalty'."
        )


@dataclass
class Trainer:
    """What every stage of a run shares.

    Attributes:
        folder: a temporary folder of the run.
        journal: notes what happens.
        run_folder: where the state is kept from which a run that was killed goes on; None keeps none.
        sharing: where other runs find what stays frozen; None shares nothing.
        soft: what each teacher of the plan says of the training rows.
        inserted: modules inserted so far.
        learned: names of the tensors that learned so far.
        judged: the cut and examples at which the latest stage judged its validation rows.
        steps: optimizer steps of the stages that are finished.
        seconds_before: wall-clock seconds of the stages in the process that was interrupted, up to what it kept last.
    """

    task: TaskModule
    training: EncodedDataset
    validation: EncodedDataset | None
    settings: TrainingConfig
    accelerator: Accelerator
    reporter: ProgressReporter
    folder: Path
    journal: MetricsLogger
    run_folder: RunDirectory | None = None
    sharing: SharedCacheKeys | None = None
    soft: Mapping[Teacher, RowSource] = field(default_factory=dict)
    inserted: tuple[InsertedModule, ...] = ()
    learned: frozenset[str] = frozenset()
    judged: tuple[int | None, EncodedDataset] | None = None
    steps: int = 0
    seconds_before: float = 0.0
    _began: float = 0.0
    _finished: list[StageReport] = field(default_factory=list)

    def run(self, plan: Plan) -> list[StageReport]:
        """Carry out all stages, or those that a run that was killed had not finished."""
        values, tensors = (None if self.run_folder is None else self.run_folder.load_state()) or (None, {})
        if values is not None:
            self._finished = [
                StageReport(**report | {"losses": tuple(report["losses"])}) for report in values["finished"]
            ]
            self.steps = values["steps"]
            self.seconds_before = sum(report.seconds for report in self._finished) + values["seconds"]
        self.accelerator.wait_for_everyone()  # nobody writes before everybody has read
        for number, stage in enumerate(plan):
            if number < len(self._finished):
                self._insert(number, stage)
                continue
            self._finished.append(self._stage(number, stage, values, tensors))
            values, tensors = None, {}
            if number + 1 < len(plan):
                self._checkpoint(
                    resolve_trainable(stage, self.task.backbone, self.task.layout, self.task.head, self.inserted)
                )
        return self._finished

    def _insert(self, number: int, stage: Stage) -> TrainableTensors:
        torch.manual_seed(self.settings.seed + number)
        self.inserted = (*self.inserted, *insert_modules(self.task.backbone, stage.insertions, self.inserted))
        self.task.to(self.accelerator.device)
        learning = resolve_trainable(stage, self.task.backbone, self.task.layout, self.task.head, self.inserted)
        self.learned |= learning.declared
        return learning

    def _digests(self, restored: Mapping[str, Tensor]) -> dict[str, str]:
        """Take digests of the backbone before a stage wraps its layers, but not of what is restored afterwards."""
        now = original_named_tensors(self.task.backbone, self.inserted)
        return {name: tensor_digest(tensor) for name, tensor in now.items() if f"{WEIGHTS}.{name}" not in restored}

    def _stage(
        self, number: int, stage: Stage, values: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]
    ) -> StageReport:
        """Carry out one stage.

        Args:
            values: the state from which to go on; None at the start of a run or stage.
            tensors: that belong to it.
        """
        before = 0.0 if values is None else values["seconds"]
        self._began = time.monotonic() - before
        bare = self._digests(tensors) if stage.insertions else {}
        learning = self._insert(number, stage)
        if values is not None:
            self._restore(learning, tensors)
        cut = self._verified_cut(stage, learning)
        if values is None and number == 0 and stage.solve == HeadSolver.DESCENT:
            self._calibrate()
        if number > 0 and stage.solve == HeadSolver.CONVEX:
            self._uncalibrate()
        guard = WeightGuard(stage.name, learning, learning.set_train_modes(), bare)
        kept = self.folder / str(number)
        again = before > 0
        training = self._cached(cut, self.training, kept / TRAINING, again=again)
        if stage.teacher is not None:
            training = add_soft_labels(training, self.soft[stage.teacher])
        validation = None
        if self.validation is not None:
            validation = self._cached(cut, self.validation, kept / VALIDATION, again=again)
        self.judged = None if validation is None else (cut, validation)
        learning.set_train_modes()
        solution, losses = None, []
        if stage.solve == HeadSolver.CONVEX:
            solution = self._solve(stage, training, validation)
            guard.finish(solved=True)
            losses = [solution.training_loss]
        else:
            descent = self._descent(stage, learning, guard, cut, training, validation)
            if values is not None and values["descent"] is not None:
                own = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{WEIGHTS}.")}
                descent.resume(values["descent"], own)
            descent.run(None if self.run_folder is None else lambda: self._checkpoint(learning, descent))
            losses = descent.progress.losses
            self.steps += descent.progress.step
        self.task.eval()
        return StageReport(
            stage.name,
            time.monotonic() - self._began,
            sum(now.numel() for name, now in learning.tensors().items() if _trains(now) and name in learning.declared),
            tuple(losses),
            cut if cut else None,
            solution.penalty if solution else stage.l2_penalty,
            guard.zero_gradients,
        )

    def _descent(
        self,
        stage: Stage,
        learning: TrainableTensors,
        guard: WeightGuard,
        cut: int | None,
        training: EncodedDataset,
        validation: EncodedDataset | None,
    ) -> EpochLoop:
        stepper = TrainStep(stage, self.task, learning, guard, cut, self.settings, self.accelerator, self.reporter)
        patience = stage.patience or self.settings.patience
        return EpochLoop(stepper, training, validation, patience, self.journal, self.steps)

    def _checkpoint(self, learning: TrainableTensors, descent: EpochLoop | None = None) -> None:
        """Keep what is needed to go on from here: what has learned so far, the head, and how far the stage is."""
        if self.run_folder is None:
            return
        now = learning.tensors()
        weights = {name: now[name] for name in now if name in self.learned or name.startswith(f"{HEAD}.")}
        progress, tensors = (None, {}) if descent is None else descent.state()
        values = {
            "finished": [asdict(report) for report in self._finished],
            "steps": self.steps,
            "seconds": 0.0 if descent is None else time.monotonic() - self._began,
            "descent": progress,
        }
        self.run_folder.save_state(values, tensors | {f"{WEIGHTS}.{name}": tensor for name, tensor in weights.items()})

    @torch.no_grad()
    def _restore(self, learning: TrainableTensors, tensors: Mapping[str, Tensor]) -> None:
        now = learning.tensors()
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == WEIGHTS:
                now[rest].copy_(tensor)

    def _verified_cut(self, stage: Stage, learning: TrainableTensors) -> int | None:
        """Choose the latest cut before anything learns that holds on real input; None for the features themselves."""
        self.task.backbone.eval()
        description, layout = self.task.backbone.description, self.task.layout
        first, store = learning.first_part(), stage.cache_features and self.task.cacheable
        usable = [cut for cut in description.cuts_for(layout) if 0 < cut <= first < len(description.parts)]
        verified = check_features(self.task.backbone, self._first_batch(), layout, usable[-1:] if store else [])
        self.task.padding_invariant = verified.padding_invariant
        if store and first == len(description.parts):
            return None
        return max(verified.cuts, default=0)

    @torch.no_grad()
    def _calibrate(self) -> None:
        first = self._first_batch() if self.task.padding_invariant else self._first_batch().select([0])
        self.task.head.fit_feature_scale(self.task.features(0, first))

    @torch.no_grad()
    def _uncalibrate(self) -> None:
        """Calibrate to features of scale 1: a solver's penalty minds the scale by itself, and would do so twice."""
        features = self.task.features(0, self._first_batch().select([0]))
        ones = tuple(torch.ones_like(value) for value in features.values)
        self.task.head.fit_feature_scale(replace(features, values=ones))

    def _first_batch(self) -> Batch:
        inputs = self.training.inputs
        lengths = np.asarray(inputs.sizes()[: self.settings.batch_size])
        rows = next(limit_of(self.settings).cut(np.arange(len(lengths)), lengths))
        return inputs.gather(rows).to(self.task.device)

    def _cached(self, cut: int | None, examples: EncodedDataset, folder: Path, *, again: bool) -> EncodedDataset:
        """Store what lies at a cut.

        Args:
            folder: where the store may put files, named after the part of the data.
            again: whether it was stored before this run was interrupted.
        """
        if cut == 0:
            return examples
        if examples.drawn is not None:
            self.reporter.message(STILL)
        if self.sharing is None:
            return EncodedDataset(self._stored(cut, examples, folder, self.settings.memory), examples.targets)
        made_of = {
            **self.sharing.made_of[folder.name],
            "weights": frozen_digest(self.task.backbone, cut),
            "cut": cut,
            "layout": self.task.layout,
            "batches": asdict(limit_of(self.settings)),
        }
        inputs = self.sharing.shelf.store(made_of, lambda place: self._stored(cut, examples, place, 0), again=again)
        return EncodedDataset(inputs, examples.targets)

    def _stored(self, cut: int | None, examples: EncodedDataset, folder: Path, memory: int) -> TensorCache:
        limit, workers = limit_of(self.settings), self.settings.workers
        return cache_features(self.task, cut, examples.inputs, TensorCache(folder, memory), limit, self._passes, workers)

    def _passes(self, batches: Sequence[RowIndices]) -> Iterator[RowIndices]:
        return self.reporter.track(batches, "computing what stays frozen, once", len(batches))

    def _solve(self, stage: Stage, training: EncodedDataset, validation: EncodedDataset | None) -> Solution:
        head, everything = self.task.head, self._problem(training, range(len(training)))
        start_at_zero(head)
        scale = everything.scale()
        if stage.l2_penalty is not None:
            solution = Solution(stage.l2_penalty, solve(head, everything, stage.l2_penalty, scale), None)
        elif validation is not None:
            solution = solve_with_penalty_search(
                head, everything, self._problem(validation, range(len(validation))), scale
            )
        else:
            solution = self._choose_on_held_out(training, everything, scale)
        if self.accelerator.num_processes > 1:
            for parameter in head.parameters():
                parameter.data.copy_(broadcast(parameter.data))
        return solution

    def _choose_on_held_out(self, training: EncodedDataset, everything: ConvexProblem, scale: float) -> Solution:
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(self.settings.seed)).tolist()
        held, rest = order[::HELD_OUT], [row for place, row in enumerate(order) if place % HELD_OUT]
        if not rest:
            raise TooFewRows(len(training))
        chosen = solve_with_penalty_search(
            self.task.head, self._problem(training, rest), self._problem(training, held), scale
        )
        penalty = chosen.penalty * len(rest) / len(training)
        return Solution(penalty, solve(self.task.head, everything, penalty, scale), chosen.validation_loss)

    def _problem(self, examples: EncodedDataset, rows: Sequence[int]) -> ConvexProblem:
        """Read features in pieces, of rows of similar length. Those that are not stored are computed whenever they are read."""
        lengths, numbers = np.asarray(examples.inputs.sizes()), np.asarray(rows)
        order = numbers[np.argsort(-lengths[numbers], kind="stable")]
        pieces = list((PIECE if self.task.cacheable else limit_of(self.settings)).cut(order, lengths))
        device, layout = self.task.device, self.task.layout

        def read(piece: RowIndices) -> tuple[Features, Batch]:
            inputs, targets = examples.inputs.gather(piece).to(device), examples.targets.select(piece).to(device)
            if self.task.cacheable:
                return batch_to_features(inputs, layout), targets
            with torch.no_grad():
                return self.task.features(0, inputs), targets

        if self.task.cacheable and examples.inputs.bytes <= self.settings.memory:
            kept = [read(piece) for piece in pieces]
            return ConvexProblem(lambda: kept)
        return ConvexProblem(lambda: (read(piece) for piece in pieces))


def _trains(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter)
