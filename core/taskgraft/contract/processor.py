"""The processor contract: raw examples made into model inputs."""

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
    """Raw examples made into model inputs.

    Attributes:
        batch: one row per raw example, also for a refused one.
        invalid: row → why it cannot be used ("the text is empty").
        notes: what happened to how many rows ("cut to 256 pieces" → 12).
        elements: how many elements each raw example has, before anything was cut off, where the user's input decides it.
    """

    batch: Batch
    invalid: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    elements: Sequence[int] | None = None


@dataclass(frozen=True)
class AugmentedBatch:
    """Training examples, varied at random and made into model inputs.

    Attributes:
        batch: as in :class:`ProcessedBatch`.
        partners: ``(batch,)`` int64, the row of this batch that each row was mixed with; None when nothing is mixed.
        shares: ``(batch,)`` float32, from 0 to 1, how much of each row's target is its own; None alike.
        invalid: row → why it cannot be used, as in :class:`ProcessedBatch`.
    """

    batch: Batch
    partners: Tensor | None = None
    shares: Tensor | None = None
    invalid: Mapping[int, str] = field(default_factory=dict)


class Processor(ABC):
    """Raw examples → model inputs. Is sent to loader workers, so it holds no module and no open file.

    Attributes:
        cacheable: whether prepared examples that do not fit in memory are written to files of the run. If not, as is right for
            what is much larger prepared than raw, they are prepared anew, in worker processes, whenever they are needed.
    """

    cacheable: ClassVar[bool] = True

    @property
    def augments(self) -> bool:
        """Whether :meth:`augment` is to be used where a training example is computed anew in each epoch."""
        return False

    @property
    def summary(self) -> Sequence[str]:
        """Lines for whoever trains: what was learned about the inputs (what each column is taken for, and its scale)."""
        return ()

    @abstractmethod
    def prepare(self, inputs: Columns) -> ProcessedBatch:
        """Turn raw examples into model inputs.

        Args:
            inputs: input role (or column, when the backbone reads any columns) → one raw value per row.
        """

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        """Turn training examples into model inputs, with random variations.

        Args:
            inputs: as for :meth:`prepare`.
            seeds: one per row, from 0 to 2**32 - 1; all random choices for a row come from its seed.
        """
        made = self.prepare(inputs)
        return AugmentedBatch(made.batch, invalid=made.invalid)

    @property
    def element_schema(self) -> ElementSchema:
        """What elements hold. This and the two methods below are for a backbone whose description says ``can_mask``."""
        raise NotImplementedError(f"{type(self).__name__} cannot say what elements hold")

    def element_values(self, batch: Batch) -> Batch:
        """Say what the elements of prepared examples hold.

        Args:
            batch: as :meth:`prepare` makes it, perhaps collated anew.

        Returns:
            ``category`` ``(batch, element)`` int64, from 0, -1 where there is none to recover; and ``number`` ``(batch,
            element, number)`` float32, standardised, NaN where there is none, as many as the kind with the most has. Both
            are padded along ``element``, with as many elements as the sequence features have.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot say what elements hold")

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        """Hide elements of prepared examples, so that nothing of what they hold is left; the batch itself stays as it is.

        Args:
            batch: as for :meth:`element_values`.
            hidden: ``(batch, element)`` bool; an element may also be one that holds nothing to recover.
            seeds: as for :meth:`augment`, where something else is drawn to stand in their place.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot hide elements")

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Everything that decides what :meth:`prepare` does, as JSON. An artifact holds it and compares it on loading."""
