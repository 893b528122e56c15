"""A row for which the model computes NaN or infinity is invalid, wherever predictions and features are used."""

import csv
import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
from backbones import Words
from pyarrow import parquet
from small_tasks import sentences

import taskgraft as tg
from taskgraft.contract.features import Features
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import InvalidRows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_plugin_installed")]

LONG = "card lost rain where stop send new please transfer"
"""Nine words. The backbone overflows for a text of so many, when it is asked to."""

FULL = {"name": "full", "learning_rate": 1e-2}
PREDICTION = "its prediction is not finite: the values of the row are too large to compute with in float32"
FEATURES = "its features are not finite: the values of the row are too large to compute with in float32"
ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)
FIX_OR_SKIP = 'Fix these rows, or drop them with data.on_bad_row = "skip".'


@pytest.fixture(params=[torch.inf, torch.nan, -torch.inf])
def overflowing(request, monkeypatch):
    """From now on features of long texts are not finite."""
    computed = Words.forward_from_cut

    def forward_from_cut(self, cut, state, layout):
        features = computed(self, cut, state, layout)
        long = (state.lengths["element"] == 9).view(-1, *[1] * (features.value.dim() - 1))
        return Features(layout, (torch.where(long, request.param, features.value),), features.lengths)

    monkeypatch.setattr(Words, "forward_from_cut", forward_from_cut)


@pytest.fixture
def overflowing_to_nan(monkeypatch):
    """The same with NaN alone, for what takes longer."""
    computed = Words.forward_from_cut

    def forward_from_cut(self, cut, state, layout):
        features = computed(self, cut, state, layout)
        long = (state.lengths["element"] == 9).view(-1, *[1] * (features.value.dim() - 1))
        return Features(layout, (torch.where(long, torch.nan, features.value),), features.lengths)

    monkeypatch.setattr(Words, "forward_from_cut", forward_from_cut)


@pytest.fixture
def out(tmp_path):
    """An empty folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def rows_with(places, count=12, **more):
    """Labelled rows, with long texts at some places."""
    rows = sentences(count) | more
    rows["text"] = [LONG if row in places else text for row, text in enumerate(rows["text"])]
    return rows


TARGETS = {
    "classification": lambda rows: rows["label"],
    "regression": lambda rows: [len(text) * 1.5 for text in rows["text"]],
    "multi-label": lambda rows: [[label, "b"] if row % 2 else [label] for row, label in enumerate(rows["label"])],
    "element-classification": lambda rows: [["x", "y"][: 1 + row % 2] * 9 for row in range(len(rows["text"]))],
}


def fitted(head="classification", rows=None, strategy=FULL, **given):
    rows = dict(rows or sentences())
    if head == "element-classification":
        rows["label"] = [["x" if index % 2 else "y" for index in range(len(text.split()))] for text in rows["text"]]
    else:
        rows["label"] = TARGETS[head](rows)
    model = tg.compose("small-words", head, strategy)
    model.fit(rows, target="label", training={"batch_size": 8, "epochs": 1}, quiet=True, **given)
    return model


def same(values, expected):
    """Compare predictions; numbers of other batches differ by rounding."""
    return list(values) == [pytest.approx(one) if isinstance(one, float) else one for one in expected]


def refusal(call, *args, **named):
    with pytest.raises(InvalidRows) as caught:
        call(*args, quiet=True, **named)
    return str(caught.value)


# --- predict


@pytest.mark.parametrize("head", list(TARGETS))
def test_every_head_refuses_to_predict_for_such_a_row(head, overflowing):
    model = fitted(head)
    expected = f"the data, row 2: {PREDICTION}. 2 of 12 rows are like this (rows 2, 7).\n{ADVICE}"
    assert refusal(model.predict, rows_with({2, 7})) == expected
    if head != "regression":
        assert refusal(model.predict_proba, rows_with({2, 7})) == expected


@pytest.mark.parametrize("head", list(TARGETS))
def test_the_other_rows_keep_their_predictions(head, overflowing):
    model, others = fitted(head), rows_with(())
    expected = list(model.predict(others, quiet=True))
    null = model.predict(rows_with({2, 7}), quiet=True, on_bad_row="null")
    assert same(null, [None if row in (2, 7) else value for row, value in enumerate(expected)])
    assert null.reasons == {2: PREDICTION, 7: PREDICTION}
    skipped = model.predict(rows_with({2, 7}), quiet=True, on_bad_row="skip")
    assert same(skipped, [value for row, value in enumerate(expected) if row not in (2, 7)])
    assert list(skipped.rows) == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]


def test_rows_without_any_finite_prediction_are_refused_also_where_they_would_be_skipped(overflowing_to_nan):
    model = fitted()
    message = refusal(model.predict, {"text": [LONG, LONG]}, on_bad_row="skip")
    assert message == f"the data, row 0: {PREDICTION}. 2 of 2 rows are like this (rows 0, 1).\n{ADVICE}"
    assert list(model.predict({"text": [LONG, LONG]}, on_bad_row="null", quiet=True)) == [None, None]


def written(path):
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: text or None for name, text in row.items()} for row in csv.DictReader(StringIO(path.read_text()))]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("head", ["classification", "regression"])
def test_no_file_holds_such_a_prediction(out, head, suffix, overflowing_to_nan):
    model, path = fitted(head), out / f"out{suffix}"
    more = {} if head == "regression" else {"probabilities": True}
    message = refusal(model.predict_to, rows_with({2, 7}), path, **more)
    assert message == f"the data, row 2: {PREDICTION}. 2 of 12 rows are like this (rows 2, 7).\n{ADVICE}"
    assert list(out.iterdir()) == []
    for on_bad_row, count in (("null", 12), ("skip", 10)):
        model.predict_to(rows_with({2, 7}), path, on_bad_row=on_bad_row, overwrite=True, quiet=True, **more)
        table = written(path)
        assert len(table) == count
        assert "nan" not in str(table).lower()
        empty = [row for row, line in enumerate(table) if line["prediction"] is None]
        assert empty == ([2, 7] if on_bad_row == "null" else [])
        if on_bad_row == "null":
            assert table[2]["reason"] == PREDICTION
            assert all(value is None for name, value in table[2].items() if name.startswith("probability"))


# --- evaluate


def test_an_evaluation_names_the_rows_or_leaves_them_out(overflowing):
    model = fitted()
    expected = f"the data, row 2: {PREDICTION}. 2 of 12 rows are like this (rows 2, 7).\n{FIX_OR_SKIP}"
    assert refusal(model.evaluate, rows_with({2, 7})) == expected
    skipped = model.evaluate(rows_with({2, 7}), quiet=True, settings={"on_bad_row": "skip"})
    rows = rows_with(())
    kept = {name: [value for row, value in enumerate(values) if row not in (2, 7)] for name, values in rows.items()}
    assert skipped.rows == 10
    assert dict(skipped) == dict(model.evaluate(kept, quiet=True))
    assert skipped.intervals == model.evaluate(kept, quiet=True).intervals
    assert skipped.notes[f"skipped, since {PREDICTION}"] == 2


# --- features


def test_features_name_the_rows_or_leave_them_out(overflowing):
    advice = 'Fix these rows, or leave them out: on_bad_row = "skip" (--on-bad-row skip).'
    expected = f"the data, row 2: {FEATURES}. 2 of 12 rows are like this (rows 2, 7).\n{advice}"
    texts, others = {"text": rows_with({2, 7})["text"]}, {"text": rows_with(())["text"]}
    for layout in ("vector", "sequence"):
        given = {"inputs": "text", "layout": layout, "quiet": True}
        with pytest.raises(InvalidRows) as caught:
            tg.extract_features("small-words", texts, **given)
        assert str(caught.value) == expected
        whole = list(tg.extract_features("small-words", others, **given))
        rest = list(tg.extract_features("small-words", texts, on_bad_row="skip", **given))
        kept = [one for row, one in enumerate(whole) if row not in (2, 7)]
        assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(rest, kept, strict=True))


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_no_file_of_features_holds_such_a_row(out, suffix, overflowing_to_nan):
    texts, path = {"text": rows_with({2, 7, 11})["text"]}, out / f"out{suffix}"
    with pytest.raises(InvalidRows):
        tg.extract_features_to("small-words", texts, path, inputs="text", quiet=True)
    assert list(out.iterdir()) == []
    result = tg.extract_features_to(
        "small-words", texts, path, inputs="text", on_bad_row="skip", quiet=True, batch_size=4
    )
    assert result.rows == 9
    if suffix == ".parquet":
        table = parquet.read_table(path).to_pydict()
        assert table["row"] == [0, 1, 3, 4, 5, 6, 8, 9, 10]
        assert np.isfinite(table["features"]).all()
    else:
        assert np.isfinite(np.load(path)["features"]).all()


# --- fit


@pytest.mark.parametrize("strategy", ["linear-probe", FULL])
def test_a_fit_names_validation_rows(strategy, overflowing_to_nan):
    with pytest.raises(InvalidRows) as caught:
        fitted(strategy=strategy, validation=rows_with({3}))
    reason, advice = (FEATURES, "Fix these rows, or take them out of the data.")
    if strategy == FULL:
        reason, advice = PREDICTION, FIX_OR_SKIP
    assert str(caught.value) == f"the validation data, row 3: {reason}.\n{advice}"


def test_a_fit_that_skips_invalid_rows_evaluates_the_other_validation_rows(overflowing_to_nan):
    rows = rows_with({3})
    model = tg.compose("small-words", "classification", FULL)
    report = model.fit(
        sentences(), target="label", validation=rows, on_bad_row="skip", training={"epochs": 1}, quiet=True
    )
    kept = {name: [value for row, value in enumerate(values) if row != 3] for name, values in rows.items()}
    assert report.metrics.rows == 11
    assert dict(report.metrics) == dict(model.evaluate(kept, quiet=True))


def test_early_stopping_never_keeps_an_epoch_without_finite_predictions(tmp_path, monkeypatch):
    """The first epoch overflows: with a loss that compares as NaN does, it would stay the best one."""
    computed, passes = Words.forward_from_cut, []

    def forward_from_cut(self, cut, state, layout):
        features = computed(self, cut, state, layout)
        long = bool((state.lengths["element"] == 9).any())
        passes.append(long)
        return (
            features if not long or passes.count(True) > 1 else replace(features, values=(features.value * torch.nan,))
        )

    monkeypatch.setattr(Words, "forward_from_cut", forward_from_cut)
    model = tg.compose("small-words", "classification", FULL)
    training = {"epochs": 3, "patience": 3}
    run = tmp_path / "run"
    rows = {"text": [LONG] * 4, "label": ["a", "b", "a", "b"]}
    model.fit(sentences(), target="label", validation=rows, on_bad_row="skip", training=training, run=run, quiet=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert losses[0] is None
    assert all(loss > 0 for loss in losses[1:])
    assert model.fitted.chosen["epoch"] > 1


def test_validation_rows_that_only_the_end_finds_do_not_lose_the_fit(overflowing_to_nan, capfd):
    """No more validation rows are evaluated after an epoch than there are training rows; the end predicts all of them."""
    model = tg.compose("small-words", "classification", FULL)
    rows = rows_with({7}, 12)
    report = model.fit(sentences(4), target="label", validation=rows, training={"epochs": 1})
    assert report.metrics == {}
    expected = (
        "The model is fitted, but its validation rows could not be evaluated. the validation data, row 7: "
        f"{PREDICTION}.\n{FIX_OR_SKIP}\n"
    )
    assert expected in capfd.readouterr().err
    assert len(model.predict(sentences(4), quiet=True)) == 4


def test_a_fit_names_training_rows_whose_cached_features_are_not_finite(overflowing_to_nan):
    with pytest.raises(InvalidRows) as caught:
        fitted(rows=rows_with({4}, 24), strategy="linear-probe")
    assert str(caught.value) == f"the training data, row 4: {FEATURES}.\nFix these rows, or take them out of the data."


def test_soft_labels_of_a_teacher_are_finite(tmp_path, overflowing_to_nan):
    teacher = str(fitted().save(tmp_path / "teacher"))
    student = {"name": "distill", "teacher": teacher, "learning_rate": 1e-2}
    reason = f"the teacher cannot use it: {PREDICTION}"
    with pytest.raises(InvalidRows) as caught:
        fitted(rows=rows_with({4}, 24), strategy=student)
    assert str(caught.value) == f"the training data, row 4: {reason}.\n{FIX_OR_SKIP}"


# --- baselines


def test_a_baseline_that_predicts_nan_is_left_out_or_refused(monkeypatch):
    from taskgraft.builtin import baselines

    model, rows = fitted("regression"), rows_with(())
    rows["label"] = TARGETS["regression"](rows)
    predicted = baselines.predict_mean

    def planted(state, inputs, elements, config):
        values = predicted(state, inputs, elements, config).values
        return Predictions([*values[:-1], float("nan")])

    from taskgraft.discovery.catalog import catalog

    monkeypatch.setattr(baselines, "predict_mean", planted)
    catalog.cache_clear()
    evaluation = model.evaluate(rows, quiet=True)
    assert evaluation.baselines == {}
    problem = "The baseline 'mean' predicts NaN or infinity for 1 of 12 rows (row 11 first)"
    assert list(evaluation.notes) == [f"the baseline 'mean' was left out: it raised EvaluationError ({problem})"]
