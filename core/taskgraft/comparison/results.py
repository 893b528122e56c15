"""What a comparison found: how good each way is, what it costs, and which are worth their cost."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgraft.evaluation.evaluation import NOTHING, number_text

STUDENT_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5th percentile of Student's t for 2, 3, … 10 seeds; for more, the last is a little too wide, never too narrow."""


@dataclass(frozen=True)
class Score:
    """A number, and from where to where it may be, at 95 %; no ends where that is not known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RunResult:
    """One run that ended well.

    Attributes:
        metrics: all numbers of the judged rows.
        seconds: wall-clock of the fit, as if it had run alone: what it read of other runs is counted as they computed it.
        shared_seconds: how many of those seconds other runs spent for it.
        peak_memory: bytes of main memory that its process held at most, or one that computed what it read.
        peak_device_memory: bytes that its tensors took on the accelerator at most; None without one.
        trained: how many numbers learned, each counted once.
        artifact: bytes of the saved model.
        interrupted: whether it was interrupted and went on; the peaks are then of the process that ended it.
    """

    metrics: Mapping[str, Score]
    seconds: float
    shared_seconds: float
    peak_memory: int
    peak_device_memory: int | None
    trained: int
    artifact: int
    interrupted: bool

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what :func:`dataclasses.asdict` made of one."""
        return cls(**{**found, "metrics": {name: Score(**score) for name, score in found["metrics"].items()}})


@dataclass(frozen=True)
class Candidate:
    """One way of adapting one backbone.

    Attributes:
        trials: by their seeds.
        problem: why it could not run, or not by each seed; None when all went well.
    """

    backbone: str
    strategy: str
    trials: Mapping[int, RunResult]
    problem: str | None = None

    def score(self, metric: str) -> Score | None:
        """Give the mean over the seeds; None where a trial does not have the number.

        The interval holds two doubts, added as independent ones are, by their squares: which rows were drawn (the mean distance
        to the ends of the intervals of the trials, which are judged on the same rows), and which seeds (Student's t).
        """
        found = [trial.metrics.get(metric) for trial in self.trials.values()]
        scores = [score for score in found if score is not None]
        if not scores or len(scores) < len(found):
            return None
        if len(scores) == 1:
            return scores[0]
        values = [score.value for score in scores]
        mean = statistics.fmean(values)
        lows = [score.value - score.low for score in scores if score.low is not None]
        highs = [score.high - score.value for score in scores if score.high is not None]
        if len(lows) < len(scores) or len(highs) < len(scores):
            return Score(mean)
        student = STUDENT_T_975[min(len(values) - 2, len(STUDENT_T_975) - 1)]
        seeds = student * statistics.stdev(values) / math.sqrt(len(values))
        low, high = (math.hypot(statistics.fmean(some), seeds) for some in (lows, highs))
        return Score(mean, mean - low, mean + high)

    @property
    def seconds(self) -> float:
        """The mean over the seeds, as of :class:`RunResult`."""
        return statistics.fmean(trial.seconds for trial in self.trials.values())

    @property
    def shared_seconds(self) -> float:
        """The mean over the seeds, as of :class:`RunResult`."""
        return statistics.fmean(trial.shared_seconds for trial in self.trials.values())

    @property
    def peak_memory(self) -> int:
        """The highest of the seeds, as of :class:`RunResult`."""
        return max(trial.peak_memory for trial in self.trials.values())

    @property
    def peak_device_memory(self) -> int | None:
        """The highest of the seeds, as of :class:`RunResult`."""
        return max(trial.peak_device_memory or 0 for trial in self.trials.values()) or None

    @property
    def trained(self) -> int:
        """The same for all seeds."""
        return next(iter(self.trials.values())).trained

    @property
    def artifact(self) -> int:
        """The largest of the seeds, as of :class:`RunResult`."""
        return max(trial.artifact for trial in self.trials.values())


@dataclass(frozen=True)
class Comparison:
    """Ways of adapting, on the same rows with the same seeds.

    Attributes:
        metric: the number that they are compared by.
        lower: whether it is better when it is lower.
        judged: what the rows are called that they were judged on ("validation rows").
        rows: how many those are.
        seeds: of every contender.
        contenders: in the order in which they were named.
        figure: the file that shows score against seconds; None when it could not be drawn.
    """

    metric: str
    lower: bool
    judged: str
    rows: int
    seeds: Sequence[int]
    contenders: Sequence[Candidate]
    figure: str | None = None

    @cached_property
    def best(self) -> tuple[Candidate, ...]:
        """The best trade-offs: no other scores as well in fewer seconds, or better in as many. Fastest first."""
        ran = [(one.seconds, self._loss(one), one) for one in self.contenders if self.ran(one)]
        ran.sort(key=lambda entry: entry[:2])
        found: list[tuple[float, float, Candidate]] = []
        for seconds, loss, one in ran:
            if not found or loss < found[-1][1] or (seconds, loss) == found[-1][:2]:
                found.append((seconds, loss, one))
        return tuple(one for *_, one in found)

    def ran(self, contender: Candidate) -> bool:
        """Say whether a contender can be compared: all its runs ended well, and have the number."""
        return contender.problem is None and contender.score(self.metric) is not None

    def to_json(self) -> dict[str, Any]:
        """Give everything as plain JSON: bytes, seconds, and None for what is not known."""
        return {
            "metric": self.metric,
            "better": "lower" if self.lower else "higher",
            "judged": self.judged,
            "rows": self.rows,
            "seeds": list(self.seeds),
            "contenders": [self._plain(one) for one in self.contenders],
            "figure": self.figure,
        }

    def __rich__(self) -> "RenderableType":
        return render_comparison(self)

    def _loss(self, contender: Candidate) -> float:
        score = contender.score(self.metric)
        assert score is not None
        return score.value if self.lower else -score.value

    def _plain(self, one: Candidate) -> dict[str, Any]:
        said: dict[str, Any] = {"backbone": one.backbone, "strategy": one.strategy, "problem": one.problem}
        if not one.trials:
            return said
        score = one.score(self.metric)
        return said | {
            "best_trade_off": one in self.best,
            "score": None if score is None else asdict(score),
            "seconds": one.seconds,
            "shared_seconds": one.shared_seconds,
            "peak_memory": one.peak_memory,
            "peak_device_memory": one.peak_device_memory,
            "trained": one.trained,
            "artifact": one.artifact,
            "trials": {str(seed): asdict(trial) for seed, trial in one.trials.items()},
        }


# --- as a person reads it


MARK = "●"
"""Stands before the best trade-offs."""


def render_comparison(comparison: "Comparison") -> RenderableType:
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
    said = [
        f"{candidate_label(comparison, one)}: {one.problem}" for one in comparison.contenders if one.problem is not None
    ]
    return Group(table, Text(_about(comparison)), *(Text(f"\n{sentence}") for sentence in said))


def candidate_label(comparison: "Comparison", one: "Candidate") -> str:
    """Name a contender, with its backbone where there are several."""
    several = len({other.backbone for other in comparison.contenders}) > 1
    return f"{one.strategy} on {one.backbone}" if several else one.strategy


def _numbers(comparison: "Comparison", one: "Candidate", *, device: bool) -> list[str]:
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
    if gone := [
        candidate_label(comparison, one) for one in ran if any(trial.interrupted for trial in one.trials.values())
    ]:
        said += f"\nInterrupted once, with the peak memory of what came after: {', '.join(gone)}."
    return said


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _size(size: int) -> str:
    return _megabytes(size) if size >= 1e7 else f"{size / 1e3:,.0f} KB"
