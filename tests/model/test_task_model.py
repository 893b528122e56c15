import random
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch
from backbones import TABLE, Words, WordsProcessor
from small_tasks import (
    PARTS,
    Planned,
    assert_same_bits,
    classification,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)

import taskgraft as tg
from taskgraft.adaptation.insertion import InvalidInsertion
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import ConfigError, parse_config
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import Insertion
from taskgraft.contract.processor import ProcessedBatch, Processor
from taskgraft.contract.rows import InvalidRows, MissingColumn, Rows
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.inference.errors import NoProbabilities
from taskgraft.model.fit import ModelError
from taskgraft.reading.errors import DataError
from taskgraft.recipe import Recipe

ADVICE = 'Fix these rows, or drop them with data.on_bad_row = "skip".'
PROBE = {"name": "linear-probe", "penalty": 1e-3}


def composed(head: Any = "classification", backbone: Any = None) -> tg.TaskModel:
    return tg.compose(backbone or words(), head, PROBE)


def fitted(head: Any = "classification", rows: Any = None, target: Any = "label", **options: Any) -> tg.TaskModel:
    model = composed(head)
    model.fit(rows if rows is not None else sentences(), target=target, quiet=True, **options)
    return model


@pytest.fixture(scope="module")
def model() -> tg.TaskModel:
    """Classifies texts; not changed by any test."""
    return fitted()


# --- fit


def test_a_fit_evaluates_the_validation_rows():
    run = composed().fit(sentences(), validation=sentences(12, seed=1), target="label", quiet=True)
    assert set(run.metrics) >= {"accuracy", "f1_macro", "auroc"}
    assert all(-1 <= number <= 1 for number in run.metrics.values())
    assert run.seconds > 0
    assert [report.name for report in run.stages] == ["linear-probe"]


def test_a_fit_without_validation_has_no_metrics():
    assert composed().fit(sentences(), target="label", quiet=True).metrics == {}


def test_files_and_dataframes_train_alike(tmp_path):
    pd.DataFrame(sentences()).to_csv(tmp_path / "train.csv", index=False)
    one, other, third = (fitted(rows=rows) for rows in (tmp_path / "train.csv", pd.DataFrame(sentences()), sentences()))
    assert one.predict_proba(["where is my card"]) == other.predict_proba(["where is my card"])
    assert one.predict_proba(["where is my card"]) == third.predict_proba(["where is my card"])


def test_the_recipe_is_complete_once_fitted(model):
    assert model.recipe.data.inputs == {"text": "text"}
    assert model.recipe.data.target == ("label",)
    assert model.recipe.training.batch_size == 32


def test_settings_that_a_backbone_completes_from_the_data_are_in_the_recipe(small_plugin_installed):
    model = tg.compose("small-table", "classification", PROBE)
    rows = {name: list(values) * 2 for name, values in TABLE.inputs.items()} | {"label": list("abbaab") * 2}
    model.fit(rows, target="label", quiet=True)
    assert model.recipe.backbone.settings["columns"] == list(TABLE.inputs)
    assert len(model.predict(rows)) == 12


def test_a_column_of_another_name_can_be_read():
    rows = {"message" if name == "text" else name: values for name, values in sentences().items()}
    model = fitted(rows=rows, inputs="message")
    assert model.predict({"message": ["where is my card"]}) == model.predict(["where is my card"])


def test_a_second_fit_starts_over():
    model = composed()
    model.fit(sentences(), target="label", quiet=True)
    before = weights(model)
    model.fit({"text": ["a b", "c d", "e"] * 4, "label": ["x", "y", "x"] * 4}, target="label", quiet=True)
    assert model.predict(["a b"]) == ["x"]
    assert before["head.readout.bias"].shape == (3,)


class Scaled(torch.nn.Module):
    def __init__(self, wrapped: torch.nn.Module):
        super().__init__()
        self.wrapped, self.factor = wrapped, torch.nn.Parameter(torch.ones(()))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.wrapped(value) * self.factor


SCALING = training_stage(insertions=(Insertion("scale", PARTS[1:], frozenset({LayerRole.QUERY}), Scaled, 1e-2),))


def test_a_second_fit_does_not_insert_twice():
    backbone = words()
    model = tg.compose(backbone, classification(), Planned(SCALING))
    for _ in range(2):
        model.fit(sentences(), target="label", quiet=True)
    assert isinstance(backbone.blocks[0].query.wrapped, torch.nn.Linear)


def test_a_fit_that_fails_leaves_nothing_inserted():
    backbone = words()
    keys = list(backbone.state_dict())
    wrong = training_stage(name="second", insertions=(Insertion("none", PARTS, frozenset(), Scaled, 1e-2),))
    with pytest.raises(InvalidInsertion):
        trained(backbone, SCALING, wrong)
    assert list(backbone.state_dict()) == keys


class Cutting(Words):
    """Reads at most three words, and reports truncation."""

    @property
    def processor(self) -> Processor:
        return CuttingProcessor()


class CuttingProcessor(WordsProcessor):
    def prepare(self, inputs: Columns) -> ProcessedBatch:
        whole = super().prepare(inputs)
        cut = sum(count > 3 for count in whole.elements)
        short = super().prepare({"text": [" ".join(text.split()[:3]) for text in inputs["text"]]})
        return ProcessedBatch(short.batch, whole.invalid, {"cut to 3 words": cut} if cut else {}, whole.elements)


def test_notes_about_the_rows_are_reported():
    run = composed(backbone=Cutting().eval()).fit(sentences(), target="label", quiet=True)
    assert run.notes == {"cut to 3 words": sum(len(text.split()) > 3 for text in sentences()["text"])}


def test_notes_about_the_rows_are_printed(capfd):
    composed(backbone=Cutting().eval()).fit(sentences(), target="label")
    assert "cut to 3 words: 12 of 24 training rows" in capfd.readouterr().err


def test_a_quiet_fit_prints_nothing(capfd):
    composed(backbone=Cutting().eval()).fit(sentences(), target="label", quiet=True)
    assert capfd.readouterr() == ("", "")


# --- fit with a recipe


def recipe_on_files(folder, **data: Any) -> Recipe:
    """A recipe for a linear probe, its data in two files."""
    pd.DataFrame(sentences()).to_csv(folder / "train.csv", index=False)
    pd.DataFrame(sentences(12, seed=1)).to_csv(folder / "valid.csv", index=False)
    paths = {"train": str(folder / "train.csv"), "validation": str(folder / "valid.csv")}
    settings = {"data": paths | {"target": "label"} | data, "training": {"seed": 3, "batch_size": 8}}
    return parse_config(Recipe, {"backbone": "unused", "head": "unused", "strategy": "unused"} | settings, "recipe")


def test_a_fit_with_a_recipe_equals_a_fit_with_its_settings(tmp_path):
    recipe = recipe_on_files(tmp_path)
    one, other = composed(), composed()
    report = one.fit_recipe(recipe, quiet=True)
    files = {"train": tmp_path / "train.csv", "validation": tmp_path / "valid.csv"}
    same = other.fit(**files, target="label", training={"seed": 3, "batch_size": 8}, quiet=True)
    assert report.metrics == same.metrics
    assert_same_bits(weights(one), weights(other))
    assert one.recipe == other.recipe
    assert (one.recipe.data.train, one.recipe.backbone.object) == (str(tmp_path / "train.csv"), "backbones.Words")


def test_a_fit_with_a_recipe_takes_rows_in_place_of_its_data(tmp_path):
    recipe = recipe_on_files(tmp_path)
    model = composed()
    report = model.fit_recipe(recipe, train=sentences(30, seed=2), validation=sentences(6, seed=3), quiet=True)
    assert report.metrics.rows == 6
    assert model.recipe.data.validation == recipe.data.validation


def test_a_fit_with_a_recipe_holds_out_rows_by_its_split(tmp_path):
    recipe = recipe_on_files(tmp_path, validation=None, split="fraction:0.25")
    assert composed().fit_recipe(recipe, quiet=True).metrics.rows == 6


def test_a_fit_with_a_recipe_without_a_target_is_rejected(tmp_path):
    with pytest.raises(ModelError) as caught:
        composed().fit_recipe(recipe_on_files(tmp_path, target=[]), quiet=True)
    assert str(caught.value) == "No target column was named. Name the column to predict with target=…."


# --- predict


def test_a_prediction_is_a_label_per_row(model):
    assert model.predict(sentences(5)["text"]) == model.predict(sentences(5))
    assert set(model.predict(sentences(20)["text"])) <= {"a", "b", "c"}


def test_probabilities_are_by_label_and_add_up_to_one(model):
    for row, label in zip(model.predict_proba(sentences()), model.predict(sentences()), strict=True):
        assert set(row) == {"a", "b", "c"}
        assert sum(row.values()) == pytest.approx(1, abs=1e-5)
        assert max(row, key=row.get) == label


def test_predictions_come_in_the_order_of_the_rows(model):
    texts = sentences(40, seed=3)["text"]
    together = model.predict_proba(texts, batch_size=7)
    for text, row in zip(texts, together, strict=True):
        assert model.predict_proba([text])[0] == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize("nothing", [[], {"text": []}])
def test_no_rows_have_no_predictions(model, nothing):
    assert model.predict(nothing) == []
    assert model.predict_proba(nothing) == []


def test_several_labels_are_a_list_with_a_probability_each():
    rows = sentences() | {"tags": ["wet|cold", "cold", ""] * 8}
    model = fitted("multi-label", rows, "tags")
    assert all(set(labels) <= {"wet", "cold"} for labels in model.predict(rows))
    assert set(model.predict_proba(rows)[0]) == {"wet", "cold"}
    assert set(model.evaluate(rows)) >= {"precision_macro", "recall_macro", "f1_macro", "f1_micro"}


def test_one_number_is_a_number_and_several_are_a_list():
    rows = sentences() | {"price": list(range(24)), "weight": [row * 0.1 for row in range(24)]}
    assert isinstance(fitted("regression", rows, "price").predict(rows)[0], float)
    assert len(fitted("regression", rows, ["price", "weight"]).predict(rows)[0]) == 2


def test_a_label_per_element_is_a_list_as_long_as_the_input():
    rows = sentences() | {"tags": [["xy"[len(word) % 2] for word in text.split()] for text in sentences()["text"]]}
    model = fitted("element-classification", rows, "tags")
    for text, labels, each in zip(rows["text"], model.predict(rows), model.predict_proba(rows), strict=True):
        assert len(labels) == len(each) == len(text.split())
        assert set(each[0]) == {"x", "y"}


def test_truncated_elements_are_predicted_none_and_count_as_wrong():
    texts = ["one two", "three four five six seven"] * 8
    rows = {"text": texts, "tags": [["x" if word[0] in "ot" else "y" for word in text.split()] for text in texts]}
    model = composed("element-classification", Cutting().eval())
    model.fit(rows, target="tags", quiet=True)
    assert [label is None for label in model.predict(rows)[1]] == [False] * 3 + [True] * 2
    assert model.evaluate(rows)["accuracy"] <= 5 / 7 + 1e-6


def test_images_are_predicted_from_a_plain_list_too():
    model = composed(backbone=pictures())
    model.fit(images(), target="label", quiet=True)
    assert len(model.predict(images()["image"])) == 16


# --- evaluate


def test_an_evaluation_equals_the_metrics_of_the_fit():
    model = composed()
    run = model.fit(sentences(), validation=sentences(12, seed=1), target="label", quiet=True)
    assert model.evaluate(sentences(12, seed=1)) == run.metrics


def test_a_metric_can_be_named(model):
    assert model.evaluate(sentences(), metrics=["classification"]) == model.evaluate(sentences())


def test_an_evaluation_has_intervals_and_the_metrics_of_the_baseline(model):
    found = model.evaluate(sentences(12, seed=1), resamples=50)
    low, high = found.intervals["accuracy"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    assert (found.rows, found.resamples, found.groups) == (12, 50, None)
    assert found.baselines["majority"].keys() == found.keys()
    assert found.baselines["majority"]["auroc"] == 0.5


def test_a_fit_has_intervals_and_baselines_too():
    run = composed().fit(sentences(), validation=sentences(12, seed=1), target="label", quiet=True)
    assert run.metrics.intervals.keys() <= run.metrics.keys()
    assert run.metrics.baselines.keys() == {"majority"}


def test_rows_of_a_group_are_resampled_together(model):
    rows = sentences(12, seed=1) | {"writer": ["one"] * 6 + ["two"] * 6}
    found = model.evaluate(rows, groups="writer")
    assert found.groups == "writer"
    assert found.intervals != model.evaluate(rows).intervals


def test_a_missing_group_column_is_reported(model):
    with pytest.raises(MissingColumn) as caught:
        model.evaluate(sentences(12), groups="labels")
    assert str(caught.value) == "the data has no column 'labels'. Did you mean 'label'? Columns: text, label."


def test_a_negative_number_of_resamples_is_rejected(model):
    with pytest.raises(EvaluationError) as caught:
        model.evaluate(sentences(12), resamples=-1)
    assert str(caught.value) == (
        "resamples is -1. Give a whole number of at least 0; 0 gives no intervals, 1000 is usual."
    )


def test_a_metric_for_another_kind_of_target_is_rejected(model):
    with pytest.raises(EvaluationError) as caught:
        model.evaluate(sentences(), metrics=["regression"])
    assert str(caught.value) == "The metric 'regression' cannot evaluate what 'classification' predicts."


# --- errors


@pytest.mark.parametrize(
    ("wish", "act"),
    [
        ("predict", lambda model: model.predict(["a"])),
        ("predict", lambda model: model.predict_proba(["a"])),
        ("evaluate", lambda model: model.evaluate(sentences())),
        ("be saved", lambda model: model.save("nowhere")),
    ],
)
def test_a_model_that_is_not_fitted_is_rejected(wish, act):
    with pytest.raises(ModelError) as caught:
        act(composed())
    assert str(caught.value) == (f"This model is not fitted, so it cannot {wish}. Call fit first, or load an artifact.")


def test_a_fit_without_a_target_is_rejected():
    with pytest.raises(ModelError) as caught:
        composed().fit(sentences())
    assert str(caught.value) == "No target column was named. Name the column to predict with target=…."


def test_an_unknown_training_setting_is_rejected():
    with pytest.raises(ConfigError) as caught:
        composed().fit(sentences(), target="label", training={"epoch": 3})
    assert str(caught.value).startswith("training: there is no setting 'epoch'. Did you mean 'epochs'? Settings: ")


def test_a_missing_target_column_is_reported():
    with pytest.raises(MissingColumn) as caught:
        composed().fit(sentences(), target="lable", quiet=True)
    assert str(caught.value) == "the training data has no column 'lable'. Did you mean 'label'? Columns: text, label."


def test_empty_data_are_rejected(tmp_path):
    (tmp_path / "valid.csv").write_text("text,label\n")
    with pytest.raises(DataError) as caught:
        composed().fit(sentences(), validation=tmp_path / "valid.csv", target="label", quiet=True)
    assert str(caught.value) == "valid.csv has columns but no rows."


def problem(tmp_path, train: str, validation: str | None = None, head: Any = "classification") -> str:
    (tmp_path / "train.csv").write_text(train)
    (tmp_path / "valid.csv").write_text(validation or train)
    with pytest.raises(InvalidRows) as caught:
        composed(head).fit(tmp_path / "train.csv", validation=tmp_path / "valid.csv", target="label", quiet=True)
    return str(caught.value)


def test_an_empty_label_is_reported_with_its_line(tmp_path):
    message = problem(tmp_path, 'text,label\n"a\nb",x\nc,\nd,y\ne,\n')
    assert message == (
        "train.csv, line 4: the target column 'label' is empty. 2 of 4 rows are like this (lines 4, 6).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_an_empty_input_is_reported_with_its_line(tmp_path):
    assert problem(tmp_path, "text,label\na,x\n,y\n") == ("train.csv, line 3: the text is empty.\n" + ADVICE)


def test_a_label_that_only_validation_has_is_reported_with_its_line(tmp_path):
    assert problem(tmp_path, "text,label\na,x\nb,y\n", "text,label\na,x\nb,z\n") == (
        "valid.csv, line 3: the label 'z' does not occur in the training split, which has 'x', 'y'.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_value_that_is_not_a_number_is_reported_with_its_line(tmp_path):
    assert problem(tmp_path, "text,label\na,1\nb,many\n", head="regression") == (
        "train.csv, line 3: the target column 'label' is 'many', not a number.\n" + ADVICE
    )


def test_a_wrong_number_of_element_labels_is_reported_with_its_line(tmp_path):
    assert problem(tmp_path, "text,label\na b,x y\nc,x y\n", head="element-classification") == (
        "train.csv, line 3: 'label' has 2 labels for 1 elements.\n" + ADVICE
    )


def test_probabilities_of_a_head_without_them_are_rejected():
    rows = sentences() | {"price": list(range(24))}
    with pytest.raises(NoProbabilities) as caught:
        fitted("regression", rows, "price").predict_proba(rows)
    assert str(caught.value) == "'regression' predicts without probabilities. Ask for the predictions alone."


def test_a_plain_list_for_several_inputs_is_rejected():
    model = composed(backbone=TABLE.build())
    rows: Mapping[str, Any] = {name: list(values) for name, values in TABLE.inputs.items()} | {"label": list("abbaab")}
    model.fit(rows, target="label", quiet=True)
    with pytest.raises(DataError) as caught:
        model.predict([1, 2])
    assert str(caught.value) == (
        "A plain list was given. The model reads amount, age, balance: pass a list of dicts, or a table."
    )


@pytest.mark.parametrize(("target", "shown"), [(5, "5"), (None, "None"), ([None], "[None]")])
def test_a_target_that_is_not_a_column_name_is_rejected(target, shown):
    with pytest.raises(ModelError) as caught:
        composed().fit(sentences(), target=target, quiet=True)
    assert str(caught.value) == (f"The target is {shown}, not a column name. Name the column to predict with target=….")


def test_a_single_text_is_a_list_of_one():
    model = trained(words(), training_stage("block-1"))
    assert model.predict("I lost my card") == model.predict(["I lost my card"])


def test_a_folder_is_data_to_predict_for(tmp_path):
    import datasets

    model = trained(words(), training_stage("block-1"))
    texts = sentences(3)["text"]
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(tmp_path / "saved")
    datasets.enable_progress_bars()
    assert model.predict(str(tmp_path / "saved")) == model.predict(texts)


def test_notes_of_a_reader_are_reported_by_every_method(tmp_path, capfd):
    table = pa.table({"text": ["good day", "bad night"] * 6, "label": ["a", "b"] * 6})
    rows = Rows(table, "train.csv", remarks={"the customer is new": [0, 1, 11]})
    model = composed()
    assert model.fit(rows, target="label").notes == {"the customer is new": 3}
    assert "the customer is new: 3 of 12 training rows\n" in capfd.readouterr().err
    for use in (model.evaluate, model.predict, lambda data: model.predict_to(data, tmp_path / "out.csv")):
        use(rows)
        assert capfd.readouterr().err.count("the customer is new: 3 of 12 rows\n") == 1


def test_invalid_rows_are_skipped_on_request(tmp_path, capfd):
    (tmp_path / "train.csv").write_text("text,label\n" + "good day,a\nbad night,b\n" * 6 + "late,\n,a\nlost\n")
    model = composed()
    run = model.fit(tmp_path / "train.csv", target="label", on_bad_row="skip")
    assert run.notes == {
        "skipped, since the row has 1 value, but the header names 2 columns": 1,
        "skipped, since the target column 'label' is empty": 1,
        "skipped, since the text is empty": 1,
    }
    output = capfd.readouterr().err
    assert "skipped, since the target column 'label' is empty: 1 of 15 training rows\n" in output
    evaluation = model.evaluate(tmp_path / "train.csv")
    assert evaluation.rows == 12
    assert "skipped, since the text is empty: 1 of 15 rows\n" in capfd.readouterr().err
    with pytest.raises(InvalidRows) as caught:
        model.predict(tmp_path / "train.csv")
    assert str(caught.value) == (
        "train.csv, line 16: the row has 1 value, but the header names 2 columns.\n"
        'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
        "leaves them out."
    )


def test_the_column_of_a_split_is_not_an_input(small_plugin_installed):
    chance = random.Random(0)
    numbers = {name: [chance.random() for _ in range(30)] for name in ("a", "b")}
    label = ["x" if one > other else "y" for one, other in zip(numbers["a"], numbers["b"], strict=True)]
    rows = numbers | {"part": ["train"] * 24 + ["dev"] * 6, "label": label}
    model = tg.compose("small-table", "classification", PROBE)
    run = model.fit(rows, split="column:part", target="label", quiet=True)
    assert model.recipe.data.columns == {"a": "a", "b": "b"}
    assert run.metrics.rows == 6
    assert model.predict([{"a": 1.0, "b": 0.0}])[0] in "xy"
