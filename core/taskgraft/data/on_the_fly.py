"""Inputs that are processed or augmented on the fly: too large to cache, or different in each epoch."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.processor import AugmentedBatch, ProcessedBatch
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, LazyColumn, Rows

Augmentation = Callable[[dict[str, Any], np.random.Generator], Mapping[str, Any]]
"""(a copy of an example: input → raw value; the generator of the row in this epoch) → the changed example.

A value is raw as the data have it, such as a text or the path of an image, or an object in memory, such as an opened image.
"""

_OF_USER = 1
"""Keeps the random choices of a user's augmentation apart from those of the processor, which have the same seeds."""


class OnTheFlyInputs:
    """Raw rows that the backbone's processor turns into model inputs on demand, so that nothing is cached.

    Args:
        names: input role → column.

    Attributes:
        augmentation: changes raw rows before the processor augments them; None changes nothing.
    """

    augmentation: Augmentation | None = None

    def __init__(self, rows: Rows, names: Mapping[str, str], backbone: Backbone):
        self.rows = rows
        self.processor = backbone.processor
        self.bytes = 0
        self.heavy = True
        self._names = names
        self._files = frozenset(role.name for role in backbone.description.inputs if role.files)
        self._sizes = [1] * len(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def sizes(self) -> list[int]:
        """Return the real positions of each row; 1 where they are unknown."""
        return self._sizes

    def set_sizes(self, sizes: list[int]) -> None:
        """Set the real positions of each row."""
        self._sizes = sizes

    def replace_rows(self, rows: Rows, kept: Sequence[int]) -> "OnTheFlyInputs":
        """Return the inputs of fewer rows.

        Args:
            kept: the indices that the rows have here.
        """
        fewer = copy(self)
        fewer.rows, fewer._sizes = rows, [self._sizes[row] for row in kept]
        return fewer

    def augmented_by(self, function: Augmentation | None) -> "OnTheFlyInputs | None":
        """Return these inputs with an augmentation; None if neither it nor the processor augments."""
        if function is None and not self.processor.augments:
            return None
        augmented = copy(self)
        augmented.augmentation = function
        return augmented

    def process(self, rows: RowIndices) -> ProcessedBatch:
        """Process some rows, invalid ones included."""
        return self.processor.prepare(self._values(rows))

    def gather(self, rows: RowIndices) -> Batch:
        """Process some rows that were valid before.

        Raises:
            InvalidRows: for a row that can no longer be used: its file is gone, for example.
        """
        processed = self.process(rows)
        self._check(rows, processed.invalid)
        return processed.batch

    def augment(self, rows: RowIndices, seeds: Sequence[int]) -> AugmentedBatch:
        """Process some rows with random augmentation, each from its seed.

        Raises:
            InvalidRows: as :meth:`gather` does.
        """
        values = self._values(rows)
        if self.augmentation is not None:
            values = self._change(self.augmentation, values, rows, seeds)
        augmented = self.processor.augment(values, seeds)
        self._check(rows, augmented.invalid)
        return augmented

    def _change(
        self, function: Augmentation, values: dict[str, Sequence[Any]], rows: RowIndices, seeds: Sequence[int]
    ) -> dict[str, Sequence[Any]]:
        """Let a function change rows one by one, each with a generator from its seed. An exception is noted with its row."""
        changed: dict[str, Sequence[Any]] = {name: [] for name in values}
        for index, seed in enumerate(seeds):
            example = {name: column[index] for name, column in values.items()}
            try:
                result = function(dict(example), np.random.default_rng((seed, _OF_USER)))
                if not isinstance(result, Mapping) or result.keys() != example.keys():
                    returned = sorted(result) if isinstance(result, Mapping) else type(result).__name__
                    raise TypeError(f"it returned {returned!r:.200}, not a dict of {', '.join(example)}")
                for name, value in result.items():
                    changed[name] = [*changed[name], *self._raw(name, value, example[name])]
            except Exception as error:
                error.add_note(f"The augmentation failed on {self.rows.location(int(rows[index]))}.")
                raise
        return changed

    def _raw(self, name: str, value: Any, before: Any) -> Sequence[Any]:
        """Return the raw value of an object in memory."""
        as_it_was = value is before or value is None or isinstance(value, str | int | float)
        return [value] if as_it_was else self.processor.raw_values(name, value)

    def _values(self, rows: RowIndices) -> dict[str, Sequence[Any]]:
        """Return raw values by input role; relative paths start at the folder of the data."""
        values = {name: self._column(column, rows) for name, column in self._names.items()}
        return values | {name: [*map(self.rows.resolve_path, values[name])] for name in self._files & values.keys()}

    def _column(self, column: str, rows: RowIndices) -> Sequence[Any]:
        if isinstance(rows, range) and rows.step == 1:
            return LazyColumn(self.rows.column(column).slice(rows.start, len(rows)))
        return [self.rows.value(column, int(row)) for row in rows]

    def _check(self, rows: RowIndices, invalid: Mapping[int, str]) -> None:
        if invalid:
            raise InvalidRows(self.rows, {int(rows[index]): reason for index, reason in invalid.items()}, FIX_ADVICE)
