"""The processor contract: raw examples turned into model inputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.masking import ElementSchema


@dataclass(frozen=True)
class ProcessedBatch:
    """Raw examples turned into model inputs.

    Attributes:
        batch: one row per raw example, also for an invalid one.
        invalid: row → why it cannot be used ("the text is empty").
        notes: what was done to how many rows ("cut to 256 pieces" → 12).
        elements: the number of elements of each raw example before truncation, where the user's input determines it.
    """

    batch: Batch
    invalid: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    elements: Sequence[int] | None = None


@dataclass(frozen=True)
class AugmentedBatch:
    """Training examples, randomly augmented and turned into model inputs.

    Attributes:
        batch, invalid: as in :class:`ProcessedBatch`.
        partners: ``(batch,)`` int64, the row of this batch that each row was mixed with (mixup); None without mixing.
        shares: ``(batch,)`` float32 in [0, 1], the weight of each row's own target; None without mixing.
    """

    batch: Batch
    partners: Tensor | None = None
    shares: Tensor | None = None
    invalid: Mapping[int, str] = field(default_factory=dict)


class Processor(ABC):
    """Raw examples → model inputs. It is sent to loader workers, so it must hold no module and no open file.

    Attributes:
        cacheable: whether processed examples that do not fit in memory are written to files of the run. Use False when they
            are much larger than the raw ones: worker processes then recompute them whenever they are needed.
    """

    cacheable: ClassVar[bool] = True

    @property
    def augments(self) -> bool:
        """Whether training examples that are computed on the fly in each epoch go through :meth:`augment`."""
        return False

    @property
    def summary(self) -> Sequence[str]:
        """Lines printed before training: what was fitted to the inputs (the type of each column, and its scale)."""
        return ()

    @abstractmethod
    def prepare(self, inputs: Columns) -> ProcessedBatch:
        """Turn raw examples into model inputs.

        Args:
            inputs: input role (or column, when the backbone reads any columns) → one raw value per row.
        """

    def raw_values(self, role: str, value: Any) -> Sequence[Any]:
        """Turn an object in memory that a caller predicts for (an array, an opened file) into raw values, one per row.

        Raises:
            ValueError: with a clause that says what to pass instead.
        """
        return [value]

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        """Turn training examples into model inputs, with random augmentation.

        Args:
            inputs: as for :meth:`prepare`.
            seeds: one per row, from 0 to 2**32 - 1; all random choices for a row come from its seed.
        """
        processed = self.prepare(inputs)
        return AugmentedBatch(processed.batch, invalid=processed.invalid)

    @property
    def element_schema(self) -> ElementSchema:
        """The schema of element values. This and the two methods below are for backbones described with ``can_mask``."""
        raise NotImplementedError(f"{type(self).__name__} has no element schema")

    def element_values(self, batch: Batch) -> Batch:
        """Return the values of the elements of processed examples.

        Args:
            batch: as :meth:`prepare` makes it, perhaps collated again.

        Returns:
            ``category`` ``(batch, element)`` int64, from 0, -1 where there is none to recover; and ``number`` ``(batch,
            element, number)`` float32, standardized, NaN where there is none; its last axis has as many numbers as the kind
            with the most. Both are padded along ``element``, to as many elements as the sequence features have.
        """
        raise NotImplementedError(f"{type(self).__name__} has no element values")

    def mask_elements(self, batch: Batch, masked: Tensor, seeds: Sequence[int]) -> Batch:
        """Mask elements, so that no information about their values is left. The given batch is not changed.

        Args:
            batch: as for :meth:`element_values`.
            masked: ``(batch, element)`` bool; may include elements without a value to recover.
            seeds: as for :meth:`augment`, where masked elements are replaced at random.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot mask elements")

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Everything that determines the result of :meth:`prepare`, as JSON. Saved in an artifact and compared on loading."""
