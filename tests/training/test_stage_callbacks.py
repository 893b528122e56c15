"""Callbacks of a stage and of the user: when they are called, what they keep, and what is refused."""

from collections.abc import Mapping

import pytest
import torch
from small_tasks import assert_same_bits, sentences, trained, training_stage, weights, words

from taskgraft.adaptation.guard import WeightGuardError
from taskgraft.errors import TaskgraftError
from taskgraft.plugin import Callback
from taskgraft.preparation.errors import TrainingError
from taskgraft.storage.tensor_file import TensorFile

READOUT = ("head.readout.weight", "head.readout.bias")


class Interrupted(Exception):
    pass


class Momentum(Callback):
    """Moves each parameter a little further along the mean of its earlier changes; its state decides the weights."""

    def __init__(self, run):
        super().__init__(run)
        self._before = {name: tensor.detach().clone() for name, tensor in run.trainable.items()}
        self._mean = {name: torch.zeros_like(tensor) for name, tensor in run.trainable.items()}
        self._steps = 0

    @torch.no_grad()
    def on_step_end(self, step):
        self._steps += 1
        for name, tensor in self.run.trainable.items():
            self._mean[name].lerp_(tensor - self._before[name], 0.5)
            tensor.add_(self._mean[name] / self._steps)
            self._before[name].copy_(tensor)

    def state_dict(self):
        return {"steps": self._steps, "mean": self._mean, "before": self._before}

    def load_state_dict(self, state):
        self._steps, self._mean, self._before = state["steps"], dict(state["mean"]), dict(state["before"])


def interrupting(stop, armed):
    class Stop(Callback):
        def on_step_end(self, step):
            if step == stop and armed:
                armed.clear()
                raise Interrupted

    return Stop


def fit(*stages, **settings):
    return trained(words(), *(stages or (training_stage("block-1"),)), **{"checkpoint_every": 1, **settings})


def journal(calls):
    class Journal(Callback):
        def __init__(self, run):
            super().__init__(run)
            calls.append(("start", run.stage, run.steps, sorted(run.trainable)[-1], type(run.head).__name__))

        def on_step_end(self, step):
            calls.append(("step", step))

        def on_epoch_end(self, epoch, scores: Mapping[str, float]):
            calls.append(("epoch", epoch, sorted(scores)))

        def on_stage_end(self):
            calls.append(("end", self.run.stage))

    return Journal


def test_callbacks_are_called_at_start_step_epoch_and_end_of_every_stage():
    calls = []
    fit(
        training_stage("block-1", epochs=2),
        training_stage("block-0", name="second", epochs=1),
        callbacks=[journal(calls)],
        validation=sentences(8, seed=1),
        batch_size=12,
    )
    scores = ["training_loss", "validation_accuracy", "validation_loss"]
    assert calls == [
        ("start", "first", 4, "norm.weight", "_Classifier"),
        ("step", 1),
        ("step", 2),
        ("epoch", 1, scores),
        ("step", 3),
        ("step", 4),
        ("epoch", 2, scores),
        ("end", "first"),
        ("start", "second", 2, "head.readout.weight", "_Classifier"),
        ("step", 1),
        ("step", 2),
        ("epoch", 1, scores),
        ("end", "second"),
    ]


def test_a_callback_without_methods_changes_nothing():
    assert_same_bits(weights(fit(callbacks=[Callback])), weights(fit()))


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_state_is_kept_in_the_run_and_the_weights_are_those_of_an_uninterrupted_one(tmp_path, stop):
    armed = [True]
    callbacks = [Momentum, interrupting(stop, armed)]
    with pytest.raises(Interrupted):
        fit(callbacks=callbacks, run=tmp_path / "run")
    resumed = fit(callbacks=callbacks, run=tmp_path / "run", resume=True)
    whole = fit(callbacks=[Momentum])
    assert_same_bits(weights(resumed), weights(whole))
    assert not any(torch.equal(one, other) for one, other in zip(moved(whole), moved(fit()), strict=True))


def moved(model):
    return [tensor for name, tensor in weights(model).items() if "blocks.1" in name and tensor.dim() > 1]


def test_an_artifact_has_no_state_of_callbacks(tmp_path):
    with_state, without = (
        fit(callbacks=chosen).save(tmp_path / name) for name, chosen in (("a", [Momentum]), ("b", []))
    )
    names = []
    for folder in (with_state, without):
        (file,) = folder.glob("*.safetensors")
        with TensorFile(file) as opened:
            names.append(sorted(opened.tensors))
    assert names[0] == names[1]


def test_a_frozen_tensor_that_a_callback_changes_is_found_by_the_guard():
    class Careless(Callback):
        @torch.no_grad()
        def on_stage_end(self):
            self.run.backbone.blocks[0].query.weight.mul_(0.99)

    with pytest.raises(WeightGuardError) as caught:
        fit(callbacks=[Callback, Careless])
    assert str(caught.value) == (
        "The stage 'first' did not train exactly what it declared:\n"
        "  the tensor blocks.0.query.weight is frozen, but changed\n"
        "This is a bug in the callback Callback, the callback Careless, the strategy, the backbone or the head, not in your "
        "data."
    )


def test_a_run_is_resumed_only_with_the_same_callbacks(tmp_path):
    with pytest.raises(Interrupted):
        fit(callbacks=[Momentum, interrupting(2, [True])], run=tmp_path / "run")
    with pytest.raises(TaskgraftError) as caught:
        fit(run=tmp_path / "run", resume=True)
    assert str(caught.value).startswith(
        f'Cannot resume {tmp_path / "run"}: callbacks was "Momentum", "interrupting.<locals>.Stop" and is now null.'
    )


def averaging(values):
    class Averaging(Callback):
        def validation_weights(self):
            return values(self.run)

    return Averaging


def zeros(run):
    return {name: torch.zeros_like(run.trainable[name]) for name in READOUT}


def test_validation_and_the_end_of_the_stage_use_the_weights_of_a_callback():
    model, scores = None, []

    class Watching(Callback):
        def on_epoch_end(self, epoch, values):
            scores.append(values["validation_loss"])
            assert any(
                bool(tensor.any()) for name, tensor in self.run.trainable.items() if name.startswith("head.readout.")
            )

    model = fit(callbacks=[averaging(zeros), Watching], validation=sentences(8, seed=1))
    assert scores == pytest.approx([1.0986123] * 2)  # ln 3: every class is equally likely
    assert not any(bool(weights(model)[name].any()) for name in READOUT)


def test_the_best_epoch_is_that_of_the_weights_of_the_callback():
    model = fit(callbacks=[averaging(zeros)], validation=sentences(8, seed=1), patience=1, epochs=5)
    assert not any(bool(weights(model)[name].any()) for name in READOUT)


REFUSED = {
    "an object": (
        lambda: [Momentum.__new__(Momentum)],
        "callbacks has an object of the class Momentum. Give the class itself, or a function that makes one: each stage makes "
        "its own.",
    ),
    "no list": (lambda: 3, "callbacks is 3. Give a list of classes of callbacks."),
    "a text": (lambda: ["ema"], "callbacks has 'ema'. Give the class of a callback, or a function that makes one."),
    "a function of something else": (
        lambda: [lambda run: 3],
        "A callback of the stage 'first' is of the type int. Give the class of a callback, which extends "
        "taskgraft.plugin.Callback, or a function that makes one from a StageRun.",
    ),
    "two with weights": (
        lambda: [averaging(zeros), averaging(zeros)],
        "The callbacks Averaging and Averaging of the stage 'first' both return weights for validation. Keep one of them.",
    ),
    "a frozen name": (
        lambda: [averaging(lambda run: {"blocks.0.query.weight": torch.zeros(1)})],
        "The callback Averaging of the stage 'first' returns weights for validation that name 'blocks.0.query.weight', which "
        "the stage does not train.",
    ),
    "another shape": (
        lambda: [averaging(lambda run: {"head.readout.bias": torch.zeros(7)})],
        "The callback Averaging of the stage 'first' returns weights for validation that have torch.float32 (7,) for "
        "'head.readout.bias', which is torch.float32 (3,).",
    ),
    "no number": (
        lambda: [averaging(lambda run: {"head.readout.bias": torch.full((3,), torch.nan)})],
        "The callback Averaging of the stage 'first' returns weights for validation that are not finite in "
        "'head.readout.bias'.",
    ),
    "no dict": (
        lambda: [averaging(lambda run: [torch.zeros(3)])],
        "The callback Averaging of the stage 'first' returns a list of weights for validation. Return a dict of name → tensor, "
        "or None.",
    ),
}


@pytest.mark.parametrize(("callbacks", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_callback_is_refused(callbacks, message):
    with pytest.raises(TrainingError) as caught:
        fit(callbacks=callbacks(), validation=sentences(8, seed=1))
    assert str(caught.value) == message


def test_a_state_that_no_checkpoint_can_hold_is_refused(tmp_path):
    class Counting(Callback):
        def state_dict(self):
            return {"seen": {1, 2}}

    with pytest.raises(TaskgraftError) as caught:
        fit(callbacks=[Counting], run=tmp_path / "run")
    assert str(caught.value) == (
        "The callback Counting of the stage 'first' has a set in its state, under seen, which a checkpoint cannot hold. Keep "
        "tensors, texts, numbers, and lists and dicts of them."
    )


def test_a_state_that_is_no_dict_is_refused(tmp_path):
    class Counting(Callback):
        def state_dict(self):
            return [1, 2]

    with pytest.raises(TaskgraftError) as caught:
        fit(callbacks=[Callback, Counting], run=tmp_path / "run")
    assert str(caught.value) == "The callback Counting of the stage 'first' returns a state that is a list, not a dict."


def test_a_state_that_a_changed_callback_does_not_take_is_one_sentence(tmp_path):
    class Counting(Callback):
        key = "steps"

        def state_dict(self):
            return {self.key: 1}

        def load_state_dict(self, state):
            state[self.key]

    with pytest.raises(Interrupted):
        fit(callbacks=[Counting, interrupting(3, [True])], run=tmp_path / "run")
    Counting.key = "seen"
    with pytest.raises(TrainingError) as caught:
        fit(callbacks=[Counting, interrupting(3, [])], run=tmp_path / "run", resume=True)
    assert str(caught.value) == (
        "The callback Counting of the stage 'first' cannot continue from its state in the checkpoint: KeyError: 'seen'. If its "
        "code has changed, start a new run."
    )


def raising(method):
    class Failing(Callback):
        pass

    def fail(self, *arguments):
        raise KeyError("pace")

    setattr(Failing, method, fail)
    return Failing


@pytest.mark.parametrize(
    ("method", "call", "when"),
    [
        ("__init__", "Failing", "before the first step"),
        ("on_step_end", "Failing.on_step_end", "after step 1"),
        ("state_dict", "Failing.state_dict", "after step 1"),
        ("on_epoch_end", "Failing.on_epoch_end", "after step 3"),
        ("validation_weights", "Failing.validation_weights", "after step 3"),
        ("on_stage_end", "Failing.on_stage_end", "after step 6"),
    ],
)
def test_an_exception_names_the_callback_its_method_the_stage_and_the_step(tmp_path, method, call, when):
    with pytest.raises(KeyError, match="pace") as caught:
        fit(callbacks=[Callback, raising(method)], validation=sentences(8, seed=1), run=tmp_path / "run")
    assert caught.value.__notes__[0] == f"The callback {call} raised this {when} of the stage 'first'."
