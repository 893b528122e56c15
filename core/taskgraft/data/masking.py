"""Prepared rows with elements hidden, for heads that recover them: drawn anew in each epoch, or the same each time."""

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
"""Where the same elements are hidden each time, which they are hangs on the number of the row alone, so that the numbers of
models with different seeds can be compared."""


@dataclass(frozen=True)
class ElementMasking:
    """Hides elements of rows, each row by its seed.

    Attributes:
        whole: the rows with nothing hidden.
        choose: the head's choice of elements to hide.
        ask: the head's choice of elements whose content is to be recovered, hidden or not.
        fresh: varies the rows first; None where they do not vary.
    """

    whole: RowSource
    processor: Processor
    choose: Callable[[Batch, Sequence[int]], Tensor]
    ask: Callable[[Batch, Sequence[int]], Tensor]
    fresh: OnTheFlyInputs | None = None

    @property
    def heavy(self) -> bool:
        """Whether a draw takes so much work that worker processes are worth their while."""
        return self.fresh is not None or self.whole.heavy

    def draw(self, rows: RowIndices, seeds: Sequence[int]) -> tuple[Batch, Batch]:
        """Give rows with elements hidden, and what elements hold that are asked for."""
        whole = self.whole.gather(rows) if self.fresh is None else self.fresh.augment(rows, seeds).batch
        held = self.processor.element_values(whole)
        hidden = self.choose(held, seeds)
        return self.processor.mask_elements(whole, hidden, seeds), keep_masked(held, self.ask(held, seeds))


class MaskedInputs:
    """Rows with the same elements hidden each time."""

    def __init__(self, hiding: ElementMasking):
        self._hiding = hiding
        self.bytes = hiding.whole.bytes
        self.heavy = hiding.heavy

    def __len__(self) -> int:
        return len(self._hiding.whole)

    def sizes(self) -> list[int]:
        """The real positions of each row, as a :class:`RowSource` gives them."""
        return self._hiding.whole.sizes()

    def gather(self, rows: RowIndices) -> Batch:
        """Put some rows together."""
        return self._hiding.draw(rows, FIXED_MASK.seeds(rows))[0]


class MaskedTargets:
    """What the elements hold that :class:`MaskedInputs` hides. Made when asked, so that nothing of it need be kept."""

    def __init__(self, hiding: ElementMasking):
        self._hiding = hiding

    def __len__(self) -> int:
        return len(self._hiding.whole)

    def select(self, rows: RowIndices) -> Batch:
        """Take some rows, in the order given."""
        return self._hiding.draw(rows, FIXED_MASK.seeds(rows))[1]
