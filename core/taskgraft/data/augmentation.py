"""A user's own augmentation: a function that changes raw training examples, one by one, before the processor sees them."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from taskgraft.contract.batch import RowIndices
from taskgraft.contract.processor import Processor
from taskgraft.contract.rows import Rows
from taskgraft.reading.errors import DataError

Augmentation = Callable[[dict[str, Any], np.random.Generator], Mapping[str, Any]]
"""(a copy of an example: input → raw value; the generator of the row in this epoch) → the changed example.

A value is raw as the data have it, such as a text, a number or the path of an image, or an object in memory that the processor
takes, such as an opened image.
"""

_OF_USER = 1
"""Keeps the random choices of a user's augmentation apart from those of the processor, which have the same seeds."""


@dataclass(frozen=True)
class UserAugmentation:
    """Calls a user's function.

    Attributes:
        elements: how many elements each row has; None where targets do not depend on them.
    """

    function: Augmentation
    elements: Sequence[int] | None = None

    def change(
        self,
        values: Mapping[str, Sequence[Any]],
        rows: RowIndices,
        seeds: Sequence[int],
        data: Rows,
        processor: Processor,
    ) -> dict[str, list[Any]]:
        """Change some rows; each gets a generator from its seed.

        Raises:
            DataError: naming function and row, for a result that is no example.
            Exception: that the function raises, with a note on function and row.
        """
        changed: dict[str, list[Any]] = {name: [] for name in values}
        for index, seed in enumerate(seeds):
            example = {name: column[index] for name, column in values.items()}
            where = data.location(int(rows[index]))
            with self._noted(where):
                result = self.function(dict(example), np.random.default_rng((seed, _OF_USER)))
            if not isinstance(result, Mapping) or result.keys() != example.keys():
                returned = sorted(map(str, result)) if isinstance(result, Mapping) else type(result).__name__
                raise DataError(
                    f"The augmentation '{function_name(self.function)}' returned {returned!s:.100} for {where}. Let it return "
                    f"a dict with the inputs that it was given: {', '.join(example)}."
                )
            for name, column in changed.items():
                column.append(self._raw(name, result[name], example[name], where, processor))
        return changed

    def check(self, rows: RowIndices, data: Rows, invalid: Mapping[int, str], elements: Sequence[int] | None) -> None:
        """Raise DataError, naming function and row, for rows that are invalid now, or no longer have an element per label."""
        name = function_name(self.function)
        for index, reason in invalid.items():
            raise DataError(f"The augmentation '{name}' made {data.location(int(rows[index]))} invalid: {reason}.")
        if self.elements is None or elements is None:
            return
        for row, count in zip(rows, elements, strict=True):
            if count != self.elements[int(row)]:
                raise DataError(
                    f"The augmentation '{name}' gave {data.location(int(row))} {count:,} elements, but it has labels for "
                    f"{self.elements[int(row)]:,}. Let it keep the number and the order of elements."
                )

    def _raw(self, name: str, value: Any, before: Any, where: str, processor: Processor) -> Any:
        """Return the raw value of a result; objects in memory are converted as those of a prediction are."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (type(before), str, int, float, bytes)):
            return value
        try:
            raw = processor.raw_values(name, value)
        except ValueError as error:
            problem = str(error)
        else:
            if len(raw) == 1:
                return raw[0]
            problem = f"it holds {len(raw):,} values instead of one"
        raise DataError(
            f"The augmentation '{function_name(self.function)}' returned a {name} for {where} that cannot be used: {problem}."
        )

    @contextmanager
    def _noted(self, where: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            error.add_note(f"The augmentation '{function_name(self.function)}' raised this for {where}.")
            raise


def function_name(function: Any) -> str:
    """Name a function of the caller in messages and in the identity of a run; an object by its class."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))
