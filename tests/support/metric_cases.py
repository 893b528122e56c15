"""Every metric on made-up predictions of any scale and offset, and what it should be: scikit-learn's value, or that of exact
arithmetic."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from attacks import Tally
from scipy import stats
from sklearn import metrics as scores

from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.evaluation.detailed_metric import DetailedMetric

SCALES = tuple(10.0**power for power in (-30, -20, -10, -3, 0, 3, 10, 20, 30))
OFFSETS = (0.0, 1.0, -1e4, 1e8, -1e10, 1e12)
ROWS = 40

Values = Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """Predictions for some rows, and a function that computes what their metrics should be for any of the rows."""

    predictions: Predictions
    truth: Sequence[Any]
    expected: Callable[[np.ndarray], Values]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def regression(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """One column or three, with a known part of the variance explained."""
    columns = int(chance.choice([1, 3]))
    latent = chance.normal(size=(ROWS, columns))
    predicted = 0.7 * latent * scale + offset
    true = (latent + 0.5 * chance.normal(size=latent.shape)) * scale + offset
    pairs = [(predicted[:, one], true[:, one]) for one in range(columns)]

    def expected(rows: np.ndarray) -> Values:
        found = [exact_regression(one[rows], other[rows]) for one, other in pairs]
        shared = set.intersection(*(set(one) for one in found))
        return {name: float(np.mean([one[name] for one in found])) for name in shared}

    as_rows = (lambda array: array[:, 0].tolist()) if columns == 1 else (lambda array: array.tolist())
    return Case(Predictions(as_rows(predicted)), as_rows(true), expected)


def exact_regression(predicted: np.ndarray, true: np.ndarray) -> Values:
    """Compute the metrics of one column in rational arithmetic; ranks as SciPy gives them."""
    first, second = ([Fraction(value) for value in numbers.tolist()] for numbers in (predicted, true))
    count = len(first)
    squares = sum((one - other) ** 2 for one, other in zip(first, second, strict=True))
    found = {
        "mean_squared_error": float(squares / count),
        "mean_absolute_error": float(sum(abs(one - other) for one, other in zip(first, second, strict=True)) / count),
    }
    first, second = ([one - sum(numbers) / count for one in numbers] for numbers in (first, second))
    of_first, of_second = (sum(one**2 for one in numbers) for numbers in (first, second))
    if not of_second:
        return found
    found["r2"] = float(1 - squares / of_second)
    if of_first:
        product = sum(one * other for one, other in zip(first, second, strict=True))
        found["pearson"] = math.copysign(math.sqrt(product**2 / (of_first * of_second)), product)
        found["spearman"] = float(stats.spearmanr(predicted, true).statistic)
    return found


def masked_elements(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Numbers of one kind, and categories of another, some of which are masked."""
    true = chance.normal(size=ROWS) * scale + offset
    predicted = true + 0.5 * chance.normal(size=ROWS) * scale
    colours, guesses = (chance.choice(["red", "blue"], ROWS).tolist() for _ in range(2))
    masked = chance.random((ROWS, 2)) < 0.7
    masked[0] = True
    truth = [
        {"size": float(size) if hide[0] else None, "colour": colour if hide[1] else None}
        for size, colour, hide in zip(true, colours, masked, strict=True)
    ]
    values = [{"size": float(one), "colour": colour} for one, colour in zip(predicted, guesses, strict=True)]

    def expected(rows: np.ndarray) -> Values:
        found: dict[str, float] = {}
        numbers = rows[masked[rows, 0]]
        if len(numbers):
            exact = exact_regression(predicted[numbers], true[numbers])
            found["hidden_mean_squared_error"] = exact["mean_squared_error"]
            found |= {"hidden_r2": exact["r2"]} if "r2" in exact else {}
        hidden = rows[masked[rows, 1]]
        if len(hidden):
            found["hidden_accuracy"] = float(np.mean([guesses[row] == colours[row] for row in hidden]))
        return found

    return Case(Predictions(values), truth, expected)


def classification(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Labels far from 0, whose probabilities are of any size (the last class has the rest)."""
    classes = tuple(int(offset) + index for index in range(int(chance.choice([2, 4]))))
    truth, values = (chance.choice(classes, ROWS).tolist() for _ in range(2))
    truth[: len(classes)] = classes
    small = min(scale, 1.0)
    shares = (chance.integers(1, 9, (ROWS, len(classes))) / 40 * small).astype(np.float32)
    ranked = slice(0, 1) if len(classes) == 2 else slice(None)
    positive = classes[0] if len(classes) == 2 else None

    def expected(rows: np.ndarray) -> Values:
        true, predicted = ([labels[row] for row in rows] for labels in (truth, values))
        precision, recall, f1, _ = scores.precision_recall_fscore_support(
            true, predicted, average="macro", zero_division=0
        )
        found = {
            "accuracy": scores.accuracy_score(true, predicted),
            "f1_micro": scores.f1_score(true, predicted, average="micro"),
            "precision_macro": precision,
            "recall_macro": recall,
            "f1_macro": f1,
            "mcc": scores.matthews_corrcoef(true, predicted),
            "balanced_accuracy": np.mean(
                [np.mean([values[row] == one for row in rows if truth[row] == one]) for one in set(true)]
            ),
        }
        goals = np.array([[label == one for one in classes] for label in true])[:, ranked]
        return found | areas(goals, shares[rows][:, ranked])

    settings = {} if positive is None else {"positive": positive}
    return Case(Predictions(values, list(shares), classes), truth, expected, settings=settings)


def areas(goals: np.ndarray, shares: np.ndarray) -> Values:
    """Average the areas of scikit-learn over the columns with rows both in and outside the class."""
    usable = [one for one in range(goals.shape[1]) if 0 < goals[:, one].sum() < len(goals)]
    if not usable:
        return {}
    pairs = [(goals[:, one], shares[:, one].astype(np.float64)) for one in usable]
    return {
        "auroc": float(np.mean([scores.roc_auc_score(*pair) for pair in pairs])),
        "average_precision": float(np.mean([scores.average_precision_score(*pair) for pair in pairs])),
    }


def multi_label(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Several labels per row, with probabilities of any size."""
    classes = tuple(int(offset) + index for index in range(3))
    true, predicted = (chance.random((ROWS, 3)) < 0.4 for _ in range(2))
    shares = (chance.integers(1, 9, (ROWS, 3)) / 10 * min(scale, 1.0)).astype(np.float32)
    truth = [dict(zip(classes, row, strict=True)) for row in true.tolist()]
    values = [[label for label, one in zip(classes, row, strict=True) if one] for row in predicted.tolist()]

    def expected(rows: np.ndarray) -> Values:
        present = (true[rows] | predicted[rows]).any(0)
        some = {"zero_division": 0, "labels": np.flatnonzero(present).tolist()}
        found = {"f1_micro": scores.f1_score(true[rows], predicted[rows], average="micro", zero_division=0)}
        for name, score in (
            ("precision", scores.precision_score),
            ("recall", scores.recall_score),
            ("f1", scores.f1_score),
        ):
            found[f"{name}_macro"] = score(true[rows], predicted[rows], average="macro", **some)
        return found | areas(true[rows], shares[rows])

    return Case(Predictions(values, list(shares), classes), truth, expected)


def element_classification(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """A label per element, in rows of very different lengths."""
    classes = tuple(int(offset) + index for index in range(3))
    lengths = chance.integers(1, 12, ROWS)
    truth, values = ([chance.choice(classes, length).tolist() for length in lengths] for _ in range(2))

    def expected(rows: np.ndarray) -> Values:
        true, predicted = ([label for row in rows for label in labels[row]] for labels in (truth, values))
        precision, recall, f1, _ = scores.precision_recall_fscore_support(
            true, predicted, average="macro", zero_division=0
        )
        return {
            "accuracy": scores.accuracy_score(true, predicted),
            "precision_macro": precision,
            "recall_macro": recall,
            "f1_macro": f1,
        }

    return Case(Predictions(values, classes=classes), truth, expected)


def entities(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Entities in rows of very different lengths; every row is its own words."""
    labels = ["O", "B-a", "I-a", "B-b", "I-b"]
    lengths = chance.integers(1, 12, ROWS)
    truth, values = ([chance.choice(labels, length).tolist() for length in lengths] for _ in range(2))
    spans = [[spans_of(row) for row in some] for some in (truth, values)]

    def expected(rows: np.ndarray) -> Values:
        true, predicted = (sum(len(some[row]) for row in rows) for some in spans)
        both = sum(len(spans[0][row] & spans[1][row]) for row in rows)
        precision, recall = both / predicted, both / true
        return {
            "entity_precision": precision,
            "entity_recall": recall,
            "entity_f1": 2 * both / (true + predicted),
        }

    return Case(Predictions(values, classes=tuple(labels)), truth, expected)


def spans_of(row: Sequence[str]) -> set[tuple[int, int, str]]:
    """Find entities by looking at each pair of borders."""

    def begins(place: int) -> bool:
        return row[place][0] == "B" or (
            row[place][0] == "I" and (place == 0 or row[place - 1] == "O" or row[place - 1][1:] != row[place][1:])
        )

    starts = [place for place in range(len(row)) if row[place] != "O" and begins(place)]
    found = set()
    for start in starts:
        end = start + 1
        while end < len(row) and row[end] == "I" + row[start][1:]:
            end += 1
        found.add((start, end, row[start][2:]))
    return found


def segmentation(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Masks whose labels are far from 0."""
    classes = tuple(int(offset) + index for index in range(3))
    truth, values = ([chance.choice(classes, (5, 7)) for _ in range(ROWS)] for _ in range(2))

    def expected(rows: np.ndarray) -> Values:
        true, predicted = (np.concatenate([masks[row].ravel() for row in rows]) for masks in (truth, values))
        return {
            "mean_iou": scores.jaccard_score(true, predicted, average="macro"),
            "pixel_accuracy": scores.accuracy_score(true, predicted),
        }

    return Case(Predictions(values, classes=classes), truth, expected)


def contacts(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Contact maps with probabilities of any size, no two of them equal."""
    sizes = chance.integers(14, 40, 12)
    truth = [np.where(np.triu(chance.random((size, size)), 1) > 0.6, "contact", "none") for size in sizes]
    maps = [chance.permutation(size * size).reshape(size, size) / size**2 * min(scale, 1.0) for size in sizes]
    probabilities = [np.stack([1 - one, one], -1).astype(np.float32) for one in maps]

    def expected(rows: np.ndarray) -> Values:
        found: dict[str, list[float]] = {}
        for row in rows:
            size, likely = len(truth[row]), probabilities[row][..., 1]
            for name, (least, end) in {"long": (24, size), "medium": (12, 24)}.items():
                pairs = [(i, j) for i in range(size) for j in range(i + least, min(i + end, size))]
                pairs.sort(key=lambda pair: -likely[pair])
                for suffix, divisor in (("l", 1), ("l2", 2), ("l5", 5)):
                    if top := pairs[: size // divisor]:
                        share = np.mean([truth[row][pair] == "contact" for pair in top])
                        found.setdefault(f"contact_precision_{name}_{suffix}", []).append(share)
        return {name: float(np.mean(shares)) for name, shares in found.items()}

    return Case(Predictions([None] * len(sizes), probabilities, ("none", "contact")), truth, expected)


def fraud(chance: np.random.Generator, scale: float, offset: float) -> Case:
    """Scores of any size, and amounts of any size and offset; every fraud costs its amount."""
    truth = (chance.random(ROWS) < 0.3).astype(int).tolist()
    truth[:2] = 0, 1
    positive = (chance.permutation(ROWS) / (2 * ROWS) * min(scale, 1.0)).astype(np.float32)
    alerts = chance.random(ROWS) < 0.4
    amounts = chance.lognormal(size=ROWS) * scale + abs(offset)
    review = scale / 3
    predictions = Predictions(
        alerts.astype(int).tolist(), list(np.stack([1 - positive, positive], 1)), (0, 1), positive=1
    )
    k = 7

    def expected(rows: np.ndarray) -> Values:
        true, alert = np.array(truth)[rows], alerts[rows]
        costs = [
            Fraction(review) if alarm else Fraction(float(amounts[row])) * bad
            for row, bad, alarm in zip(rows, true.tolist(), alert.tolist(), strict=True)
        ]
        order = sorted(range(len(rows)), key=lambda place: (-positive[rows[place]], rows[place]))
        found = {"expected_cost": float(sum(costs) / len(rows)), "alerts_share": float(alert.mean())}
        if alert.any():
            found["precision"] = scores.precision_score(true, alert)
        if true.any():
            found["recall"] = scores.recall_score(true, alert)
        if len(set(rows.tolist())) == len(rows):  # copies of a row tie at rank k
            hits = sum(int(true[place]) for place in order[:k])
            found[f"precision_at_{k}"] = hits / min(k, len(rows))
            found |= {f"recall_at_{k}": hits / int(true.sum())} if true.any() else {}
        return found | areas(true[:, None] == 1, positive[rows][:, None])

    columns = {"amount": amounts.tolist()}
    return Case(predictions, truth, expected, columns, {"amount": "amount", "review": review, "k": k})


CASES = {
    "regression": regression,
    "masked-elements": masked_elements,
    "classification": classification,
    "multi-label": multi_label,
    "element-classification": element_classification,
    "entities": entities,
    "segmentation": segmentation,
    "contacts": contacts,
    "fraud": fraud,
}
"""Name of a metric → makes a case from random numbers, a scale and an offset."""

AT_RANK = ("precision_at_7", "recall_at_7")
UNCHECKED = {"f1_micro", "mcc", "balanced_accuracy", *AT_RANK}
"""Values of a metric that a case may leave out: they are checked by others."""


def check_metrics(name: str, scale: float, offset: float, seed: int, tally: Tally) -> None:
    """Compare every value of a metric: of all rows, of a resample, and without each of two rows."""
    chance = np.random.default_rng((seed, sum(map(ord, name))))
    case = CASES[name](chance, scale, offset)
    spec = next(spec for spec, _ in catalog().specs(MetricSpec) if spec.name == name)
    settings = spec.config(**case.settings)
    metric = spec.build(case.predictions, case.truth, case.columns, settings)
    count = len(case.truth)
    rows = {"all rows": np.arange(count), "a resample": np.sort(chance.integers(count, size=count))}
    without = chance.choice(count, 2, replace=False).tolist()
    rows |= {f"without row {row}": np.delete(np.arange(count), row) for row in without}
    for what, some in rows.items():
        _compare(
            f"{name}, scale {scale:g}, offset {offset:g}, seed {seed}, {what}", metric(some), case.expected(some), tally
        )
    if isinstance(metric, DetailedMetric) and metric.leave_one_out is not None:
        left = metric.leave_one_out()
        for row in without:
            found = {one: float(values[row]) for one, values in left.items() if math.isfinite(values[row])}
            expected = case.expected(np.delete(np.arange(count), row))
            label = f"{name}, scale {scale:g}, offset {offset:g}, seed {seed}, left out {row}"
            _compare(label, found, {one: value for one, value in expected.items() if one in left}, tally)


def _compare(label: str, found: Values, expected: Values, tally: Tally) -> None:
    names = (found.keys() | expected.keys()) - (UNCHECKED - expected.keys())
    for name in sorted(names):
        one, other = found.get(name), expected.get(name)
        close = one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=_least(name))
        tally.count(f"{label}: {name}", close or one is other is None, why=f"is {one!r}, not {other!r}")


def _least(name: str) -> float:
    """Differences below this are rounding: of a share, of a correlation; an error or a cost may itself be as small."""
    return 0.0 if "error" in name or "cost" in name else 1e-9
