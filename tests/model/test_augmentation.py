"""A user's own augmentation, a function of an example and a generator."""

import multiprocessing
import re
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
from backbones import Pictures, PicturesProcessor
from small_plugin import PicturesConfig
from small_tasks import (
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
from taskgraft.builtin.heads.configs import ElementClassificationConfig, MaskedElementsConfig
from taskgraft.builtin.heads.element_classification import ElementClassification
from taskgraft.builtin.heads.masked_elements import MaskedElements
from taskgraft.data.augmentation import function_name
from taskgraft.errors import TaskgraftError
from taskgraft.preparation.errors import TrainingError
from taskgraft.processes.workers import WorkerLost
from taskgraft.reading.errors import DataError
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


def fit(augmentation=None, stage=None, **settings):
    stage = stage or training_stage("embedding", "block-0", "block-1")
    return trained(words(dropout=0.0), stage, augmentation=augmentation, **settings)


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


class Item:
    """Calls a method, as functools.partial and objects do."""

    def __call__(self, example, rng):
        return example


def test_functions_are_named_whatever_they_are():
    assert [function_name(one) for one in (dropped, partial(partial(dropped), rng=None), Item())] == [
        "dropped",
        "dropped",
        "Item",
    ]


def no_dict(example, rng):
    return example["text"]


def other_inputs(example, rng):
    return {**example, "label": "a"}


def nothing(example, rng):
    return {"text": ""}


def objects(example, rng):
    return {"text": ["lost", "card"]}


WRONG = {
    no_dict: "The augmentation 'no_dict' returned str for row 0. Let it return a dict with the inputs that it was given: text.",
    other_inputs: "The augmentation 'other_inputs' returned ['label', 'text'] for row 0. Let it return a dict with the inputs "
    "that it was given: text.",
    nothing: "The augmentation 'nothing' made row 0 invalid: the text is empty.",
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("function", "message"), WRONG.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_wrong_result_is_one_sentence_that_names_function_and_row(function, message, workers):
    with pytest.raises(DataError) as caught:
        fit(function, workers=workers, batch_size=1, rows=sentences(2), epochs=1)
    assert re.sub(r"row \d", "row 0", str(caught.value)) == message


def failing(example, rng):
    return example["txt"]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_names_function_and_row(workers):
    with pytest.raises(KeyError) as caught:
        fit(failing, workers=workers, batch_size=12)
    assert re.fullmatch(r"The augmentation 'failing' raised this for row \d+\.", caught.value.__notes__[0])


def test_the_rows_that_were_given_stay_as_they_were():
    rows = images(8)
    before = deepcopy(rows)

    def darker(example, rng):
        for line in example["image"]:
            line[:] = [value * 0.5 for value in line]
        return example

    model = tg.compose(pictures(), classification(), Planned(training_stage("last")))
    model.fit(rows, target="label", augmentation=darker, training={"epochs": 1, "workers": 0}, quiet=True)
    assert rows == before


class InMemory(PicturesProcessor):
    """Takes arrays of numbers as images in memory."""

    def raw_values(self, role, value):
        if not isinstance(value, np.ndarray):
            raise ValueError(f"a {type(value).__name__} is not an image: pass an array")
        return [one.tolist() for one in value] if value.ndim == 3 else [value.tolist()]


class OfArrays(Pictures):
    @property
    def processor(self):
        return InMemory(8)


def of_arrays(function):
    model = tg.compose(OfArrays(PicturesConfig()).eval(), classification(), Planned(training_stage("last")))
    model.fit(images(8), target="label", augmentation=function, training={"epochs": 1, "workers": 0}, quiet=True)
    return weights(model)


def test_an_object_in_memory_takes_the_place_of_a_raw_value():
    def turned(example, rng):
        return {"image": np.asarray(example["image"])[::-1]}

    def turned_lists(example, rng):
        return {"image": example["image"][::-1]}

    assert_same_bits(of_arrays(turned), of_arrays(turned_lists))


IN_MEMORY = {
    "a dict is not an image: pass an array": lambda image: {"pixels": image},
    "it holds 2 values instead of one": lambda image: np.asarray([image, image]),
}


@pytest.mark.parametrize(("problem", "change"), IN_MEMORY.items(), ids=IN_MEMORY)
def test_an_object_that_is_no_input_is_one_sentence(problem, change):
    def changed(example, rng):
        return {"image": change(example["image"])}

    with pytest.raises(DataError) as caught:
        of_arrays(changed)
    name = f"{test_an_object_that_is_no_input_is_one_sentence.__name__}.<locals>.changed"
    found = re.sub(r"row \d", "row 0", str(caught.value))
    assert found == f"The augmentation '{name}' returned a image for row 0 that cannot be used: {problem}."


def tagged():
    rows = sentences()
    rows["label"] = [["xy"[len(word) % 2] for word in text.split()] for text in rows["text"]]
    return rows


def label_words(augmentation):
    head = ElementClassification(ElementClassificationConfig())
    model = tg.compose(words(), head, Planned(training_stage("block-1", epochs=1)))
    model.fit(tagged(), target="label", training={"workers": 0}, augmentation=augmentation)


def test_labels_of_elements_keep_their_elements(capsys):
    with pytest.raises(DataError) as caught:
        label_words(dropped)
    assert re.sub(r"\d+", "#", str(caught.value)) == (
        "The augmentation 'dropped' gave row # # elements, but it has labels for #. Let it keep the number and the order of "
        "elements."
    )
    label_words(Item())
    assert (
        "The augmentation 'Item' does not see the targets, of which there is one per element: it must leave everything in "
        "its place." in " ".join(capsys.readouterr().err.split())
    )


def test_masked_elements_are_those_of_the_changed_row():
    model = tg.compose(words(), MaskedElements(MaskedElementsConfig()), Planned(training_stage("block-1", epochs=1)))
    SEEN.clear()
    model.fit({"text": sentences()["text"]}, target=(), training={"workers": 0}, augmentation=shuffled, quiet=True)
    assert sorted(SEEN) == sorted(sentences()["text"])


def test_a_function_that_loader_processes_cannot_receive_is_one_sentence(monkeypatch):
    spawning = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", lambda: spawning)

    def local(example, rng):
        return example

    with pytest.raises(WorkerLost) as caught:
        fit(local, workers=2)
    assert re.sub(r": Can't .*local'\.", ": ….", str(caught.value)) == (
        "What loader processes work with cannot be sent to them: …. Define functions and classes at the top level of a module. "
        "Or load in this process: training.workers = 0."
    )


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TrainingError) as caught:
        fit("flip")
    assert str(caught.value) == (
        "augmentation is 'flip'. Give a function of an example, a dict of input → raw value, and a numpy generator, which "
        "returns the changed example."
    )
