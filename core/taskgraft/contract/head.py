"""The head contract, in four steps: settings, ``fit_targets`` on the training split, ``build_module``, loss and predictions."""

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
        total: () floating point, in nats or squared units, summed over the labelled rows or elements of the batch.
        weight: () floating point, the number of rows or labelled elements in that sum, or the sum of their weights.
    """

    total: Tensor
    weight: Tensor


class HeadModule(nn.Module, ABC):
    """The built head: features → output → loss or predictions.

    A method that takes an ``output`` also takes the ``features`` that it was computed from.
    """

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Compute the output, ``(batch, …)``."""

    def fit_feature_scale(self, features: Features) -> None:
        """Adapt to the scale of the features. Called once, with a first batch, before a stage of gradient descent.

        Store the result in buffers. The default does nothing.
        """

    @abstractmethod
    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Compute the loss of an output.

        Args:
            targets: encoded by the head's ``encode``.
        """

    @abstractmethod
    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Decode an output to the user's own labels or units."""

    def soft_labels(self, output: Tensor, features: Features, temperature: float) -> Batch:
        """Compute soft labels for a student. For a head that supports distillation.

        Args:
            temperature: divides the logits before the softmax; without effect on numbers.

        Returns:
            one row per example, without a member axis; padded axes are named, with their lengths.
        """
        raise NotImplementedError(f"{type(self).__name__} provides no soft labels")

    def distillation_loss(self, output: Tensor, soft: Batch, features: Features, temperature: float) -> LossSum:
        """Compute the loss of an output against a teacher's soft labels. For a head that supports distillation.

        For probabilities: squared temperature times KL(teacher || student), both at that temperature, so that its gradients
        have the scale of those of :meth:`loss` (Hinton, Vinyals and Dean, 2015, section 2).

        Args:
            soft: from :meth:`soft_labels` of a head with the same target description, at the same temperature.
        """
        raise NotImplementedError(f"{type(self).__name__} has no distillation loss")


AnyTarget = TypeVar("AnyTarget", bound=TargetDescription)


class Head(ABC, Generic[AnyTarget]):
    """What is predicted. Holds settings only; what it fits to the training targets is a target description.

    A head implements :meth:`fit_targets` and :meth:`encode`; one of the target kind ``inputs``, which has no target column,
    implements :meth:`fit_element_schema` and :meth:`choose_masked` instead.
    """

    target: ClassVar[type[TargetDescription]]
    """The class of its target descriptions."""

    @property
    @abstractmethod
    def description(self) -> HeadDescription:
        """The description of this head, equal to what its spec's ``describe`` returns for the same settings."""

    def fit_targets(self, targets: Columns) -> AnyTarget:
        """Fit the target description to the training split alone.

        Args:
            targets: column → values as the user wrote them, but labels tidied and mapped (``data.labels``), lists as lists.

        Raises:
            InvalidTargets: with each row that cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} reads no target column")

    def summary(self, target: AnyTarget) -> Sequence[str]:
        """Return lines to print before training: what was fitted to the targets (which label is to be detected)."""
        return ()

    def adopt_from_teacher(self, target: AnyTarget, targets: Columns) -> AnyTarget:
        """Take over a teacher's target description, except for what this head's own settings determine.

        Args:
            target: the teacher's.
            targets: those of the training split, all of which ``target`` can encode.
        """
        return target

    def encode(self, targets: Columns, target: AnyTarget) -> Batch:
        """Turn raw targets into tensors.

        Raises:
            InvalidTargets: with each row that cannot be read, or whose label does not occur in the training split.
        """
        raise NotImplementedError(f"{type(self).__name__} reads no target column")

    def fit_element_schema(self, schema: ElementSchema) -> AnyTarget:
        """Make the target description from the schema of a backbone's elements."""
        raise NotImplementedError(f"{type(self).__name__} reads target columns, not masked elements")

    def choose_masked(self, values: Batch, seeds: Sequence[int]) -> Tensor:
        """Choose the elements to mask. Their values are the encoded target, see :func:`taskgraft.contract.masking.keep_masked`.

        Args:
            values: the element values of some rows, from the backbone's processor.
            seeds: one per row, from 0 to 2**32 - 1; all random choices for a row come from its seed.

        Returns:
            ``(batch, element)`` bool.
        """
        raise NotImplementedError(f"{type(self).__name__} reads target columns, not masked elements")

    def choose_scored(self, values: Batch, seeds: Sequence[int]) -> Tensor:
        """Choose the elements whose values are the encoded target in training: the masked ones, and perhaps more.

        Elements that are scored but not masked train features to represent visible elements too, as later tasks need.

        Args, returns: as for :meth:`choose_masked`; with the same seeds, includes every element that it chooses.
        """
        return self.choose_masked(values, seeds)

    @abstractmethod
    def decode_targets(self, encoded: Batch, target: AnyTarget) -> list[Any]:
        """Return encoded targets in the form of prediction values, one per row, None for an unknown target.

        Metrics compare them with the values of :class:`Predictions`.
        """

    def mix_targets(self, encoded: Batch, others: Batch, shares: Tensor, target: AnyTarget) -> Batch:
        """Mix the targets of mixed examples into soft labels. For a head that supports soft labels.

        Args:
            encoded: from :meth:`encode`; ``others`` are those of the rows they were mixed with.
            shares: ``(batch,)`` float32 in [0, 1], the weight of each row's own target.
        """
        raise NotImplementedError(f"{type(self).__name__} does not support soft labels")

    @abstractmethod
    def build_module(self, features: FeatureDescription, target: AnyTarget) -> HeadModule:
        """Build the module that reads these features, with randomly initialized weights."""

    def check_tuning_rows(self, encoded: Batch, columns: Columns, target: AnyTarget) -> None:
        """Reject validation rows that :meth:`tune` could not use. Called before training.

        Args:
            encoded: the targets of the validation rows, from :meth:`encode`.
            columns: their raw values in the ``tuning_columns`` of the description, as the user wrote them.

        Raises:
            InvalidTargets: with each row that cannot be used.
            TaskgraftError: when no row has what tuning needs.
        """

    def tune(self, predictions: Predictions, encoded: Batch, columns: Columns, target: AnyTarget) -> AnyTarget:
        """Complete the target description with settings tuned on validation rows after training. A pure function.

        Called for a head whose description has ``tunes``. Its module is then built again with the trained weights, so no saved
        tensor may depend on what is tuned here. The order of the rows must not matter.

        Args:
            predictions: for the validation rows, made with ``target`` as it is.
            encoded: as for :meth:`check_tuning_rows`, and so are ``columns``.
        """
        return target

    def decide(self, predictions: Predictions, target: AnyTarget) -> Predictions:
        """Decide on predictions of a baseline as the head does on its own: with the calibration and threshold of ``target``.

        For a head that tunes, they are tuned for the baseline on the same validation rows. The default changes nothing.
        """
        return predictions
