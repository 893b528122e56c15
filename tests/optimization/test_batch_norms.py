"""BatchNorm that trains needs two rows in each pass: settings that give one are refused, and odd rows join others."""

import pytest
from small_tasks import Planned, classification, images, pictures, trained, training_stage, words

import taskgraft as tg
from taskgraft.adaptation.trainable import InvalidStage
from taskgraft.engine.task_module import TaskModule
from taskgraft.optimization.batch_norms import check_rows_per_pass
from taskgraft.recipe import TrainingConfig

TUNE = training_stage("last", name="tune", epochs=1)
PROBE = training_stage(name="probe", epochs=1)


def refusal(*stages, **training):
    with pytest.raises(InvalidStage) as caught:
        trained(pictures(), *stages, **training)
    return str(caught.value)


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        ({"batch_size": 1}, "training.batch_size = 1. Set it to 2 or more"),
        ({"batch_size": 8, "micro_batch": 1}, "training.micro_batch = 1. Set it to 2 or more, leave it out"),
    ],
)
@pytest.mark.parametrize("stages", [(TUNE,), (PROBE, TUNE)])
def test_a_single_row_per_pass_is_refused_before_the_first_stage(stages, training, problem):
    assert refusal(*stages, **training) == (
        "The stage 'tune' cannot run: it trains BatchNorm layers, which need 2 rows or more in each pass, but "
        f"{problem}, or choose a strategy that keeps these layers frozen."
    )


def test_a_single_training_row_is_refused():
    model = tg.compose(pictures(), {"name": "regression"}, Planned(TUNE))
    with pytest.raises(InvalidStage) as caught:
        model.fit({"image": images(1)["image"], "label": [1.0]}, target="label", quiet=True)
    assert str(caught.value) == (
        "The stage 'tune' cannot run: it trains BatchNorm layers, which need 2 rows or more in each pass, but there is only 1 "
        "training row. Add training rows, or choose a strategy that keeps these layers frozen."
    )


@pytest.mark.parametrize(
    ("settings", "rows", "problem"),
    [
        ({"batch_size": 2}, 8, "training.batch_size = 2, divided among 2 processes. Set it to 4 or more"),
        ({"batch_size": 8}, 3, "there are only 3 training rows for 2 processes. Add training rows"),
    ],
)
def test_each_process_needs_two_rows(settings, rows, problem):
    backbone = pictures()
    head = classification()
    feature, target = backbone.description.features[0], head.fit_targets({"label": ["a", "b"]})
    task = TaskModule(backbone, head.build_module(feature, target), feature.layout)
    with pytest.raises(InvalidStage) as caught:
        check_rows_per_pass((TUNE,), task, (), TrainingConfig(**settings), rows, processes=2)
    assert problem in str(caught.value)


@pytest.mark.parametrize("training", [{"batch_size": 1}, {"batch_size": 8, "micro_batch": 1}])
def test_where_no_batch_norm_trains_single_rows_are_trained_on(training):
    trained(pictures(), PROBE, **training)
    trained(words(), training_stage("block-1", epochs=1), **training)


@pytest.mark.parametrize("training", [{"batch_size": 5}, {"batch_size": 8, "micro_batch": 3}, {"batch_size": 15}])
def test_a_last_row_that_is_left_over_joins_others(training):
    trained(pictures(), TUNE, rows=images(16), **training)
