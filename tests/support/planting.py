"""Plants plugins: real modules with a real dist-info, in a temporary folder."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest

from taskgraft.contract.hooks import ENTRY_POINT_GROUP
from taskgraft.discovery.catalog import BLOCK_VARIABLE, catalog

OPENING = """
from taskgraft.plugin import CONTRACT_VERSION, Config, EmptyConfig, HeadSpec, hookimpl

TASKGRAFT_CONTRACT = CONTRACT_VERSION


def head(name, config=EmptyConfig):
    return HeadSpec(name=name, summary="a planted head", config=config, describe=print, build=print)


"""
"""The first lines of most planted modules."""

HEALTHY = f"""{OPENING}
@hookimpl
def taskgraft_heads():
    yield head("healthy")
"""
"""A plugin without a fault."""


class Garden:
    """A folder for planted plugins. The catalog sees nothing else installed but the core."""

    def __init__(self, folder: Path):
        self.folder = folder

    def plant(
        self,
        code: str | None,
        distribution: str = "acme",
        version: str = "1.0",
        module: str = "acme_plugin",
        entry_points: str | None = None,
    ) -> Path:
        """Plant a plugin.

        Args:
            code: of the module; None writes no module.
            entry_points: the lines of the group; by default one that names the module.
        """
        lines = f"main = {module}" if entry_points is None else entry_points
        about = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        about.joinpath("entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{lines}\n")
        if code is not None:
            self.write(module, code)
        importlib.invalidate_caches()
        return about

    def before(self) -> "Garden":
        """Open another garden that comes earlier on the path."""
        folder = self.folder.with_name(f"before-{self.folder.name}")
        folder.mkdir()
        sys.path.insert(0, str(folder))
        return Garden(folder)

    def write(self, module: str, code: str) -> Path:
        """Write a module without a dist-info."""
        path = self.folder / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        importlib.invalidate_caches()
        return path


@contextmanager
def garden_in(folder: Path, alone: bool = True) -> Iterator[Garden]:
    """Put a garden on the path, and remove all traces of it afterwards.

    Args:
        folder: a new one, whose parent is for gardens only.
        alone: whether other plugins are out of sight. Libraries beside them are too, unless they are imported already.
    """
    folder.mkdir(parents=True)
    for name, text in _core().items():
        about = folder / "taskgraft.dist-info"
        about.mkdir(exist_ok=True)
        about.joinpath(name).write_text(text)
    catalog.cache_clear()
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "path", [str(folder), *(_without_plugins(tuple(sys.path)) if alone else sys.path)])
        monkeypatch.delenv(BLOCK_VARIABLE, raising=False)
        yield Garden(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder.parent)):
            del sys.modules[name]
    catalog.cache_clear()


@cache
def _core() -> Mapping[str, str]:
    names = ("METADATA", "entry_points.txt")
    return {name: distribution("taskgraft").read_text(name) or "" for name in names}


@cache
def _without_plugins(path: tuple[str, ...]) -> list[str]:
    """Remove each folder in which a plugin is installed. Modules imported from there stay imported."""
    return [
        folder
        for folder in path
        if not any(
            point.group == ENTRY_POINT_GROUP for found in distributions(path=[folder]) for point in found.entry_points
        )
    ]


def install(folder: Path, distribution: str, module: str, version: str = "1.0") -> None:
    """Write the dist-info of a distribution with one entry point into a folder."""
    about = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    about.joinpath("entry_points.txt").write_text(f"[taskgraft]\nmain = {module}\n")
