"""What a strategy returns: stages, as plain values. The trainer runs them and knows no strategy by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from taskgraft.contract.descriptions import LayerRole

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from taskgraft.contract.batch import Batch
    from taskgraft.contract.callback import MakeCallback
    from taskgraft.contract.features import Features
    from taskgraft.contract.head import HeadModule, LossSum

Wrap = Callable[["nn.Module"], "nn.Module"]
"""Layer → the module that takes its place."""

StageLoss = Callable[["HeadModule", "Tensor", "Batch", "Features"], "LossSum"]
Regularizer = Callable[["nn.Module"], "Tensor"]
StepCallback = Callable[["nn.Module", int], None]

ParameterGroups = Sequence[dict[str, Any]]
"""Groups of parameters for ``torch.optim``, each with its ``params``, peak ``lr`` and ``weight_decay``."""

MakeOptimizer = Callable[[ParameterGroups], "Optimizer"]
"""Parameter groups → the optimizer of a stage."""

Schedule = Callable[[int, int], float]
"""(step after the warm-up, from 0; the number of those steps) → factor of the peak learning rates. A pure function."""

GradientRule = Callable[[Callable[[], "Tensor"], Sequence["nn.Parameter"]], None]
"""(evaluate, the trainable parameters) → the gradient of a step, left in ``grad`` of the parameters.

``evaluate`` computes the mean loss of the batch at the present values of the parameters, () float32, and leaves its gradient in
``grad``, in place of the one before; a parameter that the loss does not use has None. It may be called several times, and the
parameters may be moved in between: they are put back before the optimizer step. Dropout is the same each time, and statistics
of the batch count once.
"""


class HeadSolver(StrEnum):
    """How the head of a stage is trained."""

    DESCENT = "descent"
    CONVEX = "convex"


@dataclass(frozen=True)
class Unfreeze:
    """Base tensors to train, selected by part, role, module type and own name; a tensor must match all of them.

    Attributes:
        parts: names of parts.
        learning_rate: the peak learning rate, per step.
        roles: only layers with one of these roles; None selects every layer.
        modules: only tensors that belong to a module of one of these torch types; None selects every type.
        tensors: only tensors with one of these own names ("bias"); None selects every name.
        norms: whether tensors of normalization layers are selected even where ``tensors`` does not name them.
    """

    parts: tuple[str, ...]
    learning_rate: float
    roles: frozenset[LayerRole] | None = None
    modules: "tuple[type[nn.Module], ...] | None" = None
    tensors: frozenset[str] | None = None
    norms: bool = False

    @property
    def chooses(self) -> bool:
        """Whether only some tensors of its parts are selected, so that buffers are not."""
        return (self.roles, self.modules, self.tensors) != (None, None, None)


@dataclass(frozen=True, eq=False)
class SharedWrap:
    """How to wrap layers whose inserted modules have something in common, such as fixed tensors or a budget.

    Attributes:
        begin: called once with all layers that insertions with this same value select, in order from input to output; returns
            the function that wraps each of them.
    """

    begin: "Callable[[Sequence[nn.Module]], Wrap]"


@dataclass(frozen=True)
class Insertion:
    """New modules around layers of the backbone, selected by part and role, or around whole parts.

    It may be split into several with fewer parts and other learning rates.

    Attributes:
        name: short; inserted tensors are called ``<path of the layer>:<name>.<tensor>``.
        roles: of the layers; None selects the one module that returns the output of a part (:attr:`Part.module`).
        wrap: called with the layer; returns a module that contains the unchanged layer somewhere below itself, and has
            tensors of its own. Those that do not require gradients stay frozen.
        learning_rate: the peak learning rate of the inserted tensors, per step.
        merge: called with a copy of the module that ``wrap`` returned; returns a layer of the wrapped layer's own kind that
            alone computes the same. None if it cannot be merged.
    """

    name: str
    parts: tuple[str, ...]
    roles: frozenset[LayerRole] | None
    wrap: Wrap | SharedWrap
    learning_rate: float
    merge: Wrap | None = None


@dataclass(frozen=True)
class Teacher:
    """A fitted model that computes soft labels for the training rows, once, before training.

    The head adopts the teacher's target description. The soft labels travel with their rows to the stage's ``loss``, which
    finds them among the targets with :func:`taskgraft.data.soft_labels.split_soft_labels`.

    Attributes:
        artifact: the folder of an artifact.
        temperature: divides the teacher's logits; without effect on numbers.
    """

    artifact: str
    temperature: float = 1.0


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
        unfreeze: base tensors to train. Parts named in none of them run in eval mode, without gradients.
        insertions: modules to add before this stage; they stay for the stages after it.
        layer_decay: learning rates shrink by this factor from each part, with its insertions, to the part before it; the last
            part has the stated rates. None: all parts have them.
        head_learning_rate: the head's peak learning rate, per step; None freezes the head.
        solve: ``convex`` trains the head with a solver on cached features; nothing else may be trained in such a stage.
        l2_penalty: of a convex stage: the weight of half the squared norm of the head's weights, times the mean squared norm
            of the features, per row; None tunes it on validation rows.
        epochs: passes over the training rows; None takes the number from the training settings.
        patience: stop after this many epochs without improvement on validation and restore the best; None never stops.
        cache_features: whether the output of the layers before the first trained part may be computed once and cached.
        loss: replaces the head's loss, when given: (head, output, targets, features) → loss.
        teacher: provides soft labels that ``loss`` finds among the head's own targets.
        regularizer: called in every forward pass with the backbone; returns a scalar that is added to the mean loss.
        on_stage_start: called with the backbone and the number of optimizer steps of the stage, before the first of them, and
            again when a killed run is resumed.
        on_step_end: called after every optimizer step, before gradients are cleared, with the backbone and the step, from 1.
        optimizer: makes the optimizer of this stage, in place of the one of the training settings.
        schedule: how learning rates change after the warm-up, in place of the one of the training settings.
        gradient: computes the gradient of a step from one or more evaluations of the loss; None evaluates it once.
        loss_over_batch: whether ``loss`` compares rows of the batch with each other, by itself or through the head's loss, so
            that batches are not divided.
        callbacks: each is called once at the start of the stage and returns what follows it.
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
    optimizer: MakeOptimizer | None = None
    schedule: Schedule | None = None
    gradient: GradientRule | None = None
    loss_over_batch: bool = False
    callbacks: "tuple[MakeCallback, ...]" = ()


Plan = tuple[Stage, ...]
"""The stages of a strategy, in order."""
