"""What the elements of prepared examples hold, for heads that recover elements which were hidden from the backbone."""

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.config import Config
from taskgraft.contract.features import ELEMENT_AXIS

CATEGORY, NUMBER = "category", "number"
"""The names of the tensors that say what elements hold."""


class ElementKind(Config):
    """What elements of one kind hold: one of some categories, numbers, or nothing that can be recovered."""

    name: str
    categories: tuple[str, ...] | int = Field(
        default=(),
        description="their names, or how many there are where names are too many to be written down; what is recovered is then "
        "said by number, from 0",
    )
    numbers: int = Field(default=0, ge=0, description="how many numbers an element holds")

    @property
    def outputs(self) -> int:
        """How many numbers it takes to say what an element holds: one per category, or one per number."""
        return self.numbers or (self.categories if isinstance(self.categories, int) else len(self.categories))

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.categories and self.numbers:
            raise ValueError(f"elements of the kind '{self.name}' hold categories or numbers, not both")
        return self


class ElementSchema(Config):
    """What the elements of a backbone hold."""

    kinds: tuple[ElementKind, ...] = Field(min_length=1)
    by_position: bool = Field(
        description="whether element i of every example is of kind i, as columns are; if not, all are of the only kind"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [kind.name for kind in self.kinds]
        if len(set(names)) != len(names):
            raise ValueError(f"two kinds have one name: {names}")
        if not self.by_position and len(names) > 1:
            raise ValueError("elements that are not told apart by position are of one kind")
        if not any(kind.outputs for kind in self.kinds):
            raise ValueError("no kind of element holds anything that could be recovered")
        return self


def maskable(held: Batch) -> Tensor:
    """Tell elements that hold something from those that hold nothing.

    Args:
        held: as :meth:`taskgraft.contract.processor.Processor.element_values` gives it.

    Returns:
        ``(batch, element)`` bool.
    """
    something = (held[CATEGORY] >= 0) | ~held[NUMBER].isnan().all(-1)
    return something & held.mask(ELEMENT_AXIS)


def keep_masked(held: Batch, hidden: Tensor) -> Batch:
    """Keep what hidden elements hold, and take the rest for nothing: what is to be recovered.

    Args:
        hidden: ``(batch, element)`` bool.
    """
    category = torch.where(hidden, held[CATEGORY], -1)
    number = torch.where(hidden[..., None], held[NUMBER], torch.nan)
    return Batch({CATEGORY: category, NUMBER: number}, held.axes, held.lengths)
