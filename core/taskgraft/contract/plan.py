"""What a strategy answers with: stages, as plain values. The loop carries them out and knows no strategy by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from taskgraft.contract.descriptions import LayerRole

if TYPE_CHECKING:
    from torch import Tensor, nn

    from taskgraft.contract.batch import Batch
    from taskgraft.contract.features import Features
    from taskgraft.contract.head import HeadModule, LossSum

Wrap = Callable[["nn.Module"], "nn.Module"]
StageLoss = Callable[["HeadModule", "Tensor", "Batch", "Features"], "LossSum"]
Regularizer = Callable[["nn.Module"], "Tensor"]
StepCallback = Callable[["nn.Module", int], None]


class HeadSolver(StrEnum):
    """How the head of a stage is found."""

    DESCENT = "descent"
    CONVEX = "convex"


@dataclass(frozen=True)
class Unfreeze:
    """Base tensors that learn, chosen by part, role, module type and the tensor's own name, all of which must fit.

    Attributes:
        parts: names of parts.
        learning_rate: the peak learning rate, per step.
        roles: only layers with one of these roles; None takes every layer.
        modules: only tensors held by a module of one of these torch types; None takes every type.
        tensors: only tensors with one of these own names ("bias"); None takes every name.
        norms: whether tensors of norms are taken too where ``tensors`` does not name them.
    """

    parts: tuple[str, ...]
    learning_rate: float
    roles: frozenset[LayerRole] | None = None
    modules: "tuple[type[nn.Module], ...] | None" = None
    tensors: frozenset[str] | None = None
    norms: bool = False

    @property
    def chooses(self) -> bool:
        """Whether some of the tensors of its parts are left out, so that buffers are, too."""
        return (self.roles, self.modules, self.tensors) != (None, None, None)


@dataclass(frozen=True, eq=False)
class SharedWrap:
    """How to wrap layers whose inserted modules have something in common, such as fixed tensors or a budget.

    Attributes:
        begin: called once with all layers that insertions with this very value choose, in order from input to output;
            answers with the function that wraps each of them.
    """

    begin: "Callable[[Sequence[nn.Module]], Wrap]"


@dataclass(frozen=True)
class Insertion:
    """New modules around layers of the backbone, chosen by part and role, or around whole parts.

    It can be divided into several with fewer parts and other rates.

    Attributes:
        name: short; inserted tensors are called ``<path of the layer>:<name>.<tensor>``.
        roles: of the layers; None stands for the one module that gives what leaves a part (:attr:`Part.module`).
        wrap: called with the layer; answers with a module that holds the layer, as it is, somewhere below itself, and has
            tensors of its own. Those that ask for no gradient then never learn.
        learning_rate: the peak learning rate of the inserted tensors, per step.
        merge: called with the module that ``wrap`` gave; answers with a layer of the wrapped layer's own kind that alone
            computes the same. None for what cannot be merged.
    """

    name: str
    parts: tuple[str, ...]
    roles: frozenset[LayerRole] | None
    wrap: Wrap | SharedWrap
    learning_rate: float
    merge: Wrap | None = None


@dataclass(frozen=True)
class Teacher:
    """A fitted model that is asked, once and before training, what it says of the training rows.

    The head takes over the teacher's target description. What it says, the soft targets, goes with each row to the stage's
    ``loss``, among the targets, where :func:`taskgraft.data.soft_labels.split_soft_labels` finds it.

    Attributes:
        artifact: the folder of an artifact.
        temperature: what the teacher's logits are divided by; without effect on numbers.
    """

    artifact: str
    temperature: float = 1.0


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    Attributes:
        unfreeze: base tensors that learn. Parts named in none of them run in eval mode, without gradients.
        insertions: modules to add before this stage; they stay for the stages after it.
        layer_decay: each part, with what is inserted in it, learns at this times the rate of the part after it, so that
            the last part alone learns at the rates stated; None lets all parts learn at them.
        head_learning_rate: the head's peak learning rate, per step; None keeps the head as it is.
        solve: ``convex`` finds the head with a solver over stored features; nothing else may learn in such a stage.
        l2_penalty: of a convex stage: the weight of half the squared norm of the head's weights, times the mean squared norm
            of the features, per row; None chooses it on validation.
        epochs: passes over the training rows; None takes the number from the training settings.
        patience: stop after this many epochs without improvement on validation and restore the best; None never stops.
        cache_features: whether what lies before the first learning part may be computed once and stored.
        loss: wraps the head's loss, when given: (head, output, targets, features) → loss.
        teacher: whose soft targets ``loss`` finds beside the head's own; None for a stage that has none.
        regularizer: called in every pass with the backbone, when given; answers with a scalar that is added to the mean loss.
        on_stage_start: called with the backbone and the number of optimiser steps that the stage will have, before the first of
            them, and again where a run that was killed goes on.
        on_step_end: called after every optimiser step, its gradients still there, with the backbone and the number of the step,
            from 1.
    """

    name: str
    unfreeze: tuple[Unfreeze, ...] = ()
    insertions: tuple[Insertion, ...] = ()
    layer_decay: float | None = None
    head_learning_rate: float | None = None
    solve: HeadSolver = HeadSolver.DESCENT
    l2_penalty: float | None = None
    epochs: int | None = None
    patience: int | None = None
    cache_features: bool = False
    loss: StageLoss | None = None
    teacher: Teacher | None = None
    regularizer: Regularizer | None = None
    on_stage_start: StepCallback | None = None
    on_step_end: StepCallback | None = None


Plan = tuple[Stage, ...]
