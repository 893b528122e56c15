"""How an evaluation is printed: tables of metrics, of classes and of confusions, in the width of the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from taskgraft.evaluation.per_class import Confusion
from taskgraft.labels import label_key
from taskgraft.text_table import TextTable

MOST_CLASSES, WORST = 20, 10
"""With more classes than the first, so many of the worst classes and of the largest confusions are printed."""

NO_VALUE = "–"
"""Printed where a metric is undefined."""

_Values = Mapping[str, float]
_PerClass = Mapping[str, Mapping[str, float]]


def metric_label(name: str, positive: Mapping[str, Any]) -> str:
    """Name a metric with the class that it is about: ``average_precision (fraud)``.

    Args:
        positive: metric → its positive class, for metrics that have one.
    """
    return f"{name} ({label_key(positive[name])})" if name in positive else name


def format_number(value: float | None) -> str:
    """Format with four decimals, or with four digits where that is too large or too small."""
    if value is None:
        return NO_VALUE
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def format_interval(low: float | None, high: float | None) -> str:
    """Format the ends of an interval; None if there is none."""
    return NO_VALUE if low is None or high is None else f"{format_number(low)} to {format_number(high)}"


def metrics_table(
    values: _Values,
    intervals: Mapping[str, tuple[float, float]],
    baselines: Mapping[str, _Values],
    positive: Mapping[str, Any],
) -> TextTable:
    """Show metrics with their intervals, and those of baselines on the same rows."""
    rows = []
    for name, value in values.items():
        interval = [format_interval(*intervals.get(name, (None, None)))] if intervals else []
        others = [format_number(baseline.get(name)) for baseline in baselines.values()]
        rows.append([metric_label(name, positive), format_number(value), *interval, *others])
    return TextTable(["metric", "value", *(["95 % interval"] if intervals else []), *baselines], rows)


def class_tables(per_class: _PerClass, confusion: Confusion | None) -> Iterator[RenderableType]:
    """Show the scores of each class and the confusions; of many classes the worst."""
    if len(per_class) < 2:
        return
    yield Text("")
    if len(per_class) <= MOST_CLASSES:
        yield _class_table(per_class)
    else:
        worst = _worst_classes(per_class)
        yield Text(f"the {len(worst)} of {len(per_class):,} classes with the lowest F1")
        yield _class_table({label: per_class[label] for label in worst})
    if confusion is not None:
        yield ConfusionTable(confusion)


@dataclass(frozen=True)
class ConfusionTable:
    """The confusion matrix where it fits and there are not many classes, otherwise its largest confusions."""

    matrix: Confusion

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        labels = [label_key(label) for label in self.matrix.classes]
        counts = zip(labels, self.matrix.counts, strict=True)
        table = TextTable(["", *labels], [[label, *(f"{count:,}" for count in row)] for label, row in counts])
        if len(labels) <= MOST_CLASSES and table.fits(options.max_width):
            yield Text("\nrows by true class (down) and predicted class (across)")
            yield table
            return
        largest, confused = _largest_confusions(self.matrix)
        if not largest:
            yield Text("\nno class is confused with another")
            return
        some = f"the {len(largest)} largest of {confused:,}" if confused > len(largest) else f"{confused:,}"
        yield Text(f"\n{some} confusion{'s' if confused > 1 else ''}, with the share of the true class")
        rows = [
            [labels[true], labels[other], f"{count:,}", f"{100 * share:.1f} %"] for true, other, count, share in largest
        ]
        columns = ["true class", "predicted class", "rows", "share"]
        yield TextTable(columns, rows, texts=2, shorten=True)


def _class_table(per_class: _PerClass) -> TextTable:
    names = ("precision", "recall", "f1")
    rows = [
        [label, *(format_number(values.get(name)) for name in names), f"{values['support']:,}"]
        for label, values in per_class.items()
    ]
    return TextTable(["class", *names, "support"], rows, shorten=True)


def _worst_classes(per_class: _PerClass) -> list[str]:
    """Find the classes of lowest F1 among those that any row has; of equal ones those with more rows."""
    present = [label for label, values in per_class.items() if values["support"]]
    return sorted(present, key=lambda label: (per_class[label]["f1"], -per_class[label]["support"]))[:WORST]


def _largest_confusions(matrix: Confusion) -> tuple[list[tuple[int, int, int, float]], int]:
    """Find the pairs of a true and another predicted class with the most rows, and the number of all such pairs.

    Returns:
        for each the two indices, the rows, and their share of the rows of the true class; of equal ones the largest share
        comes first.
    """
    pairs = [
        (true, other, count, count / total)
        for true, (row, total) in enumerate(zip(matrix.counts, map(sum, matrix.counts), strict=True))
        for other, count in enumerate(row)
        if count and other != true
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], -pair[3]))[:WORST], len(pairs)
