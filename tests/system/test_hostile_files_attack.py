"""Files that are not files, in every place that is read: one sentence, within five seconds and 300 MB."""

import pytest
from attacks import Tally
from hostile_files import NAMES, attacks, attempt, build_world, holds, refused_name

import taskgraft as tg
from taskgraft.discovery.catalog import catalog
from taskgraft.reading.read import read_rows
from taskgraft.recipes.files import read_recipe

pytestmark = pytest.mark.attack


@pytest.mark.usefixtures("small_plugin_installed")
def test_files_that_are_not_files_are_refused(tmp_path):
    world = build_world(tmp_path)
    tally = Tally("files that are not files")
    for attack in attacks():
        outcome = attempt(attack, world)
        tally.count(attack.name, holds(outcome), outcome)
    tally.check()


USES = {
    "data": lambda name: read_rows(name, catalog(), "the data"),
    "data.csv": lambda name: read_rows(f"{name}.csv", catalog(), "the data"),
    "recipe": read_recipe,
    "recipe.toml": lambda name: read_recipe(f"{name}.toml"),
    "artifact": tg.load,
    "checkpoint": lambda name: tg.compose(f"hf-text:./{name}", "classification", "linear-probe"),
    "weights": lambda name: tg.compose({"name": "timm", "model": "test_resnet", "weights": name}, "classification", "full").fit(
        {"image": [b"x", b"y"], "label": ["a", "b"]}, target="label", quiet=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_hostile_names_are_refused(use, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tally = Tally(f"hostile names: {use}")
    for kind in NAMES:
        outcome = refused_name(kind, USES[use])
        tally.count(kind, holds(outcome), outcome)
    tally.check()
