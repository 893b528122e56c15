"""Rows that are prepared afresh whenever they are needed, since prepared they are too large to be kept, or vary at random."""

from collections.abc import Mapping, Sequence
from typing import Any

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.processor import AugmentedBatch, ProcessedBatch
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, LazyColumn, Rows


class OnTheFlyInputs:
    """Raw rows that a backbone's processor prepares when asked.

    Attributes:
        rows: the raw rows.
        bytes: as a store counts what it keeps: nothing.
        heavy: whether gathering takes work, so that worker processes are worth their while.
    """

    def __init__(self, rows: Rows, names: Mapping[str, str], backbone: Backbone):
        """Prepare nothing yet.

        Args:
            names: input role → column.
        """
        self.rows = rows
        self.bytes = 0
        self.heavy = True
        self._names = names
        self._processor = backbone.processor
        self._files = frozenset(role.name for role in backbone.description.inputs if role.files)
        self._sizes = [1] * len(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def sizes(self) -> list[int]:
        """The real positions of each row, as far as they were noted; else 1."""
        return self._sizes

    def note_sizes(self, sizes: list[int]) -> None:
        """Keep the real positions of each row."""
        self._sizes = sizes

    def prepared(self, rows: RowIndices) -> ProcessedBatch:
        """Prepare some rows."""
        return self._processor.prepare(self._values(rows))

    def gather(self, rows: RowIndices) -> Batch:
        """Prepare some rows that were prepared before.

        Raises:
            InvalidRows: for one that can no longer be used, such as a file that is gone.
        """
        made = self.prepared(rows)
        self._check(rows, made.invalid)
        return made.batch

    def augment(self, rows: RowIndices, seeds: Sequence[int]) -> AugmentedBatch:
        """Prepare some rows with random variations, each from its seed.

        Raises:
            InvalidRows: as :meth:`gather` does.
        """
        varied = self._processor.augment(self._values(rows), seeds)
        self._check(rows, varied.invalid)
        return varied

    def _values(self, rows: RowIndices) -> dict[str, Sequence[Any]]:
        """Give raw values by input role; a relative path of a file starts at the folder of the data."""
        values = {name: self._some(column, rows) for name, column in self._names.items()}
        return values | {name: [*map(self.rows.resolve_path, values[name])] for name in self._files & values.keys()}

    def _some(self, column: str, rows: RowIndices) -> Sequence[Any]:
        if isinstance(rows, range) and rows.step == 1:
            return LazyColumn(self.rows.column(column).slice(rows.start, len(rows)))
        return [self.rows.value(column, int(row)) for row in rows]

    def _check(self, rows: RowIndices, refused: Mapping[int, str]) -> None:
        if refused:
            raise InvalidRows(self.rows, {int(rows[place]): reason for place, reason in refused.items()}, FIX_ADVICE)
