"""Results of a comparison: scores, costs and the Pareto front; as JSON and as a table."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from taskgraft.errors import join_words
from taskgraft.evaluation.tables import NO_VALUE, format_interval, format_number, metric_label
from taskgraft.text_table import TextTable

_STUDENT_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5th percentile of Student's t for 2, 3, … 10 seeds; for more seeds the last is slightly conservative."""

_BEST_MARK = "●"


@dataclass(frozen=True)
class Score:
    """The value of a metric, with the ends of its 95 % interval; None if there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RunResult:
    """The result of one successful run.

    Attributes:
        metrics: all metrics of the evaluated rows.
        seconds: wall-clock time of the fit as if it had run alone, including the time that other runs spent on cached
            features that it reused.
        shared_seconds: how many of those seconds other runs spent.
        peak_memory: the peak memory, in bytes, of its process, or of one that computed cached features that it reused.
        peak_device_memory: the peak, in bytes, of its tensors on the accelerator; None without one.
        trained: the number of trainable parameters, over all stages.
        artifact: the size of the saved model in bytes.
        interrupted: whether it was interrupted and resumed; the peaks are then those of the last process.
        positive: metric → the class that it is about, for metrics of one class.
        chosen: what the validation rows decided, so that their metrics are a little too kind; see :class:`FitReport`.
    """

    metrics: Mapping[str, Score]
    seconds: float
    shared_seconds: float
    peak_memory: int
    peak_device_memory: int | None
    trained: int
    artifact: int
    interrupted: bool
    positive: Mapping[str, Any] = field(default_factory=dict)
    chosen: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A strategy on a backbone.

    Attributes:
        results: by seed.
        problem: why it could not run, or not with every seed; None if all runs succeeded.
    """

    backbone: str
    strategy: str
    results: Mapping[int, RunResult]
    problem: str | None = None

    @cached_property
    def summary(self) -> RunResult | None:
        """The results of all seeds as one: mean scores and seconds, highest peaks and sizes. None if every run failed."""
        if not self.results:
            return None
        first, *others = results = list(self.results.values())
        names = [name for name in first.metrics if all(name in other.metrics for other in others)]
        return RunResult(
            metrics={name: _mean_score([result.metrics[name] for result in results]) for name in names},
            seconds=statistics.fmean(result.seconds for result in results),
            shared_seconds=statistics.fmean(result.shared_seconds for result in results),
            peak_memory=max(result.peak_memory for result in results),
            peak_device_memory=max(result.peak_device_memory or 0 for result in results) or None,
            trained=first.trained,
            artifact=max(result.artifact for result in results),
            interrupted=any(result.interrupted for result in results),
            positive=first.positive,
            chosen=first.chosen,
        )


def _mean_score(scores: Sequence[Score]) -> Score:
    """Average over seeds.

    The interval combines two independent sources of error, by the root of the sum of their squares: which rows were sampled
    (the mean distance to the ends of the intervals of the runs, which share their rows), and which seeds (Student's t).
    """
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores]
    mean = statistics.fmean(values)
    lows = [score.value - score.low for score in scores if score.low is not None]
    highs = [score.high - score.value for score in scores if score.high is not None]
    if len(lows) < len(scores) or len(highs) < len(scores):
        return Score(mean)
    student = _STUDENT_T_975[min(len(values) - 2, len(_STUDENT_T_975) - 1)]
    seed_error = student * statistics.stdev(values) / math.sqrt(len(values))
    low, high = (math.hypot(statistics.fmean(row_errors), seed_error) for row_errors in (lows, highs))
    return Score(mean, mean - low, mean + high)


@dataclass(frozen=True)
class Comparison:
    """Candidates, fitted on the same rows with the same seeds.

    Attributes:
        metric: the metric to compare by.
        evaluated: which rows were evaluated: "validation rows" or "test rows".
        rows: how many.
        seeds: of every candidate.
        candidates: in the order in which they were named.
        figure: the file that plots score against seconds; None if it was not drawn.
    """

    metric: str
    lower_is_better: bool
    evaluated: str
    rows: int
    seeds: Sequence[int]
    candidates: Sequence[Candidate]
    figure: str | None = None

    @cached_property
    def positive(self) -> Any:
        """The class that the metric is about; None if it is about all."""
        summaries = (one.summary for one in self.candidates if one.summary is not None)
        return next((summary.positive[self.metric] for summary in summaries if self.metric in summary.positive), None)

    @property
    def metric_label(self) -> str:
        """The metric, with the class that it is about."""
        return metric_label(self.metric, {} if self.positive is None else {self.metric: self.positive})

    @cached_property
    def points(self) -> list[tuple[Candidate, float, Score]]:
        """Candidate, seconds and score where all runs succeeded and have the metric."""
        return [
            (one, one.summary.seconds, one.summary.metrics[self.metric])
            for one in self.candidates
            if one.problem is None and one.summary is not None and self.metric in one.summary.metrics
        ]

    @cached_property
    def best(self) -> list[Candidate]:
        """The Pareto front: no other has as good a score in less time, or a better one in the same time. Fastest first."""
        sign = 1 if self.lower_is_better else -1
        best: list[tuple[float, float, Candidate]] = []
        points = [(seconds, sign * score.value, one) for one, seconds, score in self.points]
        for seconds, loss, one in sorted(points, key=lambda point: point[:2]):
            if not best or loss < best[-1][1] or (seconds, loss) == best[-1][:2]:
                best.append((seconds, loss, one))
        return [one for *_, one in best]

    @property
    def failed(self) -> list[str]:
        """The labels of candidates that could not run, or not with every seed."""
        return [self.label(one) for one in self.candidates if one.problem is not None]

    def label(self, candidate: Candidate) -> str:
        """Name a candidate, with its backbone if there are several."""
        several = len({one.backbone for one in self.candidates}) > 1
        return f"{candidate.strategy} on {candidate.backbone}" if several else candidate.strategy

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON: bytes, seconds, and None for unknown values."""
        return {
            "metric": self.metric,
            "positive": self.positive,
            "better": "lower" if self.lower_is_better else "higher",
            "judged": self.evaluated,
            "rows": self.rows,
            "seeds": list(self.seeds),
            "contenders": [self._candidate_json(one) for one in self.candidates],
            "failed": self.failed,
            "figure": self.figure,
        }

    def __rich__(self) -> RenderableType:
        """Render scores and costs of each candidate, with notes and problems below."""
        several = len({one.backbone for one in self.candidates}) > 1
        device = any(one.summary is not None and one.summary.peak_device_memory for one in self.candidates)
        texts = ["", *(["backbone"] if several else []), "strategy"]
        numbers = [self.metric_label, "95 % interval", "seconds", "peak memory", *(["on the device"] if device else [])]
        numbers += ["trainable parameters", "artifact"]
        rows = []
        for one in self.candidates:
            names = [_BEST_MARK if one in self.best else "", *([one.backbone] if several else []), one.strategy]
            cells = _cells(one.summary, self.metric, device=device) if one.summary else [NO_VALUE] * len(numbers)
            rows.append([*names, *cells])
        problems = [f"\n{self.label(one)}: {one.problem}" for one in self.candidates if one.problem is not None]
        return Group(TextTable([*texts, *numbers], rows, len(texts)), *map(Text, [_notes(self), *problems]))

    def _candidate_json(self, one: Candidate) -> dict[str, Any]:
        document: dict[str, Any] = {"backbone": one.backbone, "strategy": one.strategy, "problem": one.problem}
        if one.summary is None:
            return document
        costs = asdict(one.summary)
        del costs["interrupted"]
        return document | {
            "best_trade_off": one in self.best,
            "score": costs.pop("metrics").get(self.metric),
            **costs,
            "trials": {str(seed): asdict(result) for seed, result in one.results.items()},
        }


def _cells(summary: RunResult, metric: str, *, device: bool) -> list[str]:
    score = summary.metrics.get(metric)
    scores = [format_number(score.value), format_interval(score.low, score.high)] if score else [NO_VALUE, NO_VALUE]
    memory = [_megabytes(summary.peak_memory), *([_megabytes(summary.peak_device_memory)] if device else [])]
    size = _megabytes(summary.artifact) if summary.artifact >= 1e7 else f"{summary.artifact / 1e3:,.0f} KB"
    return [*scores, f"{summary.seconds:,.1f}", *memory, f"{summary.trained:,}", size]


def _notes(comparison: Comparison) -> str:
    notes = f"{comparison.rows:,} {comparison.evaluated}"
    if len(comparison.seeds) > 1:
        notes += f"; means of {len(comparison.seeds)} seeds, intervals over rows and seeds; peaks are the highest"
    notes += f". {_BEST_MARK} No other is better in the same time"
    notes += f" ({comparison.metric_label}: lower is better)." if comparison.lower_is_better else "."
    ran = [one for one in comparison.candidates if one.results]
    if any(result.shared_seconds for one in ran for result in one.results.values()):
        notes += "\nFrozen features were computed once and shared; their time counts in every run that used them."
    chosen = [
        (comparison.label(one), one.summary.chosen) for one in ran if one.summary is not None and one.summary.chosen
    ]
    if chosen and comparison.evaluated == "validation rows":
        found = join_words(f"{label} ({', '.join(names)})" for label, names in chosen)
        notes += f"\nThe validation rows also chose settings of {found}: expect a little less there on new rows."
    if resumed := [comparison.label(one) for one in ran if one.summary is not None and one.summary.interrupted]:
        notes += f"\nInterrupted and resumed, with the peak memory of the last process: {', '.join(resumed)}."
    return notes


def _megabytes(size: int | None) -> str:
    return NO_VALUE if size is None else f"{size / 1e6:,.0f} MB"
