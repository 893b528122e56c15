"""An artifact for the commands that use one."""

import pytest
from commands import typed
from small_recipe import RECIPE, write_rows


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """An artifact of a small model that is described by a recipe, in a folder with data."""
    from planting import install

    from taskgraft.discovery.catalog import catalog

    place = tmp_path_factory.mktemp("predicting")
    install(place / "installed", "taskgraft-small", "small_plugin")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(place / "installed")
        catalog.cache_clear()
        write_rows(place / "train.csv", 24, 0)
        write_rows(place / "valid.csv", 12, 1)
        (place / "intents.toml").write_text(RECIPE)
        assert typed("fit", place / "intents.toml", "-q").code == 0
        yield place
    catalog.cache_clear()


@pytest.fixture
def place(fitted, tmp_path, monkeypatch):
    """The working directory, with the artifact and data."""
    (tmp_path / "intents").symlink_to(fitted / "intents")
    (tmp_path / "valid.csv").write_bytes((fitted / "valid.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path
