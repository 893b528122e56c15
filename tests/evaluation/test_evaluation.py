import json
import math
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from taskgraft.builtin.metrics.classification import classification_metrics
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.evaluation.bootstrap import Bootstrap
from taskgraft.evaluation.detailed_metric import DetailedMetric
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


def test_intervals_are_computed_lazily_and_once():
    calls = []

    def metrics(rows):
        calls.append(len(rows))
        return {"mean": float(rows.mean())}

    found = Evaluation(TargetKind.NUMBERS, Predictions([1.0] * 12), [1.0] * 12, metrics, Bootstrap(10))
    assert calls == [12]
    assert found.intervals == found.intervals
    assert calls == [12] * 2 + [11] * 12 + [12] * 10  # which values there are; without each row; resamples


def test_no_resamples_give_no_intervals_and_no_reasons():
    found = evaluated(Bootstrap(0))
    assert (found.intervals, found.missing_intervals) == ({}, {})


def test_every_metric_has_an_interval_or_a_reason():
    found = evaluated()
    assert found.intervals.keys() | found.missing_intervals.keys() == found.keys()
    assert found.missing_intervals["accuracy"] == "fewer than 10 rows"


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
            f"resamples is {count!r}. Give a whole number of at least 0; 0 gives no intervals, 1000 is usual."
        )


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
    facts = {"rows", "metrics", "baselines", "per_class", "confusion", "resamples", "groups", "figures"}
    assert facts | {"notes"} <= read.keys()
    assert read["metrics"]["accuracy"] == {"value": found["accuracy"], "low": None, "high": None}
    assert read["no_interval"] == dict.fromkeys(found, "fewer than 10 groups by 'writer'")
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
        "metric         value   majority\n"
        "───────────────────────────────\n"
        "accuracy      0.7500     0.5000\n"
        "error      1.235e+05          –\n"
        "6 rows.\n"
        "No interval for accuracy, error: fewer than 10 groups by 'writer'.\n"
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


def test_intervals_are_printed_with_what_they_are_over():
    values = np.arange(100) % 4 < 3
    alone = DetailedMetric(lambda rows: {"right": values[rows].mean()}, {"right": (0.0, 1.0)}, {"right": 100})
    for groups, over in ((None, "rows"), ("writer", "whole groups by 'writer'")):
        members = None if groups is None else np.arange(100) // 2
        found = Evaluation(
            TargetKind.NUMBERS, Predictions([]), values, alone, Bootstrap(20, groups=groups, members=members)
        )
        assert printed(found).splitlines()[-1] == f"100 rows; intervals over samples of {over}."
        assert printed(found).splitlines()[2].startswith("right    0.7500   0.")


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
