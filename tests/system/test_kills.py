"""SIGKILL at random moments, some after the end, and before each change of the file system: the same bits after resuming."""

import every_pair
import interrupted
import pytest
from attacks import Tally
from interrupted import Trials, strategy_fit
from planting import install

from taskgraft.discovery.catalog import catalog

COMMANDS = {
    "REFIT": 15,
    "COMPARE": 16,
    "COMPARE_SPAWNED": 4,
    "PREDICT": 15,
    "FEATURES": 15,
    "EXPORT": 15,
    "PLUGIN": 6,
}
"""What is killed → how often. With six kills of each of 21 strategies, 212 in all."""


@pytest.fixture
def plugins(tmp_path, small_plugin_installed):
    install(tmp_path / "installed", "taskgraft-disk", "disk_plugin")
    catalog.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PREDICT", "EXPORT"])
def test_a_killed_command_leaves_its_output_whole_and_the_next_removes_what_is_left(tmp_path, plugins, name):
    tally = Tally(name)
    some = Trials(getattr(interrupted, name), tmp_path / "trials", tally)
    for point in range(some.points - 4, some.points + 1, 2):
        some.kill_before(point)
    tally.check()


@pytest.mark.attack
@pytest.mark.parametrize("name", COMMANDS)
def test_kills(tmp_path, plugins, name):
    command = getattr(interrupted, name)
    tally = Tally(f"kills: {command.name}")
    Trials(command, tmp_path / "trials", tally).some_kills(COMMANDS[name])
    tally.check()


@pytest.mark.attack
def test_kills_of_every_strategy(tmp_path):
    ((backbone, rows),) = every_pair.backbones(tmp_path, ("bert",)).values()
    strategies = every_pair.strategies(tmp_path)
    assert len(strategies) > 18
    tally = Tally("kills: fit, every strategy")
    for number, (name, strategy) in enumerate(strategies.items()):
        Trials(strategy_fit(name, strategy, backbone, rows), tmp_path / f"trials-{number}", tally).some_kills(6)
    tally.check()
