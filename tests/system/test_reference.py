"""The API reference is built from docstrings, and a public name without one is found."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from reference import SURFACE, reference, undocumented

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "support" / "reference.py"


def test_every_public_name_is_documented_and_has_its_place(tmp_path):
    """In a process of its own, as `make docs` runs it: reading the lazy modules loads everything."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.stem for path in tmp_path.iterdir()} == {*SURFACE, "index"}
    assert "cache_features" in (tmp_path / "taskgraft.plugin.html").read_text()


class Planted:
    """A documented class."""

    def bare(self):
        return None


def planted_function():
    return None


def test_a_name_without_a_docstring_is_found(monkeypatch):
    module = ModuleType("planted")
    module.__all__ = ["Planted", "planted_function"]
    module.Planted, module.planted_function = Planted, planted_function
    assert sorted(undocumented(reference(module))) == ["planted.Planted.bare", "planted.planted_function"]
