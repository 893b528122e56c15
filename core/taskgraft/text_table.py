"""Text tables that fit the terminal. No name and no number is broken across lines.

Where a table is too wide, its headers and its wrapping columns wrap between words. Where that is not enough, a table of
numbers continues below with its first columns repeated, and a table of texts becomes a list.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskgraft.errors import LONGEST_MESSAGE, LONGEST_NAME, printable, shorten
from taskgraft.terminal import replace_unencodable

_GAP = 3
"""Terminal columns between two columns of a table."""

_LEAST_WRAPPED, _LEAST_NAME = 16, 12
"""A wrapping column is no narrower than this, unless its text is; a name is shortened no further than this."""


@dataclass(frozen=True)
class TextTable:
    """A table without markup.

    Attributes:
        texts: how many of the first columns are left-aligned texts, such as names. The others are right-aligned numbers.
        wrapped: the columns whose cells wrap between words.
        shorten: whether texts may be shortened in the middle, so that the table need not continue below.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    wrapped: Collection[str] = ()
    shorten: bool = False

    def __post_init__(self) -> None:
        """Escape all texts, and cut names that are longer than any of an honest table."""
        columns, wrapped = (
            [shorten(printable(name), LONGEST_NAME) for name in names] for names in (self.columns, self.wrapped)
        )
        most = [LONGEST_MESSAGE if name in wrapped else LONGEST_NAME for name in columns]
        rows = [[shorten(printable(cell), limit) for cell, limit in zip(row, most, strict=True)] for row in self.rows]
        vars(self).update(columns=columns, wrapped=wrapped, rows=rows)

    def fits(self, width: int) -> bool:
        """Tell whether the table fits a width as it is."""
        return sum(self._natural) + _GAP * (len(self.columns) - 1) <= width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self if console.encoding.startswith("utf") else self._encoded(console.encoding)
        yield from table._render(options.max_width)

    def _encoded(self, encoding: str) -> "TextTable":
        """Return the table without what an encoding lacks, so that its columns stay in line."""
        columns, wrapped = (
            [replace_unencodable(name, encoding) for name in names] for names in (self.columns, self.wrapped)
        )
        rows = [[replace_unencodable(cell, encoding) for cell in row] for row in self.rows]
        return TextTable(columns, rows, self.texts, wrapped, self.shorten)

    def _render(self, width: int) -> Iterable[Table | Text | Padding]:
        every = range(len(self.columns))
        if (widths := self._fit(every, width)) is not None:
            yield self._table(every, widths)
        elif self.wrapped:
            yield from self._as_list()
        elif self.shorten and (widths := self._shortened(every, width, _LEAST_NAME)) is not None:
            yield self._table(every, widths)
        else:
            yield from self._stacked(width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    @property
    def _natural(self) -> list[int]:
        """The width of each column without wrapping."""
        return [max(map(cell_len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]

    def _fit(self, columns: Sequence[int], width: int) -> list[int] | None:
        """Compute the widths of some columns; None if they do not fit."""
        natural, spare = self._natural, width - _GAP * (len(columns) - 1)
        least = [self._least(column) for column in columns]
        wanted = [natural[column] - low for column, low in zip(columns, least, strict=True)]
        extra = spare - sum(least)
        if extra < 0:
            return None
        if extra >= sum(wanted):
            return [low + more for low, more in zip(least, wanted, strict=True)]
        return [low + extra * more // sum(wanted) for low, more in zip(least, wanted, strict=True)]

    def _least(self, column: int) -> int:
        """Return the least width of a column: that of the longest word of its header, and of its cells or their words."""
        wraps, cells = self.columns[column] in self.wrapped, [row[column] for row in self.rows]
        words = [
            *self.columns[column].split(),
            *(word for cell in cells for word in (cell.split() if wraps else [cell])),
        ]
        longest = max(map(cell_len, words), default=0)
        return max(longest, min(self._natural[column], _LEAST_WRAPPED)) if wraps else longest

    def _shortened(self, columns: Sequence[int], width: int, least: int) -> list[int] | None:
        """Compute widths with texts shortened, the longest first, so that the table fits; None if it does not."""
        widths = [self._least(column) for column in columns]
        over = sum(widths) + _GAP * (len(columns) - 1) - width
        names = [index for index, column in enumerate(columns) if column < self.texts]
        while over > 0:
            longest = max(names, key=lambda index: widths[index])
            if widths[longest] <= max(least, cell_len(self.columns[columns[longest]])):
                return None
            widths[longest], over = widths[longest] - 1, over - 1
        return widths

    def _stacked(self, width: int) -> Iterable[Table | Text]:
        """Continue the table below, with the texts repeated, for the numbers that do not fit beside them."""
        keys, rest = list(range(self.texts)), list(range(self.texts, len(self.columns)))
        while rest:
            count = next((count for count in range(len(rest), 1, -1) if self._fit(keys + rest[:count], width)), 1)
            block, rest = keys + rest[:count], rest[count:]
            widths = self._fit(block, width) or self._shortened(block, width, 1)
            yield self._table(block, widths or [self._least(column) for column in block])
            if rest:
                yield Text("")

    def _as_list(self) -> Iterable[Text | Padding]:
        """List each row: its first cell, then the others with their headers, and the last one by itself."""
        for name, *others, last in self.rows:
            named = zip(self.columns[1:], others, strict=False)
            yield Text(name)
            for text in ("; ".join(f"{column}: {cell}" for column, cell in named if cell), last):
                if text:
                    yield Padding(Text(text), (0, 0, 0, 4), expand=False)

    def _table(self, columns: Sequence[int], widths: Sequence[int]) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for column, width in zip(columns, widths, strict=True):
            side = "left" if column < self.texts else "right"
            table.add_column(Text(self.columns[column]), justify=side, width=width, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            cells = (
                row[column] if self.columns[column] in self.wrapped else shorten_middle(row[column], width)
                for column, width in zip(columns, widths, strict=True)
            )
            table.add_row(*map(Text, cells))
        return table


def shorten_middle(text: str, width: int) -> str:
    """Shorten a text to a width in terminal columns, with … in place of its middle."""
    if cell_len(text) <= width:
        return text
    head, tail = "", ""
    rest = list(text)
    while rest:
        letter = rest.pop(0) if len(head) <= len(tail) else rest.pop()
        if cell_len(head) + cell_len(tail) + cell_len(letter) > width - 1:
            break
        head, tail = (head + letter, tail) if len(head) <= len(tail) else (head, letter + tail)
    return f"{head}…{tail}"
