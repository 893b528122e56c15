"""Coverage of the 95 % intervals: how often they hold the true value, in simulated evaluations of known truth.

    OMP_NUM_THREADS=1 python tests/benchmarks/intervals.py                  # all kinds of targets, about an hour on one core
    OMP_NUM_THREADS=1 python tests/benchmarks/intervals.py --only classes --draws 100
    OMP_NUM_THREADS=1 python tests/benchmarks/intervals.py --percentile     # also the percentiles of 200 resamples

A cell is a population: its metrics are computed exactly, or on a sample so large that its error does not count. Rows are drawn
from it at random, so classes have random numbers of rows, unless the cell says "fixed". Coverage is over the draws in which the
interval is printed; ``printed`` is their share.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from taskgraft.builtin.metrics.classification import (
    classification_metrics,
    element_classification_metrics,
    multi_label_metrics,
)
from taskgraft.builtin.metrics.masked_elements import masked_element_metrics
from taskgraft.builtin.metrics.regression import regression_metrics
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction
from taskgraft.evaluation.bootstrap import Bootstrap, finite_only
from taskgraft.evaluation.intervals import estimate_intervals

Generator = np.random.Generator
NOMINAL = (0.90, 0.98)


@dataclass
class Sample:
    """Rows drawn from a population: their metric function, their number, and their groups, if they have any."""

    metrics: MetricFunction
    rows: int
    members: Sequence[Any] | None = None


@dataclass
class Cell:
    """A population, and how many rows are drawn from it."""

    name: str
    truth: Mapping[str, float]
    draw: Callable[[Generator], Sample]


@dataclass
class Coverage:
    """What came out for one metric of one cell."""

    held: list[bool] = field(default_factory=list)
    held_by_percentiles: list[bool] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def printed(self) -> float:
        """The share of draws with an interval."""
        return len(self.held) / max(len(self.held) + sum(self.reasons.values()), 1)

    @property
    def share(self) -> float:
        """The share of intervals that hold the true value."""
        return float(np.mean(self.held)) if self.held else math.nan


def simulate(cell: Cell, draws: int, percentile: bool = False, seed: int = 0) -> dict[str, Coverage]:
    """Draw rows again and again, and count how often the intervals hold the truth."""
    found = {name: Coverage() for name in cell.truth}
    for number in range(draws):
        sample = cell.draw(np.random.default_rng((seed, number)))
        values = finite_only(sample.metrics(np.arange(sample.rows)))
        values = {name: value for name, value in values.items() if name in cell.truth}
        how = Bootstrap(200, number, None, sample.members)
        intervals = estimate_intervals(sample.metrics, values, sample.rows, how)
        for name, (low, high) in intervals.ends.items():
            assert low <= values[name] <= high, (cell.name, name)
            found[name].held.append(low <= cell.truth[name] <= high)
        for name, reason in intervals.missing.items():
            found[name].reasons[reason] = found[name].reasons.get(reason, 0) + 1
        if percentile:
            for name, (low, high) in _percentiles(sample, values, how).items():
                found[name].held_by_percentiles.append(low <= cell.truth[name] <= high)
    return found


def _percentiles(sample: Sample, values: Mapping[str, float], how: Bootstrap) -> dict[str, tuple[float, float]]:
    """Compute the percentiles of resamples, as releases before this one did."""
    drawn = [finite_only(sample.metrics(some)) for some in how.resamples(sample.rows)]
    columns = {name: [one[name] for one in drawn if name in one] for name in values}
    ends = {name: np.quantile(c, (0.025, 0.975)) for name, c in columns.items() if 2 * len(c) >= how.count}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


# --- one label per row


def confusion_of(classes: int, skill: float, seed: int = 0) -> np.ndarray:
    """Return the chance of each predicted class (across) for each true class (down), with recalls around the skill."""
    chance = np.random.default_rng(seed)
    recall = chance.beta(8 * skill, 8 * (1 - skill), classes)
    recall = np.clip(recall + skill - recall.mean(), 0.02, 0.999)
    matrix = np.zeros((classes, classes))
    for row in range(classes):
        near = np.array([c for c in range(max(0, row - 30), min(classes, row + 31)) if c != row])
        others = chance.choice(near, min(5, classes - 1), replace=False)
        matrix[row, others] = (1 - recall[row]) * chance.dirichlet(np.ones(len(others)))
        matrix[row, row] = recall[row]
    return matrix


def shares_of(classes: int, tail: str) -> np.ndarray:
    """Return the share of each class: equal, or falling with its rank ("long")."""
    shares = np.ones(classes) if tail != "long" else 1 / np.arange(1, classes + 1)
    return shares / shares.sum()


def label_truth(shares: np.ndarray, confusion: np.ndarray) -> dict[str, float]:
    """Compute the metrics of the whole population."""
    joint = shares[:, None] * confusion
    predicted, hits = joint.sum(0), joint.diagonal()
    correlation = (hits.sum() - predicted @ shares) / math.sqrt((1 - predicted @ predicted) * (1 - shares @ shares))
    return {
        "accuracy": hits.sum(),
        "balanced_accuracy": (hits / shares).mean(),
        "precision_macro": (hits / np.maximum(predicted, 1e-12)).mean(),
        "recall_macro": (hits / shares).mean(),
        "f1_macro": (2 * hits / (shares + predicted)).mean(),
        "f1_micro": hits.sum(),
        "mcc": correlation,
    }


def labels(classes: int, per_class: int, skill: float, tail: str = "random") -> Cell:
    """Labels without scores."""
    shares, confusion = shares_of(classes, tail), confusion_of(classes, skill)
    steps, names = confusion.cumsum(1), tuple(range(classes))

    def draw(chance: Generator) -> Sample:
        rows = classes * per_class
        counts = np.full(classes, per_class) if tail == "fixed" else chance.multinomial(rows, shares)
        true = np.repeat(np.arange(classes), counts)
        uniform = chance.random(rows)
        predicted = np.empty(rows, dtype=np.int64)
        for start, stop, one in zip(np.cumsum(counts) - counts, np.cumsum(counts), range(classes), strict=True):
            predicted[start:stop] = np.searchsorted(steps[one], uniform[start:stop])
        predictions = Predictions(np.minimum(predicted, classes - 1).tolist(), None, names)
        return Sample(classification_metrics(predictions, true.tolist()), rows)

    return Cell(f"{classes} × {per_class}, {skill:g}, {tail}", label_truth(shares, confusion), draw)


def rare(positives: int, shift: float, spread: float, rows: int = 1_000, threshold: float = 1.5) -> Cell:
    """Two classes, one of them rare; the score of the rare one is normal, further up and wider."""
    share = positives / rows

    def scores(chance: Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        hit = chance.random(count) < share
        hit[:2] |= [not hit.any(), not hit.any()]  # some row is positive
        return hit, chance.normal(size=count) * np.where(hit, spread, 1.0) + hit * shift

    def metric(hit: np.ndarray, score: np.ndarray) -> MetricFunction:
        probability = (1 / (1 + np.exp(threshold - score))).astype(np.float64)
        predictions = Predictions(
            (score > threshold).astype(int).tolist(), list(np.stack([1 - probability, probability], 1)), (0, 1)
        )
        return classification_metrics(predictions, hit.astype(int).tolist())

    def draw(chance: Generator) -> Sample:
        return Sample(metric(*scores(chance, rows)), rows)

    hit, score = scores(np.random.default_rng(1), 500_000)
    truth = dict(metric(hit, score)(np.arange(len(hit))))
    return Cell(f"{positives} of {rows:,}, AUROC {truth['auroc']:.3f}, spread {spread:g}", truth, draw)


def softmax(classes: int, per_class: int, shift: float, tail: str = "random") -> Cell:
    """Many classes with scores: normal logits, that of the true class further up, by another shift for each class."""
    shares = shares_of(classes, tail)
    shifts = shift * np.random.default_rng(5).uniform(0.6, 1.4, classes)

    def logits(chance: Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        true = chance.choice(classes, count, p=shares)
        if tail == "fixed" and count == classes * per_class:
            true = np.repeat(np.arange(classes), per_class)
        scores = chance.normal(size=(count, classes)).astype(np.float32)
        scores[np.arange(count), true] += shifts[true]
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return true, scores / scores.sum(1, keepdims=True)

    def metric(true: np.ndarray, scores: np.ndarray) -> MetricFunction:
        predictions = Predictions(scores.argmax(1).tolist(), list(scores), tuple(range(classes)))
        return classification_metrics(predictions, true.tolist())

    def draw(chance: Generator) -> Sample:
        return Sample(metric(*logits(chance, classes * per_class)), classes * per_class)

    many = min(400_000, 30_000_000 // classes)
    truth = metric(*logits(np.random.default_rng(1), many))(np.arange(many))
    names = ("accuracy", "f1_macro", "auroc", "average_precision")
    truth = {name: truth[name] for name in names}
    return Cell(f"{classes} × {per_class}, AUROC {truth['auroc']:.3f}, {tail}", truth, draw)


def grouped(groups: int, size: int, skill: float) -> Cell:
    """Five classes; the rows of a group are alike: a group has its own skill, and its own number of rows."""

    def rows_of(chance: Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sizes = 1 + chance.poisson(size - 1, count)
        group = np.repeat(np.arange(count), sizes)
        own = chance.beta(4 * skill, 4 * (1 - skill), count)
        true = chance.integers(0, 5, len(group))
        right = chance.random(len(group)) < own[group]
        return group, true, np.where(right, true, (true + chance.integers(1, 5, len(group))) % 5)

    def metric(true: np.ndarray, predicted: np.ndarray) -> MetricFunction:
        return classification_metrics(Predictions(predicted.tolist(), None, tuple(range(5))), true.tolist())

    def draw(chance: Generator) -> Sample:
        group, true, predicted = rows_of(chance, groups)
        return Sample(metric(true, predicted), len(group), group.tolist())

    _, true, predicted = rows_of(np.random.default_rng(1), 200_000)
    truth = metric(true, predicted)(np.arange(len(true)))
    return Cell(f"{groups} groups of {size}, {skill:g}", truth, draw)


# --- several labels, elements, numbers, masked elements


def several(count: int, rows: int, share: float, shift: float) -> Cell:
    """Independent labels, known for most rows; the scores of a label are normal, further up where it is true."""
    shares = share * np.random.default_rng(5).uniform(0.5, 1.5, count)
    names = tuple(range(count))

    def made(chance: Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        true = chance.random((size, count)) < shares
        known = chance.random((size, count)) < 0.9
        score = chance.normal(size=(size, count)) + shift * true + 0.5 * chance.normal(size=(size, 1))
        return true, known, score

    def metric(true: np.ndarray, known: np.ndarray, score: np.ndarray) -> MetricFunction:
        truth = [
            {name: (bool(t[name]) if k[name] else None) for name in names} for t, k in zip(true, known, strict=True)
        ]
        values = [[name for name in names if s[name] > shift / 2 + 0.5] for s in score]
        probabilities = list(1 / (1 + np.exp(-score)))
        return multi_label_metrics(Predictions(values, probabilities, names), truth)

    def draw(chance: Generator) -> Sample:
        return Sample(metric(*made(chance, rows)), rows)

    truth = metric(*made(np.random.default_rng(1), 100_000))(np.arange(100_000))
    return Cell(f"{count} labels, {rows} rows, {share:g} true, AUROC {truth['auroc']:.3f}", truth, draw)


def elements(rows: int, length: int, skill: float) -> Cell:
    """Labels of elements, five classes, one of them common; the elements of a row share a difficulty."""
    shares = np.array([0.6, 0.1, 0.1, 0.1, 0.1])

    def made(chance: Generator, size: int) -> tuple[list[list[int]], list[list[int]]]:
        true, predicted = [], []
        for _ in range(size):
            here = chance.choice(5, 1 + chance.poisson(length - 1), p=shares)
            right = chance.random(len(here)) < chance.beta(6 * skill, 6 * (1 - skill))
            true.append(here.tolist())
            predicted.append(np.where(right, here, (here + chance.integers(1, 5, len(here))) % 5).tolist())
        return true, predicted

    def metric(true: list[list[int]], predicted: list[list[int]]) -> MetricFunction:
        return element_classification_metrics(Predictions(predicted, None, tuple(range(5))), true)

    def draw(chance: Generator) -> Sample:
        return Sample(metric(*made(chance, rows)), rows)

    truth = metric(*made(np.random.default_rng(1), 40_000))(np.arange(40_000))
    return Cell(f"{rows} rows of {length} elements, {skill:g}", truth, draw)


def numbers(rows: int, errors: str, correlation: float) -> Cell:
    """Numbers with a linear prediction, and errors of different tails."""

    def noise(chance: Generator, size: int, at: np.ndarray) -> np.ndarray:
        if errors == "t5":
            return chance.standard_t(5, size) / math.sqrt(5 / 3)
        if errors == "t3":
            return chance.standard_t(3, size) / math.sqrt(3)
        if errors == "uneven":
            return chance.normal(size=size) * np.exp(0.5 * at) / math.exp(0.25)
        return chance.normal(size=size)

    def made(chance: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        at = chance.normal(size=size)
        predicted = correlation * at
        true = predicted + math.sqrt(1 - correlation**2) * noise(chance, size, at)
        return (np.exp(predicted), np.exp(true)) if errors == "log" else (predicted, true)

    def metric(predicted: np.ndarray, true: np.ndarray) -> MetricFunction:
        return regression_metrics(Predictions(predicted.tolist()), true.tolist())

    def draw(chance: Generator) -> Sample:
        return Sample(metric(*made(chance, rows)), rows)

    truth = metric(*made(np.random.default_rng(1), 1_000_000))(np.arange(1_000_000))
    return Cell(f"{rows} rows, errors {errors}, correlation {correlation:g}", truth, draw)


def masked(rows: int, skill: float) -> Cell:
    """Rows of three masked categories and two masked numbers."""

    def made(chance: Generator, size: int) -> tuple[list[Any], list[Any]]:
        right = chance.random((size, 3)) < chance.beta(6 * skill, 6 * (1 - skill), size)[:, None]
        true = chance.normal(size=(size, 2))
        predicted = skill * true + math.sqrt(1 - skill**2) * chance.normal(size=(size, 2)) * 0.7
        hidden = chance.random((size, 2)) < 0.6
        truth = [
            {"kind": ["a"] * 3, "size": [float(v) if h else None for v, h in zip(t, hide, strict=True)]}
            for t, hide in zip(true, hidden, strict=True)
        ]
        values = [
            {"kind": ["a" if r else "b" for r in rights], "size": p.tolist()}
            for rights, p in zip(right, predicted, strict=True)
        ]
        return values, truth

    def metric(values: list[Any], truth: list[Any]) -> MetricFunction:
        return masked_element_metrics(Predictions(values), truth)

    def draw(chance: Generator) -> Sample:
        return Sample(metric(*made(chance, rows)), rows)

    truth = metric(*made(np.random.default_rng(1), 100_000))(np.arange(100_000))
    return Cell(f"{rows} rows, {skill:g}", truth, draw)


def frauds(customers: int, share: float, shift: float, k: int) -> Cell:
    """Twenty payments of each customer in ten days, of which some customers' are frauds; customers are drawn together.

    The truth is the mean over many samples of this size: how many frauds are among the k highest depends on it.
    """
    from taskgraft_fraud.fraud_metric import fraud_metric
    from taskgraft_fraud.metric_settings import FraudMetricConfig

    settings = FraudMetricConfig(k=k, customer="card", time="time", unit="days", amount="amount", review=5.0)

    def draw(chance: Generator) -> Sample:
        card = np.repeat(np.arange(customers), 20)
        stolen = chance.random(customers) < share
        hit = stolen[card] & (chance.random(len(card)) < 0.3)
        score = chance.normal(size=len(card)) + 0.5 * chance.normal(size=customers)[card] + shift * hit
        probability = 1 / (1 + np.exp(2.5 - score))
        columns = {
            "card": card.tolist(),
            "time": chance.integers(0, 10, len(card)).tolist(),
            "amount": chance.gamma(2.0, 50.0, len(card)).tolist(),
        }
        values = (probability > 0.5).astype(int).tolist()
        predictions = Predictions(values, list(np.stack([1 - probability, probability], 1)), (0, 1))
        return Sample(fraud_metric(predictions, hit.astype(int).tolist(), columns, settings), len(card), card.tolist())

    drawn: dict[str, list[float]] = {}
    for number in range(400):
        sample = draw(np.random.default_rng((1, number)))
        for name, value in sample.metrics(np.arange(sample.rows)).items():
            drawn.setdefault(name, []).append(value)
    truth = {name: float(np.mean(values)) for name, values in drawn.items()}
    return Cell(f"{customers} customers, {share:g} with frauds, AUROC {truth['auroc']:.3f}, k {k}", truth, draw)


KINDS: Mapping[str, Callable[[], Iterator[Cell]]] = {
    "classes": lambda: (
        labels(classes, rows, skill, tail)
        for classes in (2, 5, 20, 77, 150, 1_000)
        for rows in (3, 5, 10, 30, 100)
        for skill in (0.6, 0.8, 0.95, 0.99)
        for tail in ("random", "fixed", "long")
        if classes * rows <= 10_000 and (classes < 1_000 or skill in (0.8, 0.95)) and (classes > 2 or tail != "long")
    ),
    "rare": lambda: (
        rare(positives, shift, spread)
        for positives in (5, 10, 20, 50, 200)
        for spread in (1.0, 1.8)
        for shift in (0.4, 1.2, 2.3, 3.3, 4.5)
    ),
    "scores": lambda: (
        softmax(classes, rows, shift, tail)
        for classes in (3, 5, 20, 77)
        for rows in (3, 5, 10, 30)
        for shift in (1.0, 2.5, 4.5)
        for tail in ("random", "long")
    ),
    "groups": lambda: (
        grouped(groups, size, skill) for groups in (5, 10, 20, 40, 100) for size in (3, 20) for skill in (0.7, 0.95)
    ),
    "labels": lambda: (
        several(count, rows, share, shift)
        for count in (3, 20)
        for rows in (30, 100, 300)
        for share in (0.05, 0.3)
        for shift in (1.0, 2.5)
    ),
    "elements": lambda: (
        elements(rows, length, skill) for rows in (10, 30, 100) for length in (5, 30) for skill in (0.7, 0.95)
    ),
    "numbers": lambda: (
        numbers(rows, errors, correlation)
        for rows in (10, 20, 30, 100)
        for errors in ("normal", "t5", "t3", "uneven", "log")
        for correlation in (0.6, 0.95)
    ),
    "frauds": lambda: (
        frauds(customers, share, shift, k)
        for customers, share in ((100, 0.2), (400, 0.05))
        for shift in (1.0, 3.0)
        for k in (10, 50)
    ),
    "masked": lambda: (masked(rows, skill) for rows in (10, 30, 100) for skill in (0.7, 0.95)),
}


def main() -> None:
    """Print the coverage of every cell and metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--percentile", action="store_true", help="also percentiles of 200 resamples")
    chosen = parser.parse_args()
    start = time.perf_counter()
    for kind in chosen.only:
        for cell in KINDS[kind]():
            texts = []
            for name, one in simulate(cell, chosen.draws, chosen.percentile).items():
                text = f"{name} {100 * one.share:.0f}" if one.held else f"{name} –"
                if one.printed < 0.995:
                    text += f" ({100 * one.printed:.0f} % printed)"
                if one.held_by_percentiles:
                    text += f" [{100 * np.mean(one.held_by_percentiles):.0f}]"
                mark = "" if not one.held or NOMINAL[0] <= round(one.share, 2) <= NOMINAL[1] else "!"
                texts.append(mark + text)
            print(f"{kind}: {cell.name}: {', '.join(texts)}", flush=True)
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
