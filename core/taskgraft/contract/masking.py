"""Element values, for heads that recover masked elements (as masked language models do)."""

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.config import Config
from taskgraft.contract.features import ELEMENT_AXIS

CATEGORY = "category"
"""The name of the tensor that holds the category of each element."""

NUMBER = "number"
"""The name of the tensor that holds the numbers of each element."""


class ElementKind(Config):
    """The values of one kind of element: one of some categories, numbers, or nothing that can be recovered."""

    name: str
    categories: tuple[str, ...] | int = Field(
        default=(),
        description="names of the categories; or their count, where they are too many to name and identified by number, from 0",
    )
    numbers: int = Field(default=0, ge=0, description="how many numbers an element has")

    @property
    def outputs(self) -> int:
        """The number of outputs needed to predict an element: one per category, or one per number."""
        return self.numbers or (self.categories if isinstance(self.categories, int) else len(self.categories))

    @model_validator(mode="after")
    def _check_one_of_both(self) -> Self:
        if self.categories and self.numbers:
            raise ValueError(f"elements of the kind '{self.name}' have categories or numbers, not both")
        return self


class ElementSchema(Config):
    """The kinds of elements of a backbone."""

    kinds: tuple[ElementKind, ...] = Field(min_length=1)
    by_position: bool = Field(
        description="whether element i of every example is of kind i, as columns are; if not, all are of the only kind"
    )

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        names = [kind.name for kind in self.kinds]
        if len(set(names)) != len(names):
            raise ValueError(f"two kinds have one name: {names}")
        if not self.by_position and len(names) > 1:
            raise ValueError("several kinds need by_position")
        if not any(kind.outputs for kind in self.kinds):
            raise ValueError("no kind of element has a value that could be recovered")
        return self


def maskable(values: Batch) -> Tensor:
    """Tell which elements have a value to recover.

    Args:
        values: element values, from :meth:`taskgraft.contract.processor.Processor.element_values`.

    Returns:
        ``(batch, element)`` bool.
    """
    has_value = (values[CATEGORY] >= 0) | ~values[NUMBER].isnan().all(-1)
    return has_value & values.mask(ELEMENT_AXIS)


def keep_masked(values: Batch, masked: Tensor) -> Batch:
    """Keep the values of masked elements, the ones to recover, and mark all others as having none.

    Args:
        masked: ``(batch, element)`` bool.
    """
    category = torch.where(masked, values[CATEGORY], -1)
    number = torch.where(masked[..., None], values[NUMBER], torch.nan)
    return Batch({CATEGORY: category, NUMBER: number}, values.axes, values.lengths)
