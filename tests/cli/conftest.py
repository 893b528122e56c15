"""An artifact for the commands that use one."""

import pytest
from small_recipe import fitted_recipe


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """An artifact of a small model that is described by a recipe, in a folder with data."""
    with fitted_recipe(tmp_path_factory.mktemp("predicting")) as folder:
        yield folder


@pytest.fixture
def place(fitted, tmp_path, monkeypatch):
    """The working directory, with the artifact and data."""
    (tmp_path / "intents").symlink_to(fitted / "intents")
    (tmp_path / "valid.csv").write_bytes((fitted / "valid.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path
