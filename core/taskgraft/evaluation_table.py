"""An evaluation as a person reads it: tables in a terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgraft.error import listed
from taskgraft.heads.labels import text_of

if TYPE_CHECKING:
    from taskgraft.evaluation import Evaluation
    from taskgraft.metrics.per_class import Confusion

MOST_CLASSES = 20
"""Of more classes no table is shown; :meth:`Evaluation.to_json` has them."""

NOTHING = "–"
"""Stands where there is no number."""


def drawn(evaluation: "Evaluation") -> RenderableType:
    """Draw the numbers, and of a few classes how each fares and which is taken for which."""
    pieces: list[RenderableType] = [_numbers(evaluation), Text(_about(evaluation))]
    if 2 <= len(evaluation.per_class) <= MOST_CLASSES:
        pieces += [Text(""), _classes(evaluation)]
        if evaluation.confusion is not None:
            pieces += [
                Text("\nrows by true class (down) and predicted class (across)"),
                _confusion(evaluation.confusion),
            ]
    if evaluation.figures:
        pieces += [Text(f"\nFigures: {listed(evaluation.figures)}.")]
    return Group(*pieces)


def _numbers(evaluation: "Evaluation") -> Table:
    intervals, rivals = evaluation.intervals, evaluation.baselines
    interval = ["95 % interval"] if intervals else []
    rows = []
    for name, value in evaluation.items():
        between = [_between(intervals.get(name))] if intervals else []
        rows.append([name, number_text(value), *between, *(number_text(rival.get(name)) for rival in rivals.values())])
    return _table(["metric", "value", *interval, *rivals], rows)


def _about(evaluation: "Evaluation") -> str:
    said = f"{evaluation.rows:,} rows"
    if evaluation.intervals:
        drawn_together = f" of whole groups by '{evaluation.groups}'" if evaluation.groups is not None else ""
        said += f"; intervals from {evaluation.resamples:,} resamples{drawn_together}"
    return f"{said}."


def _classes(evaluation: "Evaluation") -> Table:
    names = ("precision", "recall", "f1")
    rows = [
        [label, *(number_text(numbers.get(name)) for name in names), f"{numbers['support']:,}"]
        for label, numbers in evaluation.per_class.items()
    ]
    return _table(["class", *names, "support"], rows)


def _confusion(confusion: "Confusion") -> Table:
    labels = [text_of(label) for label in confusion.classes]
    rows = [
        [label, *(f"{count:,}" for count in counts)] for label, counts in zip(labels, confusion.counts, strict=True)
    ]
    return _table(["", *labels], rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table whose cells are shown as they are; the first column is text, the others are numbers."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, column in enumerate(columns):
        made.add_column(Text(column), justify="right" if place else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def _between(ends: tuple[float, float] | None) -> str:
    return NOTHING if ends is None else f"{number_text(ends[0])} to {number_text(ends[1])}"


def number_text(value: float | None) -> str:
    """Write four decimals, or four digits of what is too small or too large for that."""
    if value is None:
        return NOTHING
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"
