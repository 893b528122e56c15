"""Single bits of run states and cached features are flipped. Each flip is detected, or changes no bit of the weights."""

import random
import shutil
from pathlib import Path

import pytest
from attacks import Tally
from flips import RUN_FILES, fit, flip_entries, flip_states, flipped, interrupted, measured
from small_tasks import assert_same_bits, weights

from taskgraft.engine.shared_cache import SharedCache
from taskgraft.errors import TaskgraftError

STOPS = (("last", 2), ("last", 7), ("first", 3))
"""Where fits were interrupted: before and after a first epoch with early stopping, and with inserted modules."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Runs that were interrupted."""
    folder = tmp_path_factory.mktemp("runs")
    for number, stop in enumerate(STOPS):
        interrupted(folder / str(number), stop)
    return [folder / str(number) for number in range(len(STOPS))]


FEW_STATES, MANY_STATES = (
    pytest.param(40, 0, marks=pytest.mark.slow),
    pytest.param(1_200, 100, marks=pytest.mark.attack),
)
FEW_ENTRIES, MANY_ENTRIES = pytest.param(30, 0), pytest.param(3_000, 100, marks=pytest.mark.attack)
FEW_FITS, MANY_FITS = pytest.param(3, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.attack)


@pytest.mark.parametrize(("count", "seed"), [FEW_STATES, MANY_STATES])
def test_a_flipped_bit_of_a_state_changes_no_weights(runs, count, seed):
    tally = Tally("flips of run states")
    for number, run in enumerate(runs):
        flip_states(tally, run, count, seed + number)
    tally.check()


@pytest.mark.parametrize(("count", "seed"), [FEW_ENTRIES, MANY_ENTRIES])
def test_a_flipped_bit_of_cached_features_changes_none(tmp_path, count, seed):
    tally = Tally("flips of cached features")
    flip_entries(tally, tmp_path, count, seed=seed)
    tally.check()


@pytest.mark.parametrize("count", [FEW_FITS, MANY_FITS])
def test_a_fit_that_meets_a_flipped_bit_refuses_it_or_gives_the_same_weights(runs, tmp_path, count):
    tally = Tally("fits resumed after a flip")
    resume_after_flips(tally, runs, tmp_path, count)
    tally.check()


def resume_after_flips(tally: Tally, runs: list[Path], folder: Path, count: int) -> None:
    """Fit with a flipped bit in the run, or in the features that the fit finds cached: same weights, or an error of ours."""
    chance = random.Random(count)
    whole = weights(fit(None))
    shelf, kept = folder / "shelf", folder / "kept"
    fit(None, shared=SharedCache(shelf))
    shutil.copytree(shelf, kept)
    for number in range(count):
        run, of_run = folder / f"run-{number}", number % 2 == 0
        shutil.copytree(runs[number // 2 % len(runs)], run)
        paths = [run / name for name in RUN_FILES] if of_run else [path for path in shelf.rglob("*") if path.is_file()]
        name, path, content = flipped(chance, {path: path.read_bytes() for path in paths})
        path.write_bytes(content)
        try:
            with measured(tally):
                found = weights(fit(run, shared=SharedCache(shelf)))
            assert_same_bits(found, whole)
            held, why = True, ""
        except TaskgraftError as error:
            held, why = of_run, str(error)
        except Exception as error:
            held, why = False, f"{type(error).__name__}: {error}"
        tally.count(f"{name} (number {number} of {count})", held, why=why)
        shutil.rmtree(run)
        shutil.rmtree(shelf)
        shutil.copytree(kept, shelf)
