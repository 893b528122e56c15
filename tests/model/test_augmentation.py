"""A user's own augmentation, a function of an example and a generator."""

import numpy as np
import pytest
from small_tasks import Planned, assert_same_bits, classification, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.errors import TaskgraftError
from taskgraft.preparation.errors import TrainingError
from taskgraft.training.frozen_features import AUGMENTATION_OFF

SEEN: list = []


def shuffled(example, rng):
    """The words of a text in another order."""
    SEEN.append(example["text"])
    found = example["text"].split()
    example["text"] = " ".join(found[place] for place in rng.permutation(len(found)))
    return example


def dropped(example, rng):
    """A text without one of its words."""
    found = example["text"].split()
    return {"text": " ".join(np.delete(found, rng.integers(len(found)))) or example["text"]}


def fit(augmentation=None, stage=None, validation=None, run=None, resume=False, rows=None, callbacks=(), **training):
    stage = stage or training_stage("embedding", "block-0", "block-1")
    model = tg.compose(words(dropout=0.0), classification(), Planned(stage))
    training = {"batch_size": 8, "epochs": 2, **training}
    model.fit(
        rows or sentences(),
        validation=validation,
        target="label",
        training=training,
        augmentation=augmentation,
        callbacks=callbacks,
        run=run,
        resume=resume,
        quiet=True,
    )
    return model


def test_training_rows_are_changed_in_every_epoch_and_validation_rows_never():
    SEEN.clear()
    held = {"text": ["held out one", "held out two"], "label": ["a", "b"]}
    fit(shuffled, validation=held, workers=0)
    texts = sentences()["text"]
    assert sorted(SEEN) == sorted(texts * 2)
    with pytest.raises(AssertionError):
        assert_same_bits(weights(fit(dropped)), weights(fit()))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bits_do_not_depend_on_the_number_of_loader_processes(workers):
    assert_same_bits(weights(fit(dropped, workers=workers)), weights(fit(dropped, workers=0)))


def test_the_bits_do_not_depend_on_the_batch():
    drawn = []

    def noted(example, rng):
        drawn.append((example["text"], int(rng.integers(1 << 30))))
        return example

    fit(noted, batch_size=4)
    small, drawn[:] = sorted(drawn), []
    fit(noted, batch_size=12)
    assert sorted(drawn) == small


def test_cached_features_switch_it_off_and_say_so(capsys):
    model = tg.compose(words(), classification(), "linear-probe")
    model.fit(sentences(), target="label", augmentation=dropped)
    assert AUGMENTATION_OFF in " ".join(capsys.readouterr().err.split())


def test_a_run_is_resumed_only_with_the_same_augmentation(tmp_path):
    class Stop(tg.plugin.Callback):
        def on_step_end(self, step):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(dropped, run=tmp_path / "run", callbacks=[Stop])
    with pytest.raises(TaskgraftError) as caught:
        fit(shuffled, run=tmp_path / "run", callbacks=[Stop], resume=True)
    assert 'augmentation was "dropped" and is now "shuffled".' in str(caught.value)


WRONG = {
    "no dict": (lambda example, rng: example["text"], "it returned 'str', not a dict of text"),
    "other inputs": (
        lambda example, rng: {**example, "label": "a"},
        "it returned ['label', 'text'], not a dict of text",
    ),
}


@pytest.mark.parametrize(("function", "message"), WRONG.values(), ids=WRONG)
def test_a_function_that_returns_something_else_is_named_with_its_row(function, message):
    with pytest.raises(TypeError) as caught:
        fit(function, workers=0, batch_size=24)
    assert str(caught.value) == message
    (note,) = caught.value.__notes__
    assert note.startswith("The augmentation failed on row ")


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TrainingError) as caught:
        fit("flip")
    assert str(caught.value) == (
        "augmentation is 'flip'. Give a function of an example, a dict of input → raw value, and a numpy generator, which "
        "returns the changed example."
    )
