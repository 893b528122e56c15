"""The head contract, in four steps: settings, ``fit_targets`` on the training split, ``build_module``, then loss and predictions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.features import Features
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription


@dataclass(frozen=True)
class LossSum:
    """A loss that can be averaged over any number of batches and processes: Σ total / Σ weight.

    Attributes:
        total: () floating point, in nats or squared units, summed over what is labelled in the batch.
        weight: () floating point, how much was summed (rows, labelled elements, or the sum of their weights).
    """

    total: Tensor
    weight: Tensor


class HeadModule(nn.Module, ABC):
    """The built head: features → output → loss or predictions."""

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Compute the output, ``(batch, …)``."""

    def fit_feature_scale(self, features: Features) -> None:
        """Adapt to the scale of the features; called once, with a first batch, before a stage of gradient descent.

        Whatever is learned here must lie in buffers. A head that needs nothing leaves this as it is.
        """

    @abstractmethod
    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Compare the output with encoded targets.

        Args:
            targets: as the head's ``encode`` made them.
            features: those that gave the output.
        """

    @abstractmethod
    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Decode the output to the user's own labels or units.

        Args:
            features: those that gave the output.
        """

    def soft_labels(self, output: Tensor, features: Features, temperature: float) -> Batch:
        """Give what a student may learn of an output. For a head that distils.

        Args:
            features: those that gave the output.
            temperature: what logits are divided by before they become probabilities; without meaning for numbers.

        Returns:
            a row per row, whatever the member axis; axes that are padded are named, with their lengths.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no soft targets")

    def distillation_loss(self, output: Tensor, soft: Batch, features: Features, temperature: float) -> LossSum:
        """Compare the output with a teacher's soft targets, as :meth:`loss` does with encoded targets. For a head that distils.

        Of probabilities this is the square of the temperature times KL(teacher || student), both at that temperature, so that
        gradients keep their size beside those of :meth:`loss` (Hinton, Vinyals and Dean, 2015, section 2).

        Args:
            soft: as :meth:`soft_labels` of a head with the same target description gave them, at the same temperature.
            features: those that gave the output.
        """
        raise NotImplementedError(f"{type(self).__name__} learns from no soft targets")


AnyTarget = TypeVar("AnyTarget", bound=TargetDescription)


class Head(ABC, Generic[AnyTarget]):
    """What is predicted. Holds settings only; what it learns is a target description.

    A head writes :meth:`fit_targets` and :meth:`encode`; one whose target is ``inputs``, so that there is no target column, writes
    :meth:`fit_element_schema` and :meth:`choose_masked` instead.
    """

    target: ClassVar[type[TargetDescription]]
    """The class of its target descriptions."""

    @property
    @abstractmethod
    def description(self) -> HeadDescription:
        """What this head is. Equal to what its spec's ``describe`` answers for the same settings."""

    def fit_targets(self, targets: Columns) -> AnyTarget:
        """Learn the target description from the training split alone.

        Args:
            targets: column → raw values, as the user wrote them.

        Raises:
            InvalidTargets: naming each row that cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} learns from no target column")

    def adopt_from_teacher(self, target: AnyTarget, targets: Columns) -> AnyTarget:
        """Take over what a teacher knows of the targets; what settings of this head decide is its own, not the teacher's.

        Args:
            target: what the teacher learned.
            targets: those of the training split, all of which ``target`` can encode.
        """
        return target

    def encode(self, targets: Columns, target: AnyTarget) -> Batch:
        """Turn raw targets into tensors.

        Raises:
            InvalidTargets: naming each row that cannot be read, or whose label the training split never showed.
        """
        raise NotImplementedError(f"{type(self).__name__} encodes no target column")

    def fit_element_schema(self, contents: ElementSchema) -> AnyTarget:
        """Make the target description of what the elements of a backbone hold."""
        raise NotImplementedError(f"{type(self).__name__} learns from target columns")

    def choose_masked(self, held: Batch, seeds: Sequence[int]) -> Tensor:
        """Choose the elements to hide. What those hold is the encoded target; see :func:`taskgraft.contract.masking.keep_masked`.

        Args:
            held: what the elements of some rows hold, as the backbone's processor says.
            seeds: one per row, from 0 to 2**32 - 1; all random choices for a row come from its seed.

        Returns:
            ``(batch, element)`` bool.
        """
        raise NotImplementedError(f"{type(self).__name__} hides no elements")

    def choose_scored(self, held: Batch, seeds: Sequence[int]) -> Tensor:
        """Choose the elements whose content is the encoded target of an example to learn from: those hidden, and perhaps more.

        What is asked for and not hidden keeps features telling what elements hold that nobody hides, as later tasks need it.

        Args, returns: as for :meth:`choose_masked`, which chooses none by the same seeds that is not asked for.
        """
        return self.choose_masked(held, seeds)

    @abstractmethod
    def decode_targets(self, encoded: Batch, target: AnyTarget) -> list[Any]:
        """Give encoded targets in the words of predictions, one per row, None where something is not known.

        Metrics compare it with the values of :class:`Predictions`.
        """

    def mix_targets(self, encoded: Batch, others: Batch, shares: Tensor, target: AnyTarget) -> Batch:
        """Make soft targets for examples that were mixed with others. For a head that takes soft targets.

        Args:
            encoded: as :meth:`encode` gives them, and ``others`` of the rows with which they were mixed.
            shares: ``(batch,)`` float32, from 0 to 1, how much of each target is its own.
        """
        raise NotImplementedError(f"{type(self).__name__} takes no soft targets")

    @abstractmethod
    def build_module(self, features: FeatureDescription, target: AnyTarget) -> HeadModule:
        """Make the module that reads these features, its weights drawn at random."""

    def check_tuning_rows(self, encoded: Batch, columns: Columns, target: AnyTarget) -> None:
        """Refuse validation rows that :meth:`tune` could not choose by; called before training.

        Args:
            encoded: the targets of the validation rows, as :meth:`encode` gives them.
            columns: their raw values in the columns that the description names, as the user wrote them.

        Raises:
            InvalidTargets: naming each row that cannot be used.
            TaskgraftError: when what is needed is in none of the rows.
        """

    def tune(self, predictions: Predictions, encoded: Batch, columns: Columns, target: AnyTarget) -> AnyTarget:
        """Complete the target description by what validation rows show after training: a pure function.

        Called for a head whose description says that it settles. Its module is then built anew and takes over the trained
        weights, so no saved tensor may depend on what is chosen here. The order of the rows must not matter.

        Args:
            predictions: for the validation rows, made with ``target`` as it is.
            encoded: as for :meth:`check_tuning_rows`, and so are ``columns``.
        """
        return target
