"""The figures of the metric ``fraud``: a reliability diagram and a precision-recall curve."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Predictions, figure_settings, figure_text, label_key
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.fraud_metric import to_outcomes
from taskgraft_fraud.metric_settings import FraudMetricConfig
from taskgraft_fraud.positive_label import metric_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 10
"""Maximum bins of the reliability diagram, with about as many rows in each."""

HISTOGRAM_EDGES = 50
"""Bin edges of the histogram below it."""

RARE_PROBABILITY = 0.01
"""Probabilities below this are plotted on logarithmic axes."""

DOTS_PER_INCH = 150

BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#8a8a8a"


def draw(predictions: Predictions, truth: Sequence[Any], settings: FraudMetricConfig, folder: Path) -> Sequence[Path]:
    """Draw ``reliability.png`` and ``precision_recall.png``.

    Raises:
        FraudError: if matplotlib is not installed, the predictions have no probabilities, or the rows are of one class.
    """
    if find_spec("matplotlib") is None:
        raise FraudError("Figures need matplotlib, which is not installed: pip install 'taskgraft-fraud[figures]'.")
    outcomes = to_outcomes(predictions, truth, settings.positive)
    label = figure_text(label_key(predictions.classes[metric_label(predictions, settings.positive)]))
    if outcomes.scores is None or outcomes.fraud.all() or not outcomes.fraud.any():
        problem = "the predictions have no probabilities" if outcomes.scores is None else "all rows are of one class"
        raise FraudError(
            f"The metric 'fraud' cannot draw figures: {problem}. Evaluate without figures, or on other rows."
        )
    with figure_settings():
        figures = {
            "reliability.png": _reliability(outcomes.scores, outcomes.fraud, label),
            "precision_recall.png": _precision_recall(outcomes.scores, outcomes.fraud, outcomes.alert, label),
        }
        for name, figure in figures.items():
            figure.savefig(folder / name, dpi=DOTS_PER_INCH)
    return [folder / name for name in figures]


def _reliability(scores: NDArray[np.float64], fraud: NDArray[np.bool_], label: str) -> "Figure":
    """Plot the share of fraud against the mean probability of each bin; below, a histogram of the probabilities.

    With mean probabilities below 0.01, axes are logarithmic, and bins without fraud are at the lower edge.
    """
    bins = _bins(scores)
    counts = np.bincount(bins)
    predicted, observed = (np.bincount(bins, weights) / counts for weights in (scores, fraud))
    low, high = _wilson_interval(observed, counts)
    logarithmic, edge, note = predicted.min() < RARE_PROBABILITY, 0.0, ""
    if logarithmic:
        lowest = min(predicted.min(), observed[observed > 0].min())
        edge, note = 10 ** np.floor(np.log10(max(lowest / 2, 1e-7))), _zero_bins_note(observed)
    figure = _figure(6.4, 6.8)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([edge, 1], [edge, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    axes.errorbar(
        np.maximum(predicted, edge),
        np.maximum(observed, edge),
        yerr=[np.maximum(observed, edge) - np.maximum(low, edge), high - np.maximum(observed, edge)],
        color=BLUE,
        marker="o",
        capsize=3,
        linewidth=1.5,
        elinewidth=1,
        label=f"{len(counts)} bins of {_count_range(counts)} rows, with 95 % intervals{note}",
    )
    axes.set(
        ylim=(edge, 1.0), ylabel=f"share of '{label}' in the bin", title=f"Reliability of the probability of '{label}'"
    )
    axes.legend(loc="upper left", frameon=False)
    edges = np.geomspace(edge, 1, HISTOGRAM_EDGES) if logarithmic else np.linspace(0, 1, HISTOGRAM_EDGES)
    below.hist(np.clip(scores, edge, 1), edges, color=BLUE, alpha=0.6)
    below.set(
        xlim=(edge, 1.0), xlabel=f"predicted probability of '{label}' (mean of each bin)", ylabel="rows", yscale="log"
    )
    below.set_ylim(bottom=0.5)
    if logarithmic:
        axes.set(xscale="log", yscale="log")
    for panel in (axes, below):
        _style_axes(panel)
    return figure


def _wilson_interval(
    shares: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute 95 % intervals of shares (Wilson, 1927, Probable inference, the law of succession)."""
    square = 1.96**2 / counts
    middle = (shares + square / 2) / (1 + square)
    half = np.sqrt(square * (shares * (1 - shares) + square / 4)) / (1 + square)
    return np.minimum(middle - half, shares).clip(0), np.maximum(middle + half, shares)


def _zero_bins_note(observed: NDArray[np.float64]) -> str:
    return "" if observed.all() else f"\n({(observed == 0).sum()} of them, without any, at the lower edge)"


def _count_range(counts: NDArray[np.int64]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _precision_recall(
    scores: NDArray[np.float64], fraud: NDArray[np.bool_], alert: NDArray[np.bool_], label: str
) -> "Figure":
    """Plot precision against recall, and the point of the alerts."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # rows of equal score are together
    hits = np.cumsum(fraud[order])[ends]
    recall, precision = hits / hits[-1], hits / (ends + 1)
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
    axes.axhline(fraud.mean(), color=GREY, linestyle="--", linewidth=1, label=f"random ranking ({fraud.mean():.3g})")
    if alert.any():
        caught = (fraud & alert).sum()
        axes.plot(
            caught / fraud.sum(),
            caught / alert.sum(),
            color=ORANGE,
            marker="D",
            linestyle="none",
            label=f"alerts ({alert.sum():,} of {len(alert):,} rows)",
        )
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, 1.05),
        title=f"Precision and recall of '{label}', {fraud.sum():,} of {len(fraud):,} rows",
        xlabel=f"recall: share of '{label}' above the threshold",
        ylabel=f"precision: share of '{label}' above the threshold",
    )
    figure.legend(loc="outside lower center", frameon=False, ncols=1)
    _style_axes(axes)
    return figure


def _bins(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assign rows to bins by score, about as many in each; rows of equal score share a bin."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, scores, "left"), return_inverse=True)[1].astype(np.int64)


def _figure(width: float, height: float) -> "Figure":
    """Make a figure outside pyplot, without global state. Sizes are in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style_axes(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
