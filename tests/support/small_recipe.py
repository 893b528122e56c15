"""A recipe over a small backbone, and rows for it."""

import csv
from contextlib import contextmanager

import pytest
from commands import typed
from planting import install
from small_tasks import sentences

from taskgraft.discovery.catalog import catalog

RECIPE = """
backbone = "small-words"
head = "classification"
strategy = {name = "linear-probe", penalty = 1e-3}

[data]
train = "train.csv"
validation = "valid.csv"
inputs = "text"
target = "label"
"""


def write_rows(path, count, seed):
    rows = sentences(count, seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows((f"{number:03}", *row) for number, row in enumerate(zip(*rows.values(), strict=True)))


@contextmanager
def fitted_recipe(folder):
    """Fit the recipe in a folder, to the artifact ``intents``; the plugin of its backbone is installed meanwhile."""
    install(folder / "installed", "taskgraft-small", "small_plugin")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(folder / "installed")
        catalog.cache_clear()
        write_rows(folder / "train.csv", 24, 0)
        write_rows(folder / "valid.csv", 12, 1)
        (folder / "intents.toml").write_text(RECIPE)
        assert typed("fit", folder / "intents.toml", "-q").code == 0
        yield folder
    catalog.cache_clear()


@contextmanager
def large_recipe(folder):
    """As :func:`fitted_recipe`, with ``many.csv`` (5,000 rows) and ``many.toml`` for it, and an empty ``temporary``."""
    with fitted_recipe(folder):
        write_rows(folder / "many.csv", 5_000, 2)
        (folder / "many.toml").write_text(RECIPE.replace('"train.csv"', '"many.csv"'))
        (folder / "temporary").mkdir()
        yield folder
