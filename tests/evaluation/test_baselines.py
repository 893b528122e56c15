import dataclasses
import json

import numpy as np
import pytest
from forged_artifact import rewrite_manifest
from small_tasks import sentences, words

import taskgraft as tg
from taskgraft.builtin.baselines import (
    MajorityState,
    MeanState,
    fit_majority,
    fit_mean,
    predict_majority,
    predict_mean,
)
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import HeadDescription, TargetKind
from taskgraft.contract.rows import MissingColumn, to_arrow
from taskgraft.discovery.catalog import catalog
from taskgraft.model.compose import load
from taskgraft.reading.read import read_rows
from taskgraft.storage.manifest import MANIFEST, InvalidArtifact

pytestmark = pytest.mark.slow

SETTINGS = EmptyConfig()
THREE = {"text": ["one", "two", "three"]}


# --- majority and mean


def test_the_majority_predicts_the_most_frequent_label_and_how_often_each_is():
    learned = fit_majority(THREE, ["b", "a", "b", "c"], SETTINGS)
    assert learned == MajorityState(kind=TargetKind.CATEGORY, labels=("a", "b", "c"), shares=(0.25, 0.5, 0.25))
    found = predict_majority(learned, THREE, None, SETTINGS)
    assert (found.values, found.classes) == (["b"] * 3, ("a", "b", "c"))
    assert np.stack(found.probabilities).tolist() == [[0.25, 0.5, 0.25]] * 3


def test_of_equally_frequent_labels_the_first_is_predicted():
    learned = fit_majority(THREE, [10, 9, 10, 9], SETTINGS)
    assert predict_majority(learned, THREE, None, SETTINGS).values == [9] * 3


def test_of_several_labels_those_true_of_more_than_half_of_the_known_rows_are_predicted():
    truth = [{"a": True, "b": None, "c": True}, {"a": True, "b": None, "c": False}, {"a": None, "b": None, "c": None}]
    learned = fit_majority(THREE, truth, SETTINGS)
    assert learned == MajorityState(kind=TargetKind.CATEGORIES, labels=("a", "b", "c"), shares=(1.0, 0.0, 0.5))
    found = predict_majority(learned, THREE, None, SETTINGS)
    assert (found.values, found.classes) == ([["a"]] * 3, ("a", "b", "c"))
    assert np.stack(found.probabilities).tolist() == [[1.0, 0.0, 0.5]] * 3


def test_each_element_gets_the_most_frequent_label():
    learned = fit_majority(THREE, [["x", None, "y"], ["y"]], SETTINGS)
    assert learned.kind == TargetKind.ELEMENT_CATEGORIES
    assert predict_majority(learned, THREE, [2, 0, 1], SETTINGS).values == [["y", "y"], [], ["y"]]


def test_the_mean_is_one_per_column():
    learned = fit_mean(THREE, [1.0, 2.0, 6.0], SETTINGS)
    assert (learned, predict_mean(learned, THREE, None, SETTINGS).values) == (MeanState(means=(3.0,)), [3.0] * 3)
    both = fit_mean(THREE, [[1.0, 10.0], [3.0, 30.0]], SETTINGS)
    assert predict_mean(both, THREE, None, SETTINGS).values == [[2.0, 20.0]] * 3


@pytest.mark.parametrize("truth", [["1", "2"], [1, 2], [1.5, 2.5], [True, False]], ids=str)
def test_labels_keep_their_type_in_json(truth):
    learned = fit_majority(THREE, truth, SETTINGS)
    again = MajorityState.model_validate(json.loads(learned.model_dump_json()))
    assert [type(label) for label in again.labels] == [type(label) for label in learned.labels]
    assert again == learned


def test_columns_are_read_lazily():
    rows = read_rows({"text": ["one", "two", "three"], "more": [1, 2, 3]}, catalog(), "the data")
    columns = rows.lazy_columns({"input": "text"})
    assert list(columns) == ["input"]
    column = columns["input"]
    assert (len(column), column[1], column[-1], column[1:], list(column)) == (
        3,
        "two",
        "three",
        ["two", "three"],
        ["one", "two", "three"],
    )
    with pytest.raises(MissingColumn):
        rows.lazy_columns({"input": "gone"})


def test_a_column_of_rows_becomes_arrow_without_a_copy_and_other_values_are_converted():
    rows = read_rows({"text": ["one", "two", "three"]}, catalog(), "the data")
    assert to_arrow(rows.lazy_columns({"input": "text"})["input"]).equals(rows.table["text"])
    assert to_arrow([1.5, None, float("nan")]).to_pylist() == [1.5, None, None]


# --- of a model


def fitted(head="classification", target="label", **columns) -> tuple[tg.TaskModel, tg.FitReport, dict]:
    """A model, what its fit did, and the validation rows: the training rows from last to first."""
    rows = sentences() | columns
    validation = {column: values[::-1] for column, values in rows.items()}
    model = tg.compose(words(), head, "linear-probe")
    return model, model.fit(rows, validation=validation, target=target, quiet=True), validation


def test_a_baseline_is_evaluated_on_the_same_rows():
    _, run, rows = fitted()
    most = max(rows["label"].count(label) for label in "abc")
    assert run.metrics.baselines["majority"]["accuracy"] == pytest.approx(most / len(rows["label"]))


@pytest.mark.slow
def test_baselines_are_fitted_on_the_training_rows_alone():
    model = tg.compose(words(), "regression", "linear-probe")
    rows = sentences() | {"number": [1.0, 3.0] * 12}
    far = sentences(8, seed=1) | {"number": [7.0] * 8}
    run = model.fit(rows, validation=far, target="number", quiet=True)
    assert model.fitted.baselines["mean"].means == pytest.approx((2.0,))
    assert run.metrics.baselines["mean"]["mean_absolute_error"] == pytest.approx(5.0, abs=1e-5)


def test_multi_label_has_a_baseline_with_the_same_metrics():
    _, run, _ = fitted("multi-label", "tags", tags=["wet|cold", "cold", ""] * 8)
    assert run.metrics.baselines["majority"].keys() == run.metrics.keys()


def test_element_labels_have_a_baseline_with_the_same_metrics():
    tags = [["x", "y"][row % 2 : row % 2 + 1] * len(text.split()) for row, text in enumerate(sentences()["text"])]
    _, run, _ = fitted("element-classification", "tags", tags=tags)
    assert run.metrics.baselines["majority"].keys() == run.metrics.keys()


def test_a_loaded_model_is_compared_as_before(tmp_path):
    model, run, rows = fitted()
    again = load(model.save(tmp_path / "a"), backbone=words())
    found = again.evaluate(rows, quiet=True)
    assert found.baselines == run.metrics.baselines == model.evaluate(rows, quiet=True).baselines
    assert found.intervals == run.metrics.intervals


# --- in an artifact


def test_an_artifact_without_baselines_stays_readable(tmp_path):
    model, run, rows = fitted()
    folder = model.save(tmp_path / "a")
    rewrite_manifest(folder, lambda manifest: manifest.pop("baselines"))
    found = load(folder, backbone=words()).evaluate(rows, quiet=True)
    assert (found, found.baselines) == (run.metrics, {})


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            {"majority": {"kind": "category", "labels": ["a"]}},
            "its baseline 'majority': the setting 'shares' has no default, so set it",
        ),
        (
            {"majority": {"kind": "category", "labels": ["a"], "shares": ["half"]}},
            "its baseline 'majority': the setting 'shares.0' is 'half': input should be a valid number, unable to parse "
            "string as a number",
        ),
        ({"majorty": {}}, "No baseline named 'majorty'. Did you mean 'majority' (from taskgraft "),
        ({"no name!": {}}, "'no name!'"),
    ],
    ids=["missing", "no-number", "unknown", "no-name"],
)
def test_an_invalid_state_of_a_baseline_is_rejected(tmp_path, written, problem):
    folder = fitted()[0].save(tmp_path / "a")
    rewrite_manifest(folder, lambda manifest: manifest.update(baselines=written))
    with pytest.raises(InvalidArtifact) as caught:
        load(folder, backbone=words())
    assert caught.value.problem.startswith(problem)


# --- baselines of plugins

PLUGIN = """
from taskgraft.plugin import BaselineSpec, Config, EmptyConfig, TargetKind, hookimpl

TASKGRAFT_CONTRACT = "1.0"


class State(Config):
    label: str
    share: float = 1.0


@hookimpl
def taskgraft_baselines():
    for name, fit, predict, kind in (
        ("good", good, same, TargetKind.CATEGORY),
        ("cannot-fit", refuse, same, TargetKind.CATEGORY),
        ("not-json", endless, same, TargetKind.CATEGORY),
        ("nothing", lambda inputs, truth, settings: None, same, TargetKind.CATEGORY),
        ("cannot-predict", good, refuse, TargetKind.CATEGORY),
        ("too-few", good, short, TargetKind.CATEGORY),
        ("of-numbers", good, same, TargetKind.NUMBERS),
    ):
        yield BaselineSpec(
            name=name,
            summary="a planted baseline",
            config=EmptyConfig,
            targets=frozenset({kind}),
            state=State,
            fit=fit,
            predict=predict,
        )


def good(inputs, truth, settings):
    return State(label=sorted(truth)[0])


def endless(inputs, truth, settings):
    return State.model_construct(label="a", share=float("inf"))


def same(state, inputs, elements, settings):
    from taskgraft.plugin import Predictions

    return Predictions([state.label for _ in inputs["text"]], classes=("a", "b", "c"))


def short(state, inputs, elements, settings):
    from taskgraft.plugin import Predictions

    return Predictions([state.label], classes=("a", "b", "c"))


def refuse(*given):
    raise ValueError("no luck today.")
"""


class Compared(Classification):
    """A classification head that is compared with other baselines."""

    def __init__(self, *baselines: str):
        super().__init__(ClassificationConfig())
        self._baselines = baselines

    @property
    def description(self) -> HeadDescription:
        return dataclasses.replace(super().description, baselines=self._baselines)


def test_a_baseline_of_a_plugin_is_fitted_and_stored_in_the_artifact(beside_others, tmp_path):
    beside_others.plant(PLUGIN)
    model, run, rows = fitted(Compared("good", "majority"))
    assert run.metrics.baselines.keys() == {"good", "majority"}
    folder = model.save(tmp_path / "a")
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["baselines"]["good"] == {"label": "a", "share": 1.0}
    assert manifest["sources"]["acme"] == "1.0"
    again = load(folder, backbone=words(), head=Compared("good", "majority"))
    assert again.evaluate(rows, quiet=True).baselines == run.metrics.baselines


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("cannot-fit", "the baseline 'cannot-fit' was left out: it raised ValueError (no luck today) in acme 1.0"),
        (
            "nothing",
            "the baseline 'nothing' was left out: it raised AttributeError ('NoneType' object has no attribute "
            "'model_dump')",
        ),
        ("of-numbers", "the baseline 'of-numbers' was left out: it cannot predict category"),
    ],
)
def test_a_baseline_that_cannot_be_fitted_is_left_out_and_the_model_remains(beside_others, name, note):
    beside_others.plant(PLUGIN)
    model, run, rows = fitted(Compared(name, "majority"))
    assert run.notes == {note: 24}
    assert run.metrics.baselines.keys() == {"majority"}
    assert len(model.predict(rows)) == 24


@pytest.mark.parametrize(
    ("name", "reason"),
    [("not-json", "ConfigError"), ("unheard-of", "UnknownComponent (No baseline named 'unheard-of'")],
)
def test_a_state_must_be_json_and_a_name_known(beside_others, name, reason):
    beside_others.plant(PLUGIN)
    _, run, _ = fitted(Compared(name))
    (note,) = run.notes
    assert note.startswith(f"the baseline '{name}' was left out: it raised {reason}")
    assert run.metrics.baselines == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cannot-predict", "ValueError (no luck today)"),
        ("too-few", "EvaluationError (The baseline 'too-few' made 1 predictions for 24 rows)"),
    ],
)
def test_a_baseline_that_cannot_predict_is_left_out_of_an_evaluation(beside_others, capsys, name, reason):
    beside_others.plant(PLUGIN)
    model, run, rows = fitted(Compared(name, "majority"))
    assert run.metrics.baselines.keys() == {"majority"}
    capsys.readouterr()
    assert model.evaluate(rows).baselines.keys() == {"majority"}
    assert f"the baseline '{name}' was left out: it raised {reason}" in " ".join(capsys.readouterr().err.split())
