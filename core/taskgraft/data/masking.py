"""Masked elements, for heads that recover them: another mask in each training epoch, a fixed one for evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.masking import keep_masked
from taskgraft.contract.processor import Processor
from taskgraft.data.examples import EpochSeed
from taskgraft.data.on_the_fly import OnTheFlyInputs
from taskgraft.data.tensor_cache import RowSource

FIXED_MASK = EpochSeed(seed=0, epoch=0)
"""Seeds the mask of evaluation. It depends on the row index only, so metrics of models with different seeds can be compared."""


@dataclass(frozen=True)
class ElementMasking:
    """Masks elements of rows, each row by its seed.

    Attributes:
        inputs: the rows with nothing masked.
        choose_masked: the head's choice of elements to mask.
        choose_scored: the head's choice of elements to recover, masked or not.
        augmented: augments the rows first; None without augmentation.
    """

    inputs: RowSource
    processor: Processor
    choose_masked: Callable[[Batch, Sequence[int]], Tensor]
    choose_scored: Callable[[Batch, Sequence[int]], Tensor]
    augmented: OnTheFlyInputs | None = None

    @property
    def heavy(self) -> bool:
        """Whether masking is slow enough for worker processes to pay."""
        return self.augmented is not None or self.inputs.heavy

    def augment(self, rows: RowIndices, seeds: Sequence[int]) -> tuple[Batch, Batch]:
        """Return rows with masked elements, and the values of the elements to recover."""
        batch = self.inputs.gather(rows) if self.augmented is None else self.augmented.augment(rows, seeds).batch
        values = self.processor.element_values(batch)
        masked = self.processor.mask_elements(batch, self.choose_masked(values, seeds), seeds)
        return masked, keep_masked(values, self.choose_scored(values, seeds))


class FixedMaskRows:
    """Rows with a fixed mask: gathered, their inputs; selected, the values of masked elements. Nothing is stored."""

    def __init__(self, masking: ElementMasking):
        self._masking = masking
        self.bytes = masking.inputs.bytes
        self.heavy = masking.heavy

    def __len__(self) -> int:
        return len(self._masking.inputs)

    def sizes(self) -> list[int]:
        """Return the real positions of each row."""
        return self._masking.inputs.sizes()

    def gather(self, rows: RowIndices) -> Batch:
        """Return the masked inputs of some rows."""
        return self._masking.augment(rows, FIXED_MASK.seeds(rows))[0]

    def select(self, rows: RowIndices) -> Batch:
        """Return the targets of some rows."""
        return self._masking.augment(rows, FIXED_MASK.seeds(rows))[1]
