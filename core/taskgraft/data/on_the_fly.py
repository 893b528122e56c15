"""Inputs that are processed or augmented on the fly: too large to cache, or different in each epoch."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.processor import AugmentedBatch, ProcessedBatch
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, LazyColumn, Rows
from taskgraft.data.augmentation import UserAugmentation


class OnTheFlyInputs:
    """Raw rows that the backbone's processor turns into model inputs on demand, so that nothing is cached.

    Args:
        names: input role → column.

    Attributes:
        augmentation: changes raw rows before the processor augments them; None changes nothing.
    """

    augmentation: UserAugmentation | None = None

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

    def augmented_by(self, augmentation: UserAugmentation | None) -> "OnTheFlyInputs | None":
        """Return these inputs with an augmentation; None if neither it nor the processor augments."""
        if augmentation is None and not self.processor.augments:
            return None
        augmented = copy(self)
        augmented.augmentation = augmentation
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
            DataError: for a row that the user's augmentation makes unusable.
        """
        values, own = self._values(rows), self.augmentation
        if own is None:
            augmented = self.processor.augment(values, seeds)
            self._check(rows, augmented.invalid)
            return augmented
        changed = own.change(values, rows, seeds, self.rows, self.processor)
        if self.processor.augments and own.elements is None:
            augmented, elements = self.processor.augment(changed, seeds), None
        else:
            processed = self.processor.prepare(changed)
            augmented, elements = AugmentedBatch(processed.batch, invalid=processed.invalid), processed.elements
            if self.processor.augments and not processed.invalid:
                augmented = self.processor.augment(changed, seeds)
        own.check(rows, self.rows, augmented.invalid, elements)
        return augmented

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
