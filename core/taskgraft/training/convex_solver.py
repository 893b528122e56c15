"""Solve for a head whose loss is convex, on cached features.

Minimises  Σ loss / Σ weight + penalty · E‖x‖² · ½‖W‖²  by L-BFGS (Liu and Nocedal, 1989), where W are the head's weights
without its biases and E‖x‖² is the mean squared norm of the features, which makes the penalty independent of their scale.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.features import Features, batch_to_features
from taskgraft.contract.head import HeadModule
from taskgraft.data.batching import BatchBudget, batch_budget
from taskgraft.data.examples import EncodedDataset
from taskgraft.engine.task_module import TaskModule
from taskgraft.preparation.errors import TrainingError
from taskgraft.preparation.memory_estimate import widest_output
from taskgraft.recipe import TrainingConfig

PENALTIES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""Tried from strong to weak, each starting at the previous solution, until validation gets worse twice."""

SOLVER_BUDGET = BatchBudget(rows=8_192, elements=65_536)
"""Cached features that the solver reads at a time."""

_OUTPUTS = 1 << 26
"""Outputs of the head for them, at most, if it has very many: 256 MB in float32, and as many for their gradients."""

_HOLD_OUT_EVERY = 5
"""Without validation rows, every fifth training row is held out to choose a penalty."""

BatchReader = Callable[[], Iterable[tuple[Features, Batch]]]


@dataclass(frozen=True)
class Solution:
    """A solved head.

    Attributes:
        training_loss: the mean loss on the training rows, in the head's unit.
        validation_loss: the same on the rows that the penalty was chosen on; None if it was given.
        chosen_on: those rows, in words; empty if the penalty was given.
    """

    penalty: float
    training_loss: float
    validation_loss: float | None
    chosen_on: str = ""


def solve_head(
    task: TaskModule,
    settings: TrainingConfig,
    penalty: float | None,
    training: EncodedDataset,
    validation: EncodedDataset | None,
) -> Solution:
    """Solve for the head of a task, from weights of zero, on features; on inputs, if features may not be cached.

    Args:
        penalty: None chooses one by the validation loss. Without validation rows some training rows are held out for that,
            and the head is then solved for on all of them.

    Raises:
        TrainingError: when there is no solution, or are too few rows to choose a penalty.
    """
    head, rows = task.head, range(len(training))
    problem = _problem(task, settings, training, rows)
    start_at_zero(head)
    scale = problem.scale()
    if penalty is not None:
        return Solution(penalty, solve(head, problem, penalty, scale), None)
    if validation is not None:
        held_out = _problem(task, settings, validation, range(len(validation)))
        found = solve_with_penalty_search(head, problem, held_out, scale)
        return replace(found, chosen_on="the validation rows")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(settings.seed)).tolist()
    rest = [row for index, row in enumerate(order) if index % _HOLD_OUT_EVERY]
    if not rest:
        raise TrainingError(
            f"There is only {len(rows)} training row, so none can be held out to choose the penalty. "
            "Give more rows, a validation set, or the setting 'penalty'."
        )
    held_out = _problem(task, settings, training, order[::_HOLD_OUT_EVERY])
    found = solve_with_penalty_search(head, _problem(task, settings, training, rest), held_out, scale)
    penalty = found.penalty * len(rest) / len(rows)
    held_out_rows = f"{len(rows) - len(rest):,} of {len(rows):,} training rows"
    return Solution(penalty, solve(head, problem, penalty, scale), found.validation_loss, held_out_rows)


@dataclass(frozen=True)
class ConvexProblem:
    """Features and targets in batches, which are read again for each evaluation of the loss."""

    batches: BatchReader

    def scale(self) -> float:
        """Return the mean squared norm of the features, over rows, elements and ensemble members."""
        squares, count = 0.0, 0
        for features, _ in self.batches():
            value = features.value if features.lengths is None else features.value[features.mask]
            squares += float((value.double() ** 2).sum())
            count += value.numel() // value.shape[-1]
        if not squares < float("inf"):
            raise TrainingError("The head cannot be solved for: the features hold values that are not finite.")
        return squares / max(count, 1) or 1.0

    def loss(self, head: HeadModule, *, gradients: bool) -> float:
        """Compute the mean loss; on request leave its gradients in the head's parameters."""
        total, weight = 0.0, 0.0
        with torch.set_grad_enabled(gradients):
            for features, targets in self.batches():
                loss = head.loss(head(features), targets, features)
                total, weight = total + float(loss.total.detach()), weight + float(loss.weight)
                if gradients:
                    loss.total.backward()
        if weight == 0:
            raise TrainingError("The head cannot be solved for: no row has a target.")
        for parameter in head.parameters() if gradients else ():
            if parameter.grad is not None:
                parameter.grad /= weight
        return total / weight


def solve(head: HeadModule, training: ConvexProblem, penalty: float, scale: float, tolerance: float = 1e-5) -> float:
    """Minimise from the head's present weights; return the mean loss on the training rows."""
    weights = [tensor for name, tensor in head.named_parameters() if tensor.dim() > 1 and not name.endswith("bias")]
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=100, history_size=10, tolerance_grad=tolerance, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = training.loss(head, gradients=True)
        size = torch.stack([(weight**2).sum() for weight in weights]).sum() * (0.5 * penalty * scale)
        size.backward()
        return loss + size.detach()

    optimizer.step(closure)
    optimizer.zero_grad(set_to_none=True)
    return training.loss(head, gradients=False)


def solve_with_penalty_search(
    head: HeadModule, training: ConvexProblem, validation: ConvexProblem, scale: float
) -> Solution:
    """Try penalties from strong to weak, and take the one with the lowest validation loss."""
    best: tuple[Solution, dict[str, Tensor]] | None = None
    worse = 0
    for penalty in PENALTIES:
        training_loss = solve(head, training, penalty, scale, tolerance=1e-4)
        validation_loss = validation.loss(head, gradients=False)
        if best is None or validation_loss < (best[0].validation_loss or 0.0):
            state = {name: tensor.clone() for name, tensor in head.state_dict().items()}
            best, worse = (Solution(penalty, training_loss, validation_loss), state), 0
        else:
            worse += 1
        if worse == 2:
            break
    assert best is not None
    head.load_state_dict(best[1])
    return best[0]


@torch.no_grad()
def start_at_zero(head: HeadModule) -> None:
    """Set all parameters to zero, so that the solution depends on the data alone."""
    for parameter in head.parameters():
        parameter.zero_()


def solver_budget(head: nn.Module) -> BatchBudget:
    """Return how many cached features the solver reads at a time."""
    most = max(_OUTPUTS // widest_output(head), 1)
    return BatchBudget(min(SOLVER_BUDGET.rows, most), min(SOLVER_BUDGET.elements or most, most))


def _problem(task: TaskModule, settings: TrainingConfig, dataset: EncodedDataset, rows: Sequence[int]) -> ConvexProblem:
    """Read features in batches of rows of similar length. Those that may not be cached are computed on each reading."""
    lengths, indices = np.asarray(dataset.inputs.sizes()), np.asarray(rows)
    order = indices[np.argsort(-lengths[indices], kind="stable")]
    batches = list((solver_budget(task.head) if task.cacheable else batch_budget(settings)).cut(order, lengths))

    def read(batch: RowIndices) -> tuple[Features, Batch]:
        inputs, targets = dataset.inputs.gather(batch).to(task.device), dataset.targets.select(batch).to(task.device)
        if task.cacheable:
            return batch_to_features(inputs, task.layout), targets
        with torch.no_grad():
            return task.features(0, inputs), targets

    if task.cacheable and dataset.inputs.bytes <= settings.memory:
        in_memory = [read(batch) for batch in batches]
        return ConvexProblem(lambda: in_memory)
    return ConvexProblem(lambda: (read(batch) for batch in batches))
