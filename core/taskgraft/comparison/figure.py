"""A comparison as a picture: score against seconds, with the best trade-offs marked."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from taskgraft.comparison.results import candidate_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from taskgraft.comparison.results import Candidate, Comparison, Score

DOTS_PER_INCH = 150

SPREAD = 4.0
"""How many times the fewest seconds the most must be for a logarithmic axis."""

BLUE, GREY = "#1f5fa8", "#8a8a8a"


def can_draw() -> bool:
    """Say whether what draws is installed."""
    return find_spec("matplotlib") is not None


def draw(comparison: "Comparison", path: Path) -> None:
    """Draw into a PNG file each contender that ran, with its interval; the best trade-offs are filled and joined by steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ran = [
        (one, score) for one in comparison.contenders if comparison.ran(one) and (score := one.score(comparison.metric))
    ]
    seconds = [one.seconds for one, _ in ran]
    middle = math.sqrt(min(seconds) * max(seconds))
    for one, score in ran:
        _point(axes, comparison, one, score, left=one.seconds > middle)
    best = [(one.seconds, score.value) for one in comparison.best if (score := one.score(comparison.metric))]
    axes.step(*zip(*best, strict=True), where="post", color=BLUE, linewidth=1, label="best trade-offs", zorder=1)
    if max(seconds) > SPREAD * min(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.margins(0.15)
    better = "lower" if comparison.lower else "higher"
    axes.set(
        xlabel="seconds of the fit",
        ylabel=f"{comparison.metric} ({better} is better), with 95 % intervals",
        title=f"{comparison.metric} and its cost, {comparison.rows:,} {comparison.judged}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=DOTS_PER_INCH, format="png")


def _point(axes: "Axes", comparison: "Comparison", one: "Candidate", score: "Score", *, left: bool) -> None:
    """Draw one contender, with its name on the left or the right of it."""
    best = one in comparison.best
    colour = BLUE if best else GREY
    ends = None
    if score.low is not None and score.high is not None:
        ends = [[max(score.value - score.low, 0.0)], [max(score.high - score.value, 0.0)]]
    axes.errorbar(
        [one.seconds],
        [score.value],
        yerr=ends,
        color=colour,
        marker="o",
        markerfacecolor=colour if best else "white",
        capsize=2,
        elinewidth=0.8,
        zorder=2,
    )
    axes.annotate(
        candidate_label(comparison, one),
        (one.seconds, score.value),
        (-5 if left else 5, 5),
        textcoords="offset points",
        horizontalalignment="right" if left else "left",
        color=colour,
        fontsize=8,
    )
