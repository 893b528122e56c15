"""Fits and predictions in threads: results are those of one call alone, or the call is refused."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from small_tasks import PARTS, Planned, assert_same_bits, classification, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.engine.random_state import ThreadConflict, Use, restored_random_state, seed_generators

FIT_MESSAGE = (
    "Another thread of this process is fitting a model. PyTorch's random generator is shared by the whole process, so "
    "two fits would change each other's results. Fit one after the other, or in separate processes. You can still predict with "
    "fitted models."
)
DRAW_MESSAGE = (
    "Another thread of this process is fitting a model. PyTorch's random generator is shared by the whole process, so "
    "composing, loading and computing features would change its results. Do that before or after, or in another process. You "
    "can still predict with fitted models."
)


def composed(**settings) -> tg.TaskModel:
    return tg.compose(words(dropout=0.3), classification(), Planned(training_stage(*PARTS, **settings)))


def fit(model: tg.TaskModel) -> tg.TaskModel:
    model.fit(sentences(), target="label", quiet=True)
    return model


def in_a_thread(work):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


class Beside:
    """Does something in another thread during each step of a fit, and keeps what came of it."""

    def __init__(self, work):
        self._work, self.found = work, []

    def __call__(self, backbone, step: int) -> None:
        try:
            self.found.append(in_a_thread(self._work))
        except ThreadConflict as error:
            self.found.append(str(error))


def test_a_fit_beside_another_one_is_refused_and_changes_nothing():
    alone, second = weights(fit(composed())), composed()
    beside = Beside(lambda: fit(second))
    assert_same_bits(weights(fit(composed(on_step_end=beside))), alone)
    assert set(beside.found) == {FIT_MESSAGE}
    assert second.fitted is None
    assert_same_bits(weights(fit(second)), alone)


@pytest.mark.parametrize("name", ["compose", "load", "extract_features"])
def test_what_builds_modules_beside_a_fit_is_refused(name, tmp_path):
    calls = {
        "compose": composed,
        "load": lambda: tg.load(tmp_path / "saved"),
        "extract_features": lambda: tg.extract_features(words(), {"text": ["my card"]}, quiet=True),
    }
    beside = Beside(calls[name])
    fit(composed(on_step_end=beside))
    assert set(beside.found) == {DRAW_MESSAGE}


def test_predictions_beside_a_fit_are_the_same_and_change_nothing():
    alone, fitted = weights(fit(composed())), fit(composed())
    expected = fitted.predict_proba(["my card", "rain"], quiet=True)
    beside = Beside(lambda: fitted.predict_proba(["my card", "rain"], quiet=True))
    assert_same_bits(weights(fit(composed(on_step_end=beside))), alone)
    assert len(beside.found) == 2
    assert all(found == expected for found in beside.found)


def test_a_prediction_that_ends_after_a_fit_began_does_not_set_its_random_state_back():
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow_prediction():
        with restored_random_state(Use.READ):
            started.set()
            go.wait(20)
        ended.set()

    thread = threading.Thread(target=slow_prediction)
    thread.start()
    started.wait(20)
    with restored_random_state(Use.FIT):
        seed_generators(5)
        expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
        go.set()
        ended.wait(20)
        assert torch.equal(torch.rand(3), expected)
    thread.join()


def test_a_fit_beside_what_builds_modules_is_refused():
    started, go = threading.Event(), threading.Event()

    def build():
        with restored_random_state(Use.DRAW):
            started.set()
            go.wait(20)

    thread = threading.Thread(target=build)
    thread.start()
    started.wait(20)
    model = None
    try:
        with pytest.raises(ThreadConflict) as caught, restored_random_state(Use.FIT):
            model = True
    finally:
        go.set()
        thread.join()
    assert model is None
    assert str(caught.value) == (
        "Another thread of this process is composing or loading a model, or computing features. It draws from PyTorch's "
        "random generator, which the whole process shares, and would change the results of this fit. Wait, or fit in another "
        "process."
    )


def test_after_calls_of_several_threads_the_random_state_is_that_before_the_first():
    before = random.getstate(), torch.get_rng_state()
    barrier = threading.Barrier(4)

    def build(number):
        barrier.wait(20)
        with restored_random_state(Use.DRAW):
            barrier.wait(20)
            seed_generators(number)
            np.random.rand(number)
            barrier.wait(20)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(build, range(4)))
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_fit_within_a_call_of_its_own_thread_works():
    with restored_random_state(Use.DRAW):
        fit(composed())


@pytest.mark.slow
def test_eight_threads_predict_the_same_with_one_model():
    model = fit(composed())
    texts = sentences(200, seed=3)["text"]
    expected = model.predict_proba(texts, quiet=True)
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(lambda _: model.predict_proba(texts, quiet=True), range(16)):
            assert found == expected
