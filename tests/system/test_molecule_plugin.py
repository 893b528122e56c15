"""The plugin of a stranger in examples/ is one: it stands apart, and uses nothing but what the author guide names."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import taskgraft as tg

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "plugin-molecule"
GUIDE = (ROOT / "plugins" / "README.md").read_text()
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py") if "build" not in path.parts)


def imported(path: Path) -> list[tuple[str, str]]:
    """What a file imports of taskgraft: module and name."""
    tree = ast.walk(ast.parse(path.read_text()))
    found = [node for node in tree if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskgraft")]
    return [(node.module, alias.name) for node in found for alias in node.names]


def is_public(module: str, name: str) -> bool:
    if module == "taskgraft":
        return name in tg.__all__
    return module in GUIDE and re.search(rf"\b{name}\b", GUIDE) is not None


@pytest.mark.parametrize("file", FILES)
def test_it_uses_what_the_guide_names(file):
    assert [found for found in imported(FOLDER / file) if not is_public(*found)] == []


def test_what_the_guide_does_not_name_is_told():
    assert not is_public("taskgraft.data.splitting", "divided")
    assert not is_public("taskgraft", "descent")
    assert is_public("taskgraft.contract.rows", "InvalidRows")


def test_it_stands_outside_the_lists_of_this_repository():
    settings = (ROOT / "pyproject.toml").read_text()
    assert "molecule" not in settings
    assert "molecule" not in (ROOT / "Makefile").read_text()
    assert set(tomllib.loads((FOLDER / "pyproject.toml").read_text())["tool"]) == {"hatch", "pytest", "ruff"}
