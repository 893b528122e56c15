"""Averages of weights around any strategy: EMA and SWA, beside averages written out, resumed to the same bits."""

import pytest
import torch
from small_tasks import assert_same_bits, classification, fit_with, images, pictures, sentences, weights, words

import taskgraft as tg
from taskgraft.contract.config import ConfigError
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.plugin import Callback
from taskgraft.preparation.errors import TrainingError

pytestmark = pytest.mark.slow

EMA = {"name": "average", "strategy": {"name": "full", "learning_rate": 1e-2}, "decay": 0.6}
SWA = {"name": "average", "strategy": {"name": "full", "learning_rate": 1e-2}, "method": "swa", "start": 0.4}


class Interrupted(Exception):
    pass


def recorded(steps, epochs):
    class Recorder(Callback):
        """Notes the weights before training, after each step and after each epoch."""

        def __init__(self, run):
            super().__init__(run)
            steps.append(self._now())

        def _now(self):
            return {name: tensor.detach().double().clone() for name, tensor in self.run.trainable.items()}

        def on_step_end(self, step):
            steps.append(self._now())

        def on_epoch_end(self, epoch, scores):
            epochs.append(self._now())

    return Recorder


def fit(strategy, backbone=None, **settings):
    return fit_with(strategy, backbone or words(), **{"epochs": 5, **settings})[0]


def named(model):
    return {name.removeprefix("backbone."): tensor for name, tensor in weights(model).items()}


def assert_close(model, expected):
    found = named(model)
    wrong = {name: float((found[name].double() - value).abs().max()) for name, value in expected.items()}
    assert max(wrong.values()) < 1e-6, wrong


@pytest.mark.parametrize("kind", ["text", "image"])
def test_ema_is_the_moving_average_over_steps(kind):
    steps, epochs = [], []
    backbone, rows = (words(), sentences()) if kind == "text" else (pictures(), images())
    model = fit(EMA, backbone, rows=rows, callbacks=[recorded(steps, epochs)])
    average = dict(steps[0])
    for number, now in enumerate(steps[1:]):
        decay = min(0.6, (1 + number + 1) / (10 + number + 1))
        average = {
            name: decay * average[name] + (1 - decay) * now[name] if "num_batches" not in name else now[name]
            for name in average
        }
    assert_close(model, average)


def test_swa_is_the_mean_over_the_ends_of_the_later_epochs():
    steps, epochs = [], []
    model = fit(SWA, callbacks=[recorded(steps, epochs)])
    assert_close(model, {name: sum(one[name] for one in epochs[2:]) / 3 for name in epochs[0]})


def test_swa_every_few_steps_is_the_mean_over_those_steps():
    steps = []
    model = fit({**SWA, "every": 4}, callbacks=[recorded(steps, [])])
    chosen = [steps[number] for number in (10, 14)]  # of 15 steps, 4 and 8 after the first 6
    assert_close(model, {name: sum(one[name] for one in chosen) / 2 for name in chosen[0]})


@pytest.mark.parametrize("strategy", [EMA, SWA, "average:gradual:2", "average:adapters"], ids=str)
@pytest.mark.parametrize("patience", [None, 2])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, strategy, patience):
    armed = [True]

    class Stop(Callback):
        def on_step_end(self, step):
            if step == 8 and armed:
                armed.clear()
                raise Interrupted

    how = {"validation": sentences(8, seed=2), "patience": patience, "checkpoint_every": 1, "callbacks": [Stop]}
    with pytest.raises(Interrupted):
        fit(strategy, run=tmp_path / "run", **how)
    resumed = fit(strategy, run=tmp_path / "run", resume=True, **how)
    assert_same_bits(weights(resumed), weights(fit(strategy, **how)))


def test_a_run_killed_between_the_last_step_and_the_end_of_an_epoch_resumes_to_the_same_bits(tmp_path):
    armed = [True]

    class Stop(Callback):
        def on_epoch_end(self, epoch, scores):
            if epoch == 4 and armed:
                armed.clear()
                raise Interrupted

    how = {"checkpoint_every": 1, "callbacks": [Stop]}
    with pytest.raises(Interrupted):
        fit(SWA, run=tmp_path / "run", **how)
    resumed = fit(SWA, run=tmp_path / "run", resume=True, **how)
    assert_same_bits(weights(resumed), weights(fit(SWA, **how)))


def test_training_goes_on_with_the_trained_weights():
    plain, averaged = [], []
    fit({"name": "full", "learning_rate": 1e-2}, validation=sentences(8, seed=2), callbacks=[recorded(plain, [])])
    fit(EMA, validation=sentences(8, seed=2), callbacks=[recorded(averaged, [])])
    for one, other in zip(plain, averaged, strict=True):
        assert_same_bits(one, other)


def test_averages_of_half_precision_weights_are_taken_in_float32():
    backbone = words(dropout=0.0).to(torch.bfloat16)
    steps = []
    model = fit({**EMA, "decay": 0.99}, backbone, callbacks=[recorded(steps, [])])
    average = dict(steps[0])
    for number, now in enumerate(steps[1:]):
        decay = min(0.99, (2 + number) / (11 + number))
        average = {name: decay * average[name] + (1 - decay) * now[name] for name in average}
    found, kinds = named(model), {tensor.dtype for tensor in model.fitted.task.backbone.parameters()}
    assert kinds == {torch.bfloat16}
    for name, value in average.items():
        assert float((found[name].double() - value).abs().max()) <= 0.01 * float(value.abs().max()) + 1e-6


def test_the_artifact_predicts_with_the_average(tmp_path):
    model = fit(EMA)
    loaded = tg.load(model.save(tmp_path / "artifact"), backbone=words(), head=classification())
    assert loaded.predict_proba(sentences()["text"], quiet=True) == model.predict_proba(sentences()["text"], quiet=True)
    assert loaded.recipe.strategy.settings["strategy"]["name"] == "taskgraft/full"


def test_only_stages_that_descend_are_averaged():
    plan = tg.compose(words(), classification(), "average:probe-then-tune").composition.plan
    assert [len(stage.callbacks) for stage in plan] == [0, 1]


def test_a_solved_head_has_no_steps_to_average():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), "average:linear-probe")
    assert str(caught.value) == (
        "'average' changes the steps of gradient descent, but the strategy that it contains takes none: it solves for the "
        "head. Let it contain one that trains in steps, such as 'partial' or 'full'."
    )


@pytest.mark.parametrize("strategy", ["average:average:full", "average:sharpness-aware:average:full"])
def test_averages_are_not_averaged(strategy):
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), strategy)
    assert str(caught.value) == "'average' averages weights, and so does the strategy that it contains. Keep one."


def test_it_needs_a_strategy():
    with pytest.raises(ConfigError) as caught:
        tg.compose(words(), classification(), "average")
    assert str(caught.value) == (
        "strategy 'average': the setting 'strategy' has no default, so set it (strategy that trains, a name or a table "
        "with its name and settings)."
    )


REFUSED = {
    "start of EMA": (
        {**EMA, "start": 0.2},
        "strategy 'average': 'start' has no effect with method = 'ema'; drop it, or set method = 'swa'.",
    ),
    "decay of SWA": (
        {**SWA, "decay": 0.9},
        "strategy 'average': 'decay' has no effect with method = 'swa'; drop it, or set method = 'ema'.",
    ),
}


@pytest.mark.parametrize(("strategy", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_without_effect_are_refused(strategy, message):
    with pytest.raises(ConfigError) as caught:
        tg.compose(words(), classification(), strategy)
    assert str(caught.value) == message


def test_strategies_within_strategies_have_a_limit():
    with pytest.raises(ConfigError) as caught:
        tg.compose(words(), classification(), "average:" * 200 + "full")
    assert (
        str(caught.value) == "strategy 'average': strategies are nested deeper than 5 levels, the limit; flatten them."
    )


def test_more_steps_between_weights_than_there_are_is_refused():
    with pytest.raises(TrainingError) as caught:
        fit({**SWA, "every": 10})
    assert str(caught.value) == (
        "The stage 'full' has 15 steps, so 'average' with start = 0.4 and every = 10 has nothing to average. Lower one of them."
    )
