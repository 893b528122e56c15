"""A comparison as a person reads it: a table in a terminal."""

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgraft.evaluation_table import NOTHING, number_text

if TYPE_CHECKING:
    from taskgraft.comparison import Comparison, Contender

MARK = "●"
"""Stands before the best trade-offs."""


def drawn(comparison: "Comparison") -> RenderableType:
    """Draw what each contender reaches and costs, and below what is to be known of the numbers."""
    several = len({one.backbone for one in comparison.contenders}) > 1
    device = any(one.trials and one.peak_device_memory for one in comparison.contenders)
    names = ["", *(["backbone"] if several else []), "strategy", comparison.metric, "95 % interval", "seconds"]
    names += ["peak memory", *(["on the device"] if device else []), "trained numbers", "artifact"]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(
            Text(name), justify="left" if name in ("", "backbone", "strategy") else "right", overflow="fold"
        )
    for one in comparison.contenders:
        named = [one.backbone, one.strategy] if several else [one.strategy]
        mark = MARK if one in comparison.best else ""
        numbers = _numbers(comparison, one, device=device) if one.trials else [NOTHING] * (len(names) - len(named) - 1)
        table.add_row(*(Text(cell) for cell in (mark, *named, *numbers)))
    said = [f"{called(comparison, one)}: {one.problem}" for one in comparison.contenders if one.problem is not None]
    return Group(table, Text(_about(comparison)), *(Text(f"\n{sentence}") for sentence in said))


def called(comparison: "Comparison", one: "Contender") -> str:
    """Name a contender, with its backbone where there are several."""
    several = len({other.backbone for other in comparison.contenders}) > 1
    return f"{one.strategy} on {one.backbone}" if several else one.strategy


def _numbers(comparison: "Comparison", one: "Contender", *, device: bool) -> list[str]:
    score = one.score(comparison.metric)
    value, between = NOTHING, NOTHING
    if score is not None:
        value = number_text(score.value)
        if score.low is not None and score.high is not None:
            between = f"{number_text(score.low)} to {number_text(score.high)}"
    on_device = [NOTHING if one.peak_device_memory is None else _megabytes(one.peak_device_memory)] if device else []
    costs = [f"{one.seconds:,.1f}", _megabytes(one.peak_memory), *on_device, f"{one.trained:,}", _size(one.artifact)]
    return [value, between, *costs]


def _about(comparison: "Comparison") -> str:
    count = len(comparison.seeds)
    said = f"{comparison.rows:,} {comparison.judged}"
    if count > 1:
        said += f"; means of {count} seeds, intervals of rows and seeds; peaks are the highest"
    said += f". {MARK} No other is better in as many seconds"
    said += f" ({comparison.metric}: lower is better)." if comparison.lower else "."
    ran = [one for one in comparison.contenders if one.trials]
    if any(one.shared_seconds for one in ran):
        said += "\nWhat stays frozen was computed once; seconds count it for each that used it, as if it ran alone."
    if gone := [called(comparison, one) for one in ran if any(trial.interrupted for trial in one.trials.values())]:
        said += f"\nInterrupted once, with the peak memory of what came after: {', '.join(gone)}."
    return said


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _size(size: int) -> str:
    return _megabytes(size) if size >= 1e7 else f"{size / 1e3:,.0f} KB"
