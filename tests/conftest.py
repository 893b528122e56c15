"""Fixtures that several tests share."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything that reads it is imported

from attacks import TALLIES, table
from planting import Garden, garden_in, install

from taskgraft.discovery.catalog import catalog

WHOLE_FILE = re.compile(r"^pytestmark = \[?pytest\.mark\.(slow|attack)\b", re.MULTILINE)


class WithoutMarkedFiles:
    """Leaves files uncollected whose tests are all deselected by ``-m``: importing them takes seconds."""

    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        if collection_path.suffix != ".py" or "not " not in config.option.markexpr:
            return None
        mark = WHOLE_FILE.search(collection_path.read_text())
        return True if mark and f"not {mark[1]}" in config.option.markexpr else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(WithoutMarkedFiles())  # a hook of this file would see the files of this folder alone


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Signals do what they do by default, also where the tests run under nohup or in the background."""
    defaults = {
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGINT: signal.default_int_handler,
    }
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def small_plugin_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The four small backbones can be named: small-words, small-pictures, small-table, small-pairs."""
    install(tmp_path / "installed", "taskgraft-small", "small_plugin")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    catalog.cache_clear()
    yield
    catalog.cache_clear()


@pytest.fixture
def garden(tmp_path: Path) -> Iterator[Garden]:
    """A folder to plant plugins in; no other plugin is in sight but the core's own."""
    with garden_in(tmp_path / "gardens" / "garden") as garden:
        yield garden


@pytest.fixture
def beside_others(tmp_path: Path) -> Iterator[Garden]:
    """A folder to plant plugins in, among all that is installed here."""
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        yield garden


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was attacked, and what held."""
    if TALLIES and terminalreporter.config.getoption("-m") == "attack":
        terminalreporter.section("attacks")
        terminalreporter.write_line(table(TALLIES))
