import json
import sys

import pytest
from accelerate.state import AcceleratorState
from small_tasks import Planned, classification, sentences, training_stage, words

from taskgraft import compose
from taskgraft.preparation.errors import TrainingError
from taskgraft.training.tracking import make_accelerator


def fit(run=None, **training):
    model = compose(words(), classification(), Planned(training_stage("block-1")))
    settings = {"batch_size": 8} | training
    return model.fit(sentences(), target="label", training=settings, run=run, quiet=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "tensorbord",
            "there is no such tracker (did you mean 'tensorboard'?); accelerate knows ",
        ),
        ("zzz", "there is no such tracker; accelerate knows "),
    ],
)
def test_an_unknown_tracker_is_rejected(tmp_path, name, said):
    with pytest.raises(TrainingError) as caught:
        make_accelerator((name,), tmp_path)
    assert str(caught.value).startswith(f"The tracker '{name}' cannot be used: {said}")
    for known in ("tensorboard", "wandb", "mlflow"):
        assert known in str(caught.value)


def test_a_tracker_without_its_package_is_rejected(tmp_path):
    assert "mlflow" not in sys.modules
    with pytest.raises(TrainingError) as caught:
        make_accelerator(("mlflow",), tmp_path)
    assert str(caught.value) == (
        "The tracker 'mlflow' cannot be used: its package is not installed (pip install mlflow)."
    )


def test_a_tracker_needs_a_folder():
    with pytest.raises(TrainingError) as caught:
        fit(trackers=["tensorboard"])
    assert str(caught.value) == (
        "The tracker 'tensorboard' cannot be used: trackers may write files, so name a folder for the run with run=…."
    )


def test_a_tracker_gets_the_metrics_of_each_step_and_epoch(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(tmp_path / "run", trackers=["tensorboard"])
    events = event_accumulator.EventAccumulator(str(tmp_path / "run" / "taskgraft")).Reload()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    logged = events.Scalars("loss")
    assert [one.step for one in logged] == [1, 2, 3, 4, 5, 6]
    assert [one.value for one in logged] == pytest.approx(losses)
    assert [one.step for one in events.Scalars("training_loss")] == [3, 6]


def test_a_rejected_tracker_does_not_affect_the_next_fit(tmp_path):
    with pytest.raises(TrainingError):
        fit(tmp_path / "run", trackers=["mlflow"])
    assert fit().stages[0].losses
    assert AcceleratorState().num_processes == 1
