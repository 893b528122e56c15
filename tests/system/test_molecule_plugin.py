"""The third-party plugins in examples/ are self-contained, and import only public names."""

import ast
import tomllib
from pathlib import Path

import pytest

import taskgraft
import taskgraft.plugin
import taskgraft.testing

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(ROOT.glob("examples/plugin-*"))
PUBLIC = {module.__name__: module for module in (taskgraft, taskgraft.plugin, taskgraft.testing)}
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in folder.rglob("*.py")
    if "build" not in path.parts
)


def imported(path: Path) -> list[tuple[str, str]]:
    """List what a file imports from taskgraft: module and name."""
    tree = ast.walk(ast.parse(path.read_text()))
    found = [node for node in tree if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskgraft")]
    return [(node.module, alias.name) for node in found for alias in node.names]


def is_public(module: str, name: str) -> bool:
    return module in PUBLIC and name in PUBLIC[module].__all__


@pytest.mark.parametrize("file", FILES)
def test_it_imports_public_names_only(file):
    assert [found for found in imported(ROOT / file) if not is_public(*found)] == []


def test_a_name_that_is_not_public_is_found():
    assert not is_public("taskgraft.reading.splitting", "split_rows")
    assert not is_public("taskgraft", "descent")
    assert is_public("taskgraft.plugin", "InvalidRows")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_not_part_of_this_repositorys_lists(folder):
    name = folder.name.removeprefix("plugin-")
    assert f"plugin-{name}" not in (ROOT / "pyproject.toml").read_text()
    assert f"plugin-{name}" not in (ROOT / "Makefile").read_text()
    assert set(tomllib.loads((folder / "pyproject.toml").read_text())["tool"]) <= {"hatch", "mypy", "pytest", "ruff"}
