"""The scores of the validation rows after each epoch: printed, logged, and without any effect on training."""

import json

import pytest
from small_tasks import (
    PARTS,
    Planned,
    assert_same_bits,
    classification,
    fitted,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)

import taskgraft as tg
from taskgraft.builtin.heads.configs import RegressionConfig
from taskgraft.builtin.heads.regression import Regression
from taskgraft.training.epoch_validation import EpochScores

VALIDATION = sentences(12, seed=1)


def printed_fit(stage, capfd, rows=None, validation=VALIDATION, head=None, **options):
    model = tg.compose(words(), head or classification(), Planned(stage))
    training = {"batch_size": 8} | options.pop("training", {})
    report = model.fit(rows or sentences(), validation=validation, target="label", training=training, **options)
    return model, report, capfd.readouterr().err.splitlines()


def test_each_epoch_is_printed_with_the_loss_and_the_first_metric_of_the_validation_rows(capfd):
    model, report, lines = printed_fit(training_stage("block-1", epochs=3), capfd)
    (first, second, third) = (line for line in lines if ", epoch " in line)
    losses = [f"{loss:.4g}" for loss in report.stages[0].losses]
    held_out = [f"{loss:.4g}" for loss in report.stages[0].validation_losses]
    assert first.startswith(
        f"first, epoch 1 of 3: training loss {losses[0]}, validation loss {held_out[0]}, accuracy 0."
    )
    assert second.startswith(
        f"first, epoch 2 of 3: training loss {losses[1]}, validation loss {held_out[1]}, accuracy 0."
    )
    accuracy = model.evaluate(VALIDATION, quiet=True)["accuracy"]
    assert third == (
        f"first, epoch 3 of 3: training loss {losses[2]}, validation loss {held_out[2]}, accuracy {accuracy:.4g}"
    )


def test_the_scores_are_in_the_file_of_metrics(tmp_path, capfd):
    _, report, _ = printed_fit(training_stage("block-1", epochs=3), capfd, run=tmp_path / "run", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if "training_loss" in line]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert tuple(line["validation_loss"] for line in epochs) == report.stages[0].validation_losses
    assert epochs[-1]["validation_accuracy"] == report.metrics["accuracy"]


def test_a_head_for_numbers_shows_its_own_first_metric(capfd):
    rows, held_out = (
        {"text": some["text"], "label": [float(len(text)) for text in some["text"]]}
        for some in (sentences(), VALIDATION)
    )
    _, _, lines = printed_fit(
        training_stage("block-1", epochs=1), capfd, rows, held_out, Regression(RegressionConfig())
    )
    (line,) = (line for line in lines if ", epoch " in line)
    assert line.rpartition(", ")[2].startswith("mean_squared_error ")


def test_validation_changes_no_bit_of_the_weights():
    stage = training_stage(*PARTS, epochs=3)
    without = weights(trained(words(), stage))
    assert_same_bits(weights(trained(words(), stage, validation=VALIDATION)), without)


def test_without_validation_rows_nothing_is_printed_after_an_epoch(capfd):
    _, report, lines = printed_fit(training_stage("block-1"), capfd, validation=None)
    assert not [line for line in lines if ", epoch " in line]
    assert report.stages[0].validation_losses == ()


def test_of_many_validation_rows_no_more_are_evaluated_than_are_trained_on(capfd):
    _, _, lines = printed_fit(training_stage("block-1", epochs=1), capfd, validation=sentences(90, seed=1))
    (line,) = (line for line in lines if ", epoch " in line)
    assert line.endswith(" (24 of 90 validation rows)")


def test_early_stopping_evaluates_all_validation_rows(capfd):
    stage = training_stage("block-1", epochs=1, patience=1)
    _, _, lines = printed_fit(stage, capfd, validation=sentences(90, seed=1))
    (line,) = (line for line in lines if ", epoch 1" in line)
    assert "90" not in line.partition("accuracy")[2]


@pytest.mark.slow
def test_of_many_epochs_about_twenty_are_printed(capfd):
    _, report, lines = printed_fit(training_stage(epochs=50), capfd)
    shown = [line for line in lines if ", epoch " in line]
    assert len(shown) == 17
    assert shown[-1].startswith("first, epoch 50 of 50: ")
    assert len(report.stages[0].validation_losses) == 50


def test_steps_are_counted_as_epochs(capfd):
    stage = training_stage("block-1", epochs=None)
    _, _, lines = printed_fit(stage, capfd, training={"steps": 7, "batch_size": 8})
    assert [line.partition(":")[0] for line in lines if ", epoch " in line] == [
        "first, epoch 1 of 3",
        "first, epoch 2 of 3",
        "first, epoch 3 of 3",
    ]


def test_nothing_is_restored_if_the_last_epoch_is_the_best(capfd):
    _, report, lines = printed_fit(
        training_stage("block-1", epochs=2, patience=2, rate=1e-4), capfd, validation=sentences()
    )
    assert report.chosen == {"epoch": 2}
    assert not [line for line in lines if "restored" in line]


def test_early_stopping_says_which_epoch_it_kept(capfd):
    def away(head, output, targets, features):
        loss = head.loss(output, targets, features)
        return tg.LossSum(-loss.total, loss.weight)

    stage = training_stage("block-1", loss=away, epochs=9, patience=2)
    _, report, lines = printed_fit(stage, capfd, validation=sentences(16, seed=1))
    assert "first: restored the weights of epoch 1 of 3, which have the lowest validation loss." in lines
    assert report.chosen == {"epoch": 1}
    assert lines[-1] == (
        "The metrics are of the 16 validation rows, which also chose the epoch 1: expect a little less on new rows."
    )


def test_a_metric_that_fails_is_reported_once_and_training_goes_on(capfd, monkeypatch):
    def fails(*arguments):
        raise ZeroDivisionError("no positive rows")

    monkeypatch.setattr("taskgraft.training.epoch_validation.finite_only", fails)
    _, report, lines = printed_fit(training_stage("block-1", epochs=3), capfd)
    assert lines.count("The metric 'classification' is not shown after each epoch: no positive rows") == 1
    assert len(report.stages[0].validation_losses) == 3


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_cached_features_give_the_same_losses(memory):
    _, one = fitted(words(), training_stage("block-1", cache_features=True), validation=VALIDATION, memory=memory)
    _, other = fitted(words(), training_stage("block-1", cache_features=False), validation=VALIDATION, memory=memory)
    assert one.stages[0].validation_losses == pytest.approx(other.stages[0].validation_losses, rel=1e-5)


def test_the_metric_of_one_class_names_it():
    scores = EpochScores(0.25, {"average_precision": 0.5}, {"average_precision": "fraud"})
    assert str(scores) == "validation loss 0.25, average_precision (fraud) 0.5"
    assert scores.to_line() == {"validation_loss": 0.25, "validation_average_precision": 0.5}
