"""Pretraining on rows without labels: masks, their seeds, and what is learned."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from cells import Cells, cells_rows
from commands import typed
from small_tasks import PARTS, Planned, assert_same_bits, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.builtin.heads.configs import MaskedElementsConfig
from taskgraft.builtin.heads.masked_elements import MaskedElements
from taskgraft.composition.resolve import CompositionError
from taskgraft.contract.features import ELEMENT_AXIS
from taskgraft.contract.masking import CATEGORY
from taskgraft.contract.plan import HeadSolver
from taskgraft.contract.rows import Rows
from taskgraft.data.examples import EncodedDataset, EpochSeed, iter_training_batches
from taskgraft.data.masking import FIXED_MASK, ElementMasking, FixedMaskRows
from taskgraft.data.on_the_fly import OnTheFlyInputs
from taskgraft.errors import TaskgraftError
from taskgraft.model.fit import ModelError
from taskgraft.reading.errors import DataError
from taskgraft.storage.manifest import MANIFEST
from taskgraft.training.frozen_features import AUGMENTATION_OFF

TEXTS = {"text": sentences(24)["text"]}
HELD = {"text": sentences(12, seed=1)["text"]}


def pretrained(backbone=None, *stages, strategy=None, rows=TEXTS, quiet=True, run=None, validation=None, **training):
    model = tg.compose(
        backbone or words(), "masked-elements", strategy or Planned(*(stages or (training_stage(*PARTS),)))
    )
    settings = {"batch_size": 5} | training
    model.fit(rows, validation=validation, training=settings, quiet=quiet, run=run, resume=run is not None)
    return model


def examples() -> EncodedDataset:
    """A training data set of sentences with masked words."""
    import pyarrow as pa

    head, backbone = MaskedElements(MaskedElementsConfig()), words()
    masking = ElementMasking(
        OnTheFlyInputs(Rows(pa.table(TEXTS), "texts"), {"text": "text"}, backbone),
        backbone.processor,
        head.choose_masked,
        head.choose_scored,
    )
    masked = FixedMaskRows(masking)
    return EncodedDataset(masked, masked, masking)


# --- masks


def test_the_mask_of_a_training_example_depends_on_seed_epoch_and_row_and_not_on_its_batch():
    (alone,), (among,) = (list(iter_training_batches(examples(), [rows], EpochSeed(3, 1))) for rows in ([9], [4, 9, 6]))
    (row,) = alone.inputs.unbind()
    assert row["words"].equal(among.inputs.unbind()[1]["words"])
    assert alone.targets.unbind()[0][CATEGORY].equal(among.targets.unbind()[1][CATEGORY])


def test_another_epoch_or_seed_gives_another_mask():
    rows = list(range(24))
    turns = (EpochSeed(3, 1), EpochSeed(3, 1), EpochSeed(3, 2), EpochSeed(4, 1))
    first, again, epoch, seed = (next(iter_training_batches(examples(), [rows], turn)) for turn in turns)
    assert first.inputs["words"].equal(again.inputs["words"])
    assert not first.inputs["words"].equal(epoch.inputs["words"])
    assert not first.inputs["words"].equal(seed.inputs["words"])


def test_the_mask_of_evaluation_is_fixed_and_inputs_fit_targets():
    found = examples()
    inputs, targets = found.inputs.gather([7, 2]), found.targets.select([7, 2])
    assert inputs["words"].equal(found.inputs.gather([2, 7]).select([1, 0])["words"])
    assert ((inputs["words"] == 0) & inputs.mask(ELEMENT_AXIS)).equal(targets[CATEGORY] >= 0)
    assert FIXED_MASK.seeds([7]) == EpochSeed(0, 0).seeds([7])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_does_not_change_a_bit(workers):
    assert_same_bits(weights(pretrained(workers=0)), weights(pretrained(workers=workers)))


def test_micro_batches_give_the_weights_of_whole_ones():
    stage = training_stage(*PARTS, rate=1e-3)
    whole, micro = (weights(pretrained(words(dropout=0.0), stage, **some)) for some in ({}, {"micro_batch": 2}))
    for name, tensor in whole.items():
        torch.testing.assert_close(
            micro[name], tensor, atol=1e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


class Stop(Exception):
    pass


def test_an_interrupted_run_is_resumed_to_the_same_bits(tmp_path):
    def stop(backbone, step):
        if step == 7:
            raise Stop

    with pytest.raises(Stop):
        pretrained(words(), training_stage(*PARTS, on_step_end=stop), run=tmp_path / "run", checkpoint_every=3)
    assert_same_bits(weights(pretrained(run=tmp_path / "run")), weights(pretrained()))


@pytest.mark.parametrize("cached", [True, False])
def test_where_frozen_features_are_cached_the_mask_is_fixed_and_that_is_reported(cached, capsys):
    stage = training_stage("block-1", rate=0.0, head_learning_rate=0.0, cache_features=cached)
    run = tg.compose(words(dropout=0.0), "masked-elements", Planned(stage)).fit(TEXTS)
    first, second = run.stages[0].losses
    assert (first == pytest.approx(second, abs=1e-4)) == cached
    assert (AUGMENTATION_OFF in capsys.readouterr().err.replace("\n", " ")) == cached


def test_a_linear_probe_runs_by_descent_on_cached_features():
    model = pretrained(words(), strategy="linear-probe")
    assert model.composition.plan[0].solve == HeadSolver.DESCENT
    assert {name.partition(".")[0] for name in model.fitted.trained} == {"head"}


# --- what is learned


@pytest.mark.slow
def test_masked_elements_are_recovered_better_than_by_their_mean():
    stage = training_stage("cells", "mixing", epochs=30)
    model = tg.compose(Cells(), "masked-elements", Planned(stage))
    found = model.fit(cells_rows(300), validation=cells_rows(200, seed=1), training={"batch_size": 16}, quiet=True)
    assert found.metrics["hidden_accuracy"] > 0.8
    assert found.metrics["hidden_r2"] > 0.2
    assert found.stages[0].losses[-1] < found.stages[0].losses[0] / 2


def test_evaluation_needs_no_labels_and_repeats_itself():
    model = pretrained(validation=HELD)
    assert dict(model.evaluate(HELD, quiet=True)) == model.fitted.metrics
    assert list(model.fitted.metrics) == ["hidden_accuracy"]


def test_validation_rows_can_be_held_out_by_share():
    run = tg.compose(words(), "masked-elements", "full").fit(TEXTS, validation=0.25, quiet=True)
    assert run.metrics.rows == 6


def test_early_stopping_compares_the_same_masked_elements():
    assert pretrained(validation=HELD, patience=1, epochs=3).fitted.metrics["hidden_accuracy"] >= 0


def test_columns_by_position_are_predicted_into_columns(tmp_path):
    model = pretrained(Cells(), training_stage("cells", "mixing"), rows=cells_rows())
    model.predict_to(cells_rows(3), tmp_path / "found.csv", quiet=True)
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["prediction_size", "prediction_span", "prediction_colour"]
    assert len(json.loads(rows[2]["prediction_span"])) == 2
    assert [float(row["prediction_size"]) for row in rows] == pytest.approx(
        [row["size"] for row in model.predict(cells_rows(3), quiet=True)], abs=1e-5
    )


def test_elements_of_one_kind_are_predicted_into_a_list(tmp_path):
    pretrained().predict_to({"text": ["where is it"]}, tmp_path / "found.jsonl", quiet=True)
    assert len(json.loads((tmp_path / "found.jsonl").read_text())["prediction"]) == 3


@pytest.mark.parametrize("make", [lambda: (words(), TEXTS), lambda: (Cells(), cells_rows())], ids=["words", "cells"])
def test_a_loaded_artifact_predicts_the_same_bits(tmp_path, make):
    backbone, rows = make()
    model = pretrained(backbone, strategy="full", rows=rows)
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact", backbone=make()[0]).predict(rows, quiet=True) == model.predict(
        rows, quiet=True
    )


# --- the base of another


@pytest.fixture
def base(tmp_path, small_plugin_installed):
    """The artifact of a pretrained backbone."""
    return pretrained("small-words", strategy="full").save(tmp_path / "base")


def fine_tuned(base, strategy="full"):
    model = tg.compose(f"small-words:{base}", "classification", strategy)
    model.fit(sentences(24), target="label", training={"batch_size": 8, "epochs": 1}, quiet=True)
    return model


def test_a_pretrained_artifact_is_the_base_of_another_task(base, tmp_path):
    start = {name: tensor for name, tensor in weights(tg.load(base)).items() if name.startswith("backbone.")}
    probe = fine_tuned(base, "linear-probe")
    assert_same_bits({name: weights(probe)[name] for name in start}, start)

    model = fine_tuned(base)
    model.save(tmp_path / "tuned")
    loaded = tg.load(tmp_path / "tuned")
    assert_same_bits(weights(loaded), weights(model))
    rows = {"text": sentences(8, seed=3)["text"]}
    assert loaded.predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)


def test_what_was_pretrained_is_part_of_the_fingerprint(base, tmp_path):
    fine_tuned(base).save(tmp_path / "tuned")
    other = pretrained("small-words", strategy="full", seed=1).save(tmp_path / "other")
    with pytest.raises(TaskgraftError) as caught:
        tg.load(tmp_path / "tuned", backbone=f"small-words:{other}")
    assert f"it was trained on another base than 'small-words:{other}' (" in str(caught.value)


def test_a_base_that_was_changed_is_rejected(base, tmp_path):
    fine_tuned(base).save(tmp_path / "tuned")
    manifest = base / MANIFEST
    manifest.write_text(manifest.read_text().replace('"word"', '"name"'))
    for use in (lambda: tg.load(tmp_path / "tuned"), lambda: fine_tuned(base)):
        with pytest.raises(TaskgraftError) as caught:
            use()
        assert str(caught.value) == (
            f"The artifact {base} cannot be used: its files do not match SHA256SUMS, so it is damaged or was changed."
        )


# --- what does not fit


def test_a_backbone_that_does_not_support_masking_is_rejected_before_it_is_built():
    class Open(type(words())):
        @property
        def description(self):
            return replace(super().description, can_mask=False)

    with pytest.raises(CompositionError) as caught:
        tg.compose(Open(), "masked-elements", "full")
    assert str(caught.value) == (
        "'masked-elements' predicts masked elements, but 'Open' does not support masking.\n"
        "Choose a backbone that does (some have a setting for it: taskgraft show NAME), or a head that is trained on a "
        "target column (classification, contact-map, element-classification, fraud, multi-label, regression)."
    )


def test_examples_that_are_mixed_cannot_be_recovered():
    class Mixing(type(words())):
        @property
        def description(self):
            return replace(super().description, mixes_examples=True)

    with pytest.raises(CompositionError):
        tg.compose(Mixing(), "masked-elements", "full")


def test_a_target_column_is_rejected():
    with pytest.raises(ModelError) as caught:
        tg.compose(words(), "masked-elements", "full").fit(sentences(), target="label", quiet=True)
    assert str(caught.value) == (
        "'masked-elements' predicts masked elements of the inputs, so it has no target column, but the target is "
        "'label'. Leave the target out; to exclude a column, name the inputs."
    )


def test_other_heads_still_require_a_target_column():
    with pytest.raises(ModelError):
        tg.compose(words(), "classification", "full").fit(sentences(), quiet=True)


def test_data_without_rows_are_rejected():
    with pytest.raises(DataError):
        pretrained(rows={"text": []})


# --- on the command line

RECIPE = """
backbone = "small-words"
head = {name = "masked-elements", share = 0.3}
strategy = "full"

[data]
train = "train.csv"
split = "fraction:0.25"

[training]
epochs = 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, small_plugin_installed):
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(sentences(40)["text"])])
    (tmp_path / "pretrain.toml").write_text(RECIPE)
    return tmp_path


def test_a_recipe_pretrains_evaluates_and_predicts(folder):
    fit = typed("fit", "pretrain.toml", "-q")
    assert (fit.code, fit.err) == (0, "")
    lines = fit.out.splitlines()
    assert lines[0].split() == ["metric", "value"]
    assert [line.split()[0] for line in lines[2:3]] == ["hidden_accuracy"]
    assert lines[3] == "10 rows."
    assert lines[4].startswith("No interval for hidden_accuracy: ")

    evaluated = json.loads(typed("evaluate", "pretrain", "train.csv", "--json", "-q").out)
    assert 0 <= evaluated["metrics"]["hidden_accuracy"]["value"] <= 1
    assert typed("predict", "pretrain", "train.csv", "-q").out.splitlines()[0] == "prediction"


def test_a_recipe_with_a_target_is_rejected(folder):
    done = typed("fit", "pretrain.toml", "--set", "data.target=id", "-q")
    assert (done.code, done.err) == (
        2,
        "Error: 'masked-elements' predicts masked elements of the inputs, so it has no target column, but the target is "
        "'id'. Leave the target out; to exclude a column, name the inputs.\n",
    )


def test_the_head_is_shown_with_what_it_predicts():
    shown = typed("show", "masked-elements", "--axis", "head")
    assert "Reads: sequence features. Predicts: inputs." in shown.out.splitlines()
