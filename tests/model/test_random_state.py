"""The caller's random state stays as it was, whatever is called and however it ends; a seed still makes a run repeatable."""

import random

import numpy as np
import pytest
import torch
from small_tasks import PARTS, Planned, assert_same_bits, classification, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.engine.random_state import restored_random_state, seed_generators


def random_state():
    """What the caller would draw next from each generator, without drawing it."""
    state = [random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()]
    if torch.cuda.is_available():
        state.append([one.tolist() for one in torch.cuda.get_rng_state_all()])
    return state


def composed(**settings) -> tg.TaskModel:
    return tg.compose(words(), classification(), Planned(training_stage(*PARTS, **settings)))


def fit(model: tg.TaskModel, **options) -> tg.TaskModel:
    model.fit(sentences(), target="label", quiet=True, **options)
    return model


def drawn(*arguments):
    """Draw from everything, as a careless plugin may."""
    random.random()
    np.random.rand()
    torch.rand(3)


@pytest.fixture
def model() -> tg.TaskModel:
    return fit(composed(on_step_end=drawn))


BACKBONE = words()

CALLS = {
    "fit": lambda model, folder: fit(model, validation=0.2),
    "evaluate": lambda model, folder: model.evaluate(sentences(9, seed=1), quiet=True),
    "predict": lambda model, folder: model.predict(["my card"], quiet=True),
    "predict_proba": lambda model, folder: model.predict_proba(["my card"], quiet=True),
    "predict_to": lambda model, folder: model.predict_to({"text": ["my card"]}, folder / "out.csv", quiet=True),
    "merge": lambda model, folder: model.merge(),
    "save": lambda model, folder: model.save(folder / "saved"),
    "compose": lambda model, folder: tg.compose(BACKBONE, classification(), Planned(training_stage(*PARTS))),
    "extract_features": lambda model, folder: tg.extract_features(BACKBONE, {"text": ["my card"]}, quiet=True),
    "extract_features_to": lambda model, folder: tg.extract_features_to(
        BACKBONE, {"text": ["my card"]}, folder / "out.npy", quiet=True
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_random_state_of_the_caller_stays_as_it_was(model, name, tmp_path):
    before = random_state()
    CALLS[name](model, tmp_path)
    assert random_state() == before


def test_loading_leaves_the_random_state_of_the_caller(small_plugin_installed, tmp_path):
    model = tg.compose("small-words", "classification", "linear-probe")
    fit(model).save(tmp_path / "saved")
    before = random_state()
    tg.load(tmp_path / "saved")
    assert random_state() == before


def test_a_dry_run_leaves_the_random_state_of_the_caller(small_plugin_installed):
    before = random_state()
    tg.compose("small-words", "classification", "adapters")
    assert random_state() == before


def test_a_fit_that_fails_leaves_the_random_state_of_the_caller():
    def fails(backbone, step):
        drawn()
        raise RuntimeError("a bug")

    model, before = composed(on_step_end=fails), random_state()
    with pytest.raises(RuntimeError, match="a bug"):
        fit(model)
    assert random_state() == before


def test_loader_processes_leave_the_random_state_of_the_caller(model):
    before = random_state()
    fit(model, training={"workers": 2})
    assert random_state() == before


def test_what_a_plugin_draws_from_numpy_and_python_is_repeatable():
    found = []

    def note(backbone, step):
        found.append((random.random(), float(np.random.rand()), float(torch.rand(()))))

    for _ in range(2):
        random.seed()
        np.random.seed(len(found))
        fit(composed(on_step_end=note), training={"seed": 7})
    half = len(found) // 2
    assert found[:half] == found[half:]


def test_a_seed_gives_the_same_weights_whatever_the_caller_drew():
    one = weights(fit(composed()))
    drawn()
    assert_same_bits(weights(fit(composed())), one)


def test_seeds_hold_for_every_generator():
    with restored_random_state():
        seed_generators(5)
        one = (random.random(), np.random.rand(), float(torch.rand(())))
        seed_generators(5)
        assert (random.random(), np.random.rand(), float(torch.rand(()))) == one
