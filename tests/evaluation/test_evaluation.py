import json
import math
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from taskgraft.builtin.metrics.classification import classification_metrics
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.bootstrap import Bootstrap
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.evaluation.per_class import Confusion, confusion, per_class

CATEGORY, CATEGORIES, ELEMENTS = TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.ELEMENT_CATEGORIES
TRUTH = ["cat", "cat", "cat", "dog", "dog", "[emu]"]
USUAL = Bootstrap()
VALUES = ["cat", "cat", "dog", "dog", "dog", "dog"]


def evaluated(bootstrap=USUAL, **options) -> Evaluation:
    """Six rows of three classes."""
    predictions = Predictions(VALUES, classes=("cat", "dog", "[emu]"))
    metrics = classification_metrics(predictions, TRUTH)
    return Evaluation(CATEGORY, predictions, TRUTH, metrics, bootstrap, **options)


def measured(values, bootstrap=USUAL, name="mean") -> Evaluation:
    """An evaluation of rows that each have a value; the metric is their mean."""
    array = np.asarray(values)
    truth = array.tolist()
    return Evaluation(TargetKind.NUMBERS, Predictions(truth), truth, lambda rows: {name: array[rows].mean()}, bootstrap)


# --- metrics


def test_an_evaluation_is_a_mapping_of_metrics():
    found = evaluated()
    assert dict(found) == found
    assert list(found)[:2] == ["accuracy", "balanced_accuracy"]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert (found.rows, found.resamples, found.groups, found.baselines) == (6, 1000, None, {})
    assert repr(measured([1, 2])) == "Evaluation(mean=1.5000, rows=2)"


def test_a_metric_that_is_not_finite_is_left_out():
    values = {"good": 1.0, "none": math.nan, "endless": math.inf}
    found = Evaluation(TargetKind.NUMBERS, Predictions([1.0]), [1.0], lambda rows: values)
    assert found == {"good": 1.0}
    assert found.to_json()["metrics"] == {"good": {"value": 1.0, "low": None, "high": None}}


# --- intervals


def test_the_same_seed_gives_the_same_intervals():
    numbers = np.random.default_rng(0).normal(size=50)
    first, again, other = (measured(numbers, Bootstrap(seed=seed)).intervals for seed in (1, 1, 2))
    assert first == again != other


def test_an_interval_contains_its_metric():
    found = evaluated()
    for name, (low, high) in found.intervals.items():
        assert low <= found[name] <= high
    assert found.intervals.keys() == found.keys()


def test_intervals_are_computed_lazily_and_once():
    calls = []

    def metrics(rows):
        calls.append(len(rows))
        return {"rows": len(rows)}

    found = Evaluation(TargetKind.NUMBERS, Predictions([1.0] * 4), [1.0] * 4, metrics, Bootstrap(10))
    assert calls == [4]
    assert found.intervals == found.intervals == {"rows": (4, 4)}
    assert calls == [4] * 11


def test_no_resamples_give_no_intervals():
    assert evaluated(Bootstrap(0)).intervals == {}


def test_one_row_or_one_group_has_no_intervals():
    assert measured([1.0]).intervals == {}
    assert measured([1.0, 2.0], Bootstrap(members=["a", "a"])).intervals == {}


def test_a_metric_that_is_undefined_in_most_resamples_has_no_interval():
    """The first row is in about two thirds of the resamples of three; both of the others in fewer than half."""

    def metrics(rows):
        seen = set(rows.tolist())
        return {"first": 1.0} | ({"both": 1.0} if seen >= {1, 2} else {}) if 0 in seen else {}

    found = Evaluation(TargetKind.NUMBERS, Predictions([1.0] * 3), [1.0] * 3, metrics)
    assert found == {"first": 1.0, "both": 1.0}
    assert found.intervals == {"first": (1.0, 1.0)}


def test_rows_of_a_group_are_drawn_together_and_a_row_without_group_alone():
    bootstrap = Bootstrap(20, members=["a", "b", "a", None, ""])
    for rows in bootstrap.resamples(5):
        times = np.bincount(rows, minlength=5)
        assert times[0] == times[2]
        assert times[[0, 1, 3, 4]].sum() == 4


def test_a_number_of_resamples_must_be_a_whole_number():
    for count in (-1, 2.5, True, "many"):
        with pytest.raises(EvaluationError) as caught:
            Bootstrap(count)
        assert str(caught.value) == (
            f"resamples is {count!r}. Give a whole number from 0 on; 0 gives no intervals, 1000 is usual."
        )


# --- coverage of the intervals


def coverage(draw: Callable[[np.random.Generator], Evaluation], name: str, true: float) -> float:
    """The share of 200 simulated data sets whose interval contains the true value."""
    ends = (draw(np.random.default_rng(seed)).intervals[name] for seed in range(200))
    return float(np.mean([low <= true <= high for low, high in ends]))


@pytest.mark.slow
def test_intervals_of_an_accuracy_have_their_nominal_coverage():
    def draw(chance):
        return measured(chance.random(200) < 0.8, Bootstrap(400), "accuracy")

    assert 0.90 <= coverage(draw, "accuracy", 0.8) <= 0.98


@pytest.mark.slow
def test_intervals_of_an_error_have_their_nominal_coverage():
    def draw(chance):
        return measured(np.abs(chance.normal(size=200)), Bootstrap(400), "error")

    assert 0.90 <= coverage(draw, "error", math.sqrt(2 / math.pi)) <= 0.98


@pytest.mark.slow
def test_intervals_of_a_correlation_have_their_nominal_coverage():
    def draw(chance):
        one, noise = chance.normal(size=(2, 200))
        other = 0.6 * one + 0.8 * noise

        def metrics(rows):
            left, right = one[rows] - one[rows].mean(), other[rows] - other[rows].mean()
            return {"correlation": left @ right / math.sqrt((left @ left) * (right @ right))}

        return Evaluation(TargetKind.NUMBERS, Predictions(one.tolist()), other.tolist(), metrics, Bootstrap(400))

    assert 0.90 <= coverage(draw, "correlation", 0.6) <= 0.98


@pytest.mark.slow
def test_if_rows_of_a_group_are_alike_only_drawing_groups_has_the_nominal_coverage():
    groups = np.repeat(np.arange(40), 5)

    def draw(members):
        return lambda chance: measured(chance.normal(size=40)[groups], Bootstrap(400, members=members))

    assert 0.90 <= coverage(draw(groups.tolist()), "mean", 0.0) <= 0.98
    assert coverage(draw(None), "mean", 0.0) < 0.8


# --- classes


def test_each_class_has_its_own_scores():
    assert evaluated().per_class == {
        "cat": {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3},
        "dog": {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 2},
        "[emu]": {"recall": 0.0, "f1": 0.0, "support": 1},
    }


def test_the_confusion_has_the_truth_down_and_the_prediction_across():
    assert evaluated().confusion == Confusion(("cat", "dog", "[emu]"), ((2, 1, 0), (0, 2, 0), (0, 1, 0)))


def test_multi_labels_are_scored_where_they_are_known():
    truth = [{"a": True, "b": None}, {"a": True, "b": False}, {"a": False, "b": True}]
    predictions = Predictions([["a", "b"], ["b"], ["b"]], classes=("a", "b"))
    assert per_class(CATEGORIES, predictions, truth) == {
        "a": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2},
        "b": {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1},
    }
    assert confusion(CATEGORIES, predictions, truth) is None


def test_elements_are_scored_by_class_and_those_cut_off_count_as_missed():
    predictions = Predictions([["a", "b"], ["a", None]], classes=("a", "b"))
    assert per_class(ELEMENTS, predictions, [["a", "a", "b"], [None, "b"]]) == {
        "a": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2},
        "b": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2},
    }


def test_numbers_have_no_classes():
    found = measured([1.0, 2.0])
    assert (found.per_class, found.confusion) == ({}, None)


def test_if_a_head_names_no_classes_those_that_occur_are_used():
    assert confusion(CATEGORY, Predictions([2, 1]), [2, 2]) == Confusion((1, 2), ((0, 0), (1, 1)))


# --- what is written


def test_an_evaluation_is_plain_json():
    found = evaluated(Bootstrap(20, groups="writer", members=range(6)), baselines={"majority": {"accuracy": 0.5}})
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read.keys() == {"rows", "metrics", "baselines", "per_class", "confusion", "resamples", "groups", "figures"}
    low, high = found.intervals["accuracy"]
    assert read["metrics"]["accuracy"] == {"value": found["accuracy"], "low": low, "high": high}
    assert read["confusion"] == {"classes": ["cat", "dog", "[emu]"], "counts": [[2, 1, 0], [0, 2, 0], [0, 1, 0]]}
    assert read["per_class"] == found.per_class
    assert (read["rows"], read["resamples"], read["groups"]) == (6, 20, "writer")
    assert read["baselines"] == {"majority": {"accuracy": 0.5}}
    assert measured([1.0, 2.0]).to_json()["confusion"] is None


def printed(found: Evaluation) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(found)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_an_evaluation_is_printed_with_intervals_baselines_and_classes():
    predictions = Predictions(VALUES, classes=("cat", "dog", "[emu]"))
    found = Evaluation(
        CATEGORY,
        predictions,
        TRUTH,
        lambda rows: {"accuracy": 0.75, "error": 123456.0},
        Bootstrap(20, groups="writer", members=range(6)),
        {"majority": {"accuracy": 0.5}},
    )
    assert printed(found) == (
        "metric         value            95 % interval   majority\n"
        "────────────────────────────────────────────────────────\n"
        "accuracy      0.7500         0.7500 to 0.7500     0.5000\n"
        "error      1.235e+05   1.235e+05 to 1.235e+05          –\n"
        "6 rows; intervals from 20 resamples of whole groups by 'writer'.\n"
        "\n"
        "class   precision   recall       f1   support\n"
        "─────────────────────────────────────────────\n"
        "cat        1.0000   0.6667   0.8000         3\n"
        "dog        0.5000   1.0000   0.6667         2\n"
        "[emu]           –   0.0000   0.0000         1\n"
        "\n"
        "rows by true class (down) and predicted class (across)\n"
        "        cat   dog   [emu]\n"
        "─────────────────────────\n"
        "cat       2     1       0\n"
        "dog       0     2       0\n"
        "[emu]     0     1       0"
    )


def test_of_numbers_alone_one_table_is_printed():
    assert printed(measured([1.0, 2.0], Bootstrap(0))) == ("metric    value\n───────────────\nmean     1.5000\n2 rows.")


def test_figures_are_listed_below_the_tables():
    found = evaluated(Bootstrap(0), figures=[Path("new/one.png"), Path("new/two.png")])
    assert printed(found).endswith("\nFigures: new/one.png, new/two.png.")


def test_of_very_many_classes_the_worst_are_printed_and_json_has_all():
    labels = [f"label-{number}" for number in range(21)]
    found = Evaluation(CATEGORY, Predictions(labels, classes=tuple(labels)), labels, lambda rows: {"accuracy": 1.0})
    assert "the 10 of 21 classes with the lowest F1" in printed(found)
    assert "label-20" not in printed(found)
    assert len(found.to_json()["per_class"]) == 21
