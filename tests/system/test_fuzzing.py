"""Fuzzing of recipes, manifests and run states: some seconds every day, ten minutes as an attack. No exception but ours."""

import numpy as np
import pytest
from attacks import Tally
from fuzzing import fuzz, load_changed, read_and_compose, recipe_texts, resume_changed

import taskgraft as tg

SECONDS, LONG = 3.0, 200.0
"""Each of three kinds is fuzzed so long."""

TIMES = [pytest.param(SECONDS, marks=pytest.mark.slow), pytest.param(LONG, marks=pytest.mark.attack)]


@pytest.mark.parametrize("seconds", TIMES)
@pytest.mark.filterwarnings("ignore")
def test_recipes(tmp_path, seconds):
    tally = Tally("fuzzed recipes")
    fuzz(tally, recipe_texts(), read_and_compose(tmp_path), seconds)
    tally.check()


@pytest.mark.parametrize("seconds", TIMES)
@pytest.mark.filterwarnings("ignore")
def test_manifests(tmp_path, seconds):
    numbers = np.random.default_rng(0).normal(size=40).tolist()
    model = tg.compose("tabular-resnet", "classification", "full")
    table = {"a": numbers, "b": numbers[::-1], "label": ["yes", "no"] * 20}
    model.fit(table, target="label", validation=0.25, training={"epochs": 1}, quiet=True)
    model.save(tmp_path / "artifact")
    tally = Tally("fuzzed manifests")
    fuzz(tally, *load_changed(tmp_path / "artifact", tmp_path / "changed"), seconds)
    tally.check()


@pytest.mark.parametrize("seconds", TIMES)
@pytest.mark.filterwarnings("ignore")
def test_run_states(tmp_path, seconds):
    tally = Tally("fuzzed run states")
    fuzz(tally, *resume_changed(tmp_path / "run", tmp_path / "changed"), seconds)
    tally.check()
