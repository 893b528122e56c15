"""Power cuts at any moment: the old or the new output is whole, or the command is resumed to the same bits.

Where a sync is missing, the layer that drops what was not synced shows it.
"""

import os
import stat

import interrupted
import pytest
from attacks import Tally
from interrupted import Trials
from planting import install
from power import CUTS

from taskgraft.discovery.catalog import catalog

COMMANDS = {"FIT": 25, "REFIT": 20, "COMPARE": 10, "PREDICT": 15, "FEATURES": 15, "EXPORT": 15, "PLUGIN": 5}
"""What is cut → how often. Each fifth cut comes after the end."""


@pytest.fixture(autouse=True)
def disk_plugin_installed(tmp_path, small_plugin_installed):
    install(tmp_path / "installed", "taskgraft-disk", "disk_plugin")
    catalog.cache_clear()


def trials(tmp_path, command, tally, plant=None):
    return Trials(command if plant is None else interrupted.replace(command, plant=plant), tmp_path / "trials", tally)


@pytest.mark.slow
def test_a_cut_leaves_features_whole(tmp_path):
    tally = Tally("power cuts of features -o")
    some = trials(tmp_path, interrupted.FEATURES, tally)
    for point, how in enumerate(CUTS, some.points - 2):  # the last comes after the end
        some.cut_before(point, how)
    tally.check()


@pytest.mark.slow
def test_a_cut_while_an_artifact_is_replaced_leaves_it_whole_or_resumes_the_fit(tmp_path):
    tally = Tally("power cuts of fit --overwrite")
    some = trials(tmp_path, interrupted.REFIT, tally)
    for back, how in ((-1, CUTS[1]), (2, CUTS[3]), (5, CUTS[0]), (20, CUTS[3])):  # the first comes after the end
        some.cut_before(some.points - back, how)
    tally.check()


def without_syncs_of(*, folders: bool):
    """Leave out the syncs of folders, or of files."""

    def plant():
        original = os.fsync
        os.fsync = lambda handle: stat.S_ISDIR(os.fstat(handle).st_mode) == folders or original(handle)

    return plant


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folders", "how", "problem"),
    [
        (False, "names without contents", "out.npz is not on the disk though the command had ended"),
        (True, "nothing synced later", "out.npz is not on the disk though the command had ended"),
    ],
)
def test_a_missing_sync_is_found(tmp_path, folders, how, problem):
    tally = Tally("planted faults")
    some = trials(tmp_path, interrupted.FEATURES, tally, without_syncs_of(folders=folders))
    some.cut_before(some.points + 1, how)
    assert (tally.tried, tally.held) == (1, 0)
    assert problem in tally.failures[0]


@pytest.mark.slow
def test_an_artifact_that_was_not_synced_before_the_state_was_deleted_is_found(tmp_path):
    """The fault of 0.1.0: files of 0 bytes, and no state."""
    tally = Tally("planted faults")
    some = trials(tmp_path, interrupted.FIT, tally, without_syncs_of(folders=False))
    some.cut_before(some.points + 1, "names without contents")
    assert (tally.tried, tally.held) == (1, 0)
    assert "intents is not on the disk though the command had ended" in tally.failures[0]


@pytest.mark.attack
@pytest.mark.parametrize("name", COMMANDS)
def test_power_cuts(tmp_path, name):
    command = getattr(interrupted, name)
    tally = Tally(f"power cuts: {command.name}")
    trials(tmp_path, command, tally).some_cuts(COMMANDS[name])
    tally.check()
