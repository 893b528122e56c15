"""The figure of a comparison: score against seconds, with the Pareto front marked."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from taskgraft.comparison.results import Candidate, Comparison, Score
from taskgraft.figures import figure_settings, figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_RATIO = 4.0
"""Ratio of the largest to the smallest time above which the time axis is logarithmic."""

_BLUE, _GREY = "#1f5fa8", "#8a8a8a"


def draw(comparison: Comparison, path: Path) -> None:
    """Plot each candidate that ran, with its interval, into a PNG file; the Pareto front is filled and joined by steps."""
    with figure_settings():
        _draw(comparison, path)


def _draw(comparison: Comparison, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    seconds = [seconds for _, seconds, _ in comparison.points]
    middle = math.sqrt(min(seconds) * max(seconds))
    for point in comparison.points:
        _draw_point(axes, comparison, *point, label_left=point[1] > middle)
    best = sorted((seconds, score.value) for one, seconds, score in comparison.points if one in comparison.best)
    axes.step(*zip(*best, strict=True), where="post", color=_BLUE, linewidth=1, label="best trade-offs", zorder=1)
    if max(seconds) > _LOG_RATIO * min(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.margins(0.15)
    metric, better = figure_text(comparison.metric_label), "lower" if comparison.lower_is_better else "higher"
    axes.set(
        xlabel="seconds of the fit",
        ylabel=f"{metric} ({better} is better), with 95 % intervals",
        title=f"{metric} and its cost, {comparison.rows:,} {comparison.evaluated}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=150, format="png")


def _draw_point(
    axes: "Axes", comparison: Comparison, one: Candidate, seconds: float, score: Score, *, label_left: bool
) -> None:
    """Plot one candidate, with its label to the left or the right of it."""
    best = one in comparison.best
    color = _BLUE if best else _GREY
    interval = None
    if score.low is not None and score.high is not None:
        interval = [[max(score.value - score.low, 0.0)], [max(score.high - score.value, 0.0)]]
    style = {"marker": "o", "markerfacecolor": color if best else "white", "capsize": 2, "elinewidth": 0.8}
    axes.errorbar([seconds], [score.value], yerr=interval, color=color, zorder=2, **style)  # type: ignore[arg-type]
    point, offset, side = (seconds, score.value), (-5 if label_left else 5, 5), "right" if label_left else "left"
    axes.annotate(
        figure_text(comparison.label(one)), point, offset, textcoords="offset points", ha=side, color=color, fontsize=8
    )
