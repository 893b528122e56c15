"""The figures of the metric ``fraud``: whether probabilities are what they say, and what recall costs in precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Predictions, TaskgraftError
from taskgraft_fraud.fraud_metric import outcomes
from taskgraft_fraud.metric_settings import FraudMetricConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 10
"""Of the reliability diagram, at most, with about as many rows in each."""

FINE = 50
"""Edges of the bars below it."""

RARE = 0.01
"""Probabilities below this need logarithmic axes to be told apart."""

DOTS_PER_INCH = 150

BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#8a8a8a"


def draw(predictions: Predictions, truth: Sequence[Any], settings: FraudMetricConfig, folder: Path) -> Sequence[Path]:
    """Draw ``reliability.png`` and ``precision_recall.png``.

    Raises:
        NoMatplotlib: where that is not installed.
        NothingToPlot: for predictions without probabilities, or rows that are not of both classes.
    """
    if find_spec("matplotlib") is None:
        raise NoMatplotlib()
    found = outcomes(predictions, truth, settings.positive)
    if found.scores is None or found.fraud.all() or not found.fraud.any():
        raise NothingToPlot(
            "the predictions have no probabilities" if found.scores is None else "all rows are of one class"
        )
    figures = {
        "reliability.png": _reliability(found.scores, found.fraud),
        "precision_recall.png": _precision_recall(found.scores, found.fraud, found.alert),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=DOTS_PER_INCH)
    return [folder / name for name in figures]


def _reliability(scores: NDArray[np.float64], fraud: NDArray[np.bool_]) -> "Figure":
    """Draw for bins of rows by their probability how many are fraud; below, how many rows have which probability.

    Where probabilities below one in a hundred matter, the axes are logarithmic, and a bin without fraud lies on the lower edge.
    """
    bins = _bins(scores)
    counts = np.bincount(bins)
    said, true = (np.bincount(bins, weights) / counts for weights in (scores, fraud))
    low, high = _interval(true, counts)
    logarithmic = said.min() < RARE
    edge = 10 ** np.floor(np.log10(max(min(said.min(), true[true > 0].min()) / 2, 1e-7))) if logarithmic else 0.0
    figure = _figure(6.4, 6.8)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([edge, 1], [edge, 1], color=GREY, linestyle="--", linewidth=1, label="probabilities that are right")
    axes.errorbar(
        np.maximum(said, edge),
        np.maximum(true, edge),
        yerr=[np.maximum(true, edge) - np.maximum(low, edge), high - np.maximum(true, edge)],
        color=BLUE,
        marker="o",
        capsize=3,
        linewidth=1.5,
        elinewidth=1,
        label=f"{len(counts)} bins of {_span(counts)} rows, with 95 % intervals{_below(true) if logarithmic else ''}",
    )
    axes.set(ylim=(edge, 1.0), ylabel="share of fraud in the bin", title="Reliability of the probability of fraud")
    axes.legend(loc="upper left", frameon=False)
    reach = np.geomspace(edge, 1, FINE) if logarithmic else np.linspace(0, 1, FINE)
    below.hist(np.clip(scores, edge, 1), reach, color=BLUE, alpha=0.6)
    below.set(
        xlim=(edge, 1.0), xlabel="predicted probability of fraud (of a bin: the mean)", ylabel="rows", yscale="log"
    )
    below.set_ylim(bottom=0.5)
    if logarithmic:
        axes.set(xscale="log", yscale="log")
    for one in (axes, below):
        _plain(one)
    return figure


def _interval(
    shares: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate from where to where shares may be, at 95 % (Wilson, 1927, Probable inference, the law of succession)."""
    square = 1.96**2 / counts
    middle = (shares + square / 2) / (1 + square)
    half = np.sqrt(square * (shares * (1 - shares) + square / 4)) / (1 + square)
    return np.minimum(middle - half, shares).clip(0), np.maximum(middle + half, shares)


def _below(true: NDArray[np.float64]) -> str:
    return "" if true.all() else f"\n({(true == 0).sum()} of them, without fraud, on the lower edge)"


def _span(counts: NDArray[np.int64]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _precision_recall(scores: NDArray[np.float64], fraud: NDArray[np.bool_], alert: NDArray[np.bool_]) -> "Figure":
    """Draw what precision there is at each recall, and where the alerts lie."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # rows of equal score pass together
    right = np.cumsum(fraud[order])[ends]
    recall, precision = right / right[-1], right / (ends + 1)
    average = float(np.sum(np.diff(np.append(0, recall)) * precision))
    figure = _figure(6.4, 5.2)
    axes = figure.subplots()
    axes.step(
        np.append(0, recall),
        np.append(precision[0], precision),
        where="pre",
        color=BLUE,
        linewidth=1.5,
        label=f"by probability (average precision {average:.3f})",
    )
    axes.axhline(fraud.mean(), color=GREY, linestyle="--", linewidth=1, label=f"by chance ({fraud.mean():.3g})")
    if alert.any():
        caught = (fraud & alert).sum()
        at = caught / fraud.sum(), caught / alert.sum()
        axes.plot(
            *at,
            color=ORANGE,
            marker="D",
            linestyle="none",
            label=f"the alerts ({alert.sum():,} of {len(alert):,} rows)",
        )
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, 1.05),
        title=f"Precision and recall, {fraud.sum():,} frauds in {len(fraud):,} rows",
        xlabel="recall: share of the frauds that is found",
        ylabel="precision: share of what is found that is fraud",
    )
    figure.legend(loc="outside lower center", frameon=False, ncols=1)
    _plain(axes)
    return figure


def _bins(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Put rows into bins by their scores, about as many in each; rows of equal score are in one."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, scores, "left"), return_inverse=True)[1].astype(np.int64)


def _figure(width: float, height: float) -> "Figure":
    """Make a figure that no window and no other figure knows of. Sizes are in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


@dataclass(eq=False)
class NoMatplotlib(TaskgraftError):
    """Figures without what draws them."""

    def __str__(self) -> str:
        return "Figures need matplotlib, which is not installed: pip install 'taskgraft-fraud[figures]'."


@dataclass(eq=False)
class NothingToPlot(TaskgraftError):
    """Predictions of which no figure can be made."""

    problem: str

    def __str__(self) -> str:
        return f"The metric 'fraud' has nothing to draw: {self.problem}. Judge without figures, or other rows."
