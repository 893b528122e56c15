"""Finding a head whose loss is convex, on features that were computed once.

Minimises  Σ loss / Σ weight + penalty · E‖x‖² · ½‖W‖²  by L-BFGS (Liu and Nocedal, 1989), where W are the head's weights
without its biases and E‖x‖² is the mean squared norm of the features, which makes the penalty independent of their scale.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.features import Features
from taskgraft.contract.head import HeadModule
from taskgraft.errors import TaskgraftError

PENALTIES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""Tried from strong to weak, each starting where the last one ended, until validation gets worse twice."""

Pieces = Callable[[], Iterable[tuple[Features, Batch]]]


@dataclass(frozen=True)
class Solution:
    """What the solver found: the penalty, and the mean loss on training and validation rows, in the head's unit."""

    penalty: float
    training_loss: float
    validation_loss: float | None


@dataclass(eq=False)
class SolverFailed(TaskgraftError):
    """Features or a head that the solver cannot work with."""

    problem: str

    def __str__(self) -> str:
        return f"The head cannot be solved for: {self.problem}."


@dataclass(frozen=True)
class ConvexProblem:
    """Features and targets in pieces, read again for each evaluation."""

    pieces: Pieces

    def scale(self) -> float:
        """The mean squared norm of the features, over rows, elements and members."""
        squares, count = 0.0, 0
        for features, _ in self.pieces():
            value = features.value if features.lengths is None else features.value[features.mask]
            squares += float((value.double() ** 2).sum())
            count += value.numel() // value.shape[-1]
        if not squares < float("inf"):
            raise SolverFailed("the features hold values that are not finite")
        return squares / max(count, 1) or 1.0

    def loss(self, head: HeadModule, *, gradients: bool) -> float:
        """Compute the mean loss; leave its gradients in the head's parameters when asked."""
        total, weight = 0.0, 0.0
        with torch.set_grad_enabled(gradients):
            for features, targets in self.pieces():
                loss = head.loss(head(features), targets, features)
                total, weight = total + float(loss.total.detach()), weight + float(loss.weight)
                if gradients:
                    loss.total.backward()
        if weight == 0:
            raise SolverFailed("no row has a target")
        for parameter in head.parameters() if gradients else ():
            if parameter.grad is not None:
                parameter.grad /= weight
        return total / weight


def solve(head: HeadModule, training: ConvexProblem, penalty: float, scale: float, tolerance: float = 1e-5) -> float:
    """Minimise from where the head is; give the mean loss on the training rows."""
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
    """Try penalties from strong to weak, and keep the one with the least validation loss."""
    best: tuple[Solution, dict[str, Tensor]] | None = None
    worse = 0
    for penalty in PENALTIES:
        on_training = solve(head, training, penalty, scale, tolerance=1e-4)
        on_validation = validation.loss(head, gradients=False)
        if best is None or on_validation < (best[0].validation_loss or 0.0):
            state = {name: tensor.clone() for name, tensor in head.state_dict().items()}
            best, worse = (Solution(penalty, on_training, on_validation), state), 0
        else:
            worse += 1
        if worse == 2:
            break
    assert best is not None
    head.load_state_dict(best[1])
    return best[0]


def start_at_zero(head: HeadModule) -> None:
    """Forget the random start, so that the solution depends on the data alone."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
