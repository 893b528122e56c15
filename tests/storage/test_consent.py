"""An artifact asks for settings that need consent, in every place of its recipe; no public function grants them."""

import json
import shutil
from pathlib import Path

import pytest
from commands import typed
from forged_artifact import rewrite_manifest
from planting import OPENING, garden_in, install
from small_tasks import sentences

import taskgraft as tg
from taskgraft.discovery.catalog import catalog
from taskgraft.inference.extract_features import extract_features
from taskgraft.recipes.files import read_recipe
from taskgraft.storage.manifest import InvalidArtifact

pytestmark = pytest.mark.slow

TRUSTING = f"""{OPENING}
from pathlib import Path
from typing import ClassVar

from taskgraft.plugin import BackboneSpec, ReaderSpec, SplitSpec, StrategySpec
from taskgraft.builtin.readers.csv import read_csv
from taskgraft.builtin.readers.configs import CsvConfig
from taskgraft.builtin.strategies.fine_tuning import Full, FullConfig
from small_plugin import WordsConfig, describe_words


class Trusting(Config):
    needs_consent: ClassVar = frozenset({{"remote_code"}})
    positional: ClassVar = "remote_code"

    remote_code: bool = False


class TrustingWords(WordsConfig):
    needs_consent: ClassVar = frozenset({{"remote_code"}})

    remote_code: bool = False


def run(config):
    if config.remote_code:
        Path("MARK").touch()


def build_words(config):
    from backbones import Words

    run(config)
    return Words(config)


def build_strategy(config):
    run(config)
    return Full(FullConfig())


def read(path, config):
    run(config)
    return read_csv(path, CsvConfig())


def split(rows, targets, config, seed):
    run(config)
    return {{"train": list(range(len(rows) - 8)), "validation": list(range(len(rows) - 8, len(rows)))}}


@hookimpl
def taskgraft_backbones():
    yield BackboneSpec(
        name="trusting-words", summary="runs code", config=TrustingWords, describe=describe_words, build=build_words
    )


@hookimpl
def taskgraft_strategies():
    yield StrategySpec(name="trusting", summary="runs code", config=Trusting, build=build_strategy)


@hookimpl
def taskgraft_readers():
    yield ReaderSpec(name="trusting-csv", summary="runs code", config=Trusting, read=read)


@hookimpl
def taskgraft_splits():
    yield SplitSpec(name="trusting-split", summary="runs code", config=Trusting, split=split)
"""

PLACES = {
    "backbone": lambda recipe: recipe["backbone"]["settings"].update(remote_code=True),
    "strategy": lambda recipe: recipe["strategy"]["settings"].update(remote_code=True),
    "argument": lambda recipe: recipe.update(strategy={"name": "acme/trusting:true"}),
    "nested strategy": lambda recipe: recipe.update(
        strategy={"name": "stages", "settings": {"strategies": [{"name": "trusting", "remote_code": True}]}}
    ),
    "one nested strategy": lambda recipe: recipe.update(
        strategy={"name": "average", "settings": {"strategy": {"name": "trusting", "settings": {"remote_code": True}}}}
    ),
    "the argument of an argument": lambda recipe: recipe.update(strategy={"name": "average:trusting:true"}),
    "deeply nested strategy": lambda recipe: recipe.update(
        strategy={
            "name": "stages",
            "settings": {
                "strategies": [
                    {"name": "stages", "strategies": [{"name": "acme/trusting", "settings": {"remote_code": True}}]}
                ]
            },
        }
    ),
    "reader": lambda recipe: recipe["data"].update(reader={"name": "trusting-csv", "settings": {"remote_code": True}}),
    "split": lambda recipe: recipe["data"].update(split="trusting-split:true", validation=None),
    "a word": lambda recipe: recipe["backbone"]["settings"].update(remote_code="yes"),
}
"""Place → what a forger writes there."""

PYTHON = {
    "read_recipe": read_recipe,
    "composed recipe": lambda artifact: tg.compose(read_recipe(artifact).backbone, "classification", "full"),
    "load": tg.load,
    "compare": lambda artifact: tg.compare(artifact, ["full", "linear-probe"], folder="compared"),
    "teacher": lambda artifact: tg.compose("small-words", "classification", f"distill:{artifact}"),
}

OF_THE_BACKBONE = {
    "base": lambda artifact: tg.compose(f"trusting-words:{artifact}", "classification", "full"),
    "extract_features": lambda artifact: extract_features(artifact, ["a b"], quiet=True),
    "features of a name": lambda artifact: extract_features({"name": str(artifact)}, ["a b"], quiet=True),
}

COMMANDS = {
    "fit": ("fit", "forged", "-q", "-o", "again"),
    "compare": ("compare", "forged", "--strategy", "full", "--strategy", "linear-probe", "-q", "-o", "compared"),
    "evaluate": ("evaluate", "forged", "valid.csv", "-q"),
    "predict": ("predict", "forged", "valid.csv", "-q", "-o", "predicted.csv"),
    "export": ("export", "forged", "exported"),
}

OF_THE_BACKBONE_TYPED = {
    "features": ("features", "forged", "valid.csv", "-q", "-o", "features.parquet"),
    "show": ("show", "trusting-words:forged"),
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """An honest artifact, whose components could ask for more."""
    folder = tmp_path_factory.mktemp("honest")
    with garden_in(tmp_path_factory.mktemp("gardens") / "garden", alone=False) as garden:
        garden.plant(TRUSTING)
        install(garden.folder, "taskgraft-small", "small_plugin")
        rows = sentences(24)
        lines = [f"{text},{label}" for text, label in zip(rows["text"], rows["label"], strict=True)]
        for name in ("train.csv", "valid.csv"):
            (folder / name).write_text("\n".join(["text,label", *lines, ""]))
        (folder / "recipe.json").write_text(
            json.dumps(
                {
                    "backbone": "trusting-words",
                    "head": "classification",
                    "strategy": "trusting",
                    "data": {"train": "train.csv", "validation": "valid.csv", "inputs": "text", "target": "label"},
                }
            )
        )
        catalog.cache_clear()
        assert typed("fit", folder / "recipe.json", "-q", "-o", folder / "honest").code == 0
        yield folder


@pytest.fixture
def forge(artifact, tmp_path, monkeypatch):
    """Forge the artifact in one place; return its path."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.csv", "valid.csv"):
        shutil.copy(artifact / name, name)

    def forged(place: str) -> Path:
        path = Path("forged")
        shutil.copytree(artifact / "honest", path)
        rewrite_manifest(path, lambda manifest: PLACES[place](manifest["recipe"]))
        return path

    return forged


def assert_refused(text: str) -> None:
    assert "The artifact forged cannot be used: it asks for 'remote_code', which only you can grant: pass " in text
    assert not Path("MARK").exists()
    assert not [path for path in Path().iterdir() if path.name in ("again", "compared", "predicted.csv", "exported")]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("function", PYTHON)
def test_no_function_takes_what_an_artifact_says_for_consent(forge, place, function):
    with pytest.raises(InvalidArtifact) as caught:
        PYTHON[function](forge(place))
    assert_refused(str(caught.value))


@pytest.mark.parametrize("place", ["backbone", "a word"])
@pytest.mark.parametrize("function", OF_THE_BACKBONE)
def test_nor_does_one_that_needs_only_its_backbone(forge, place, function):
    with pytest.raises(InvalidArtifact) as caught:
        OF_THE_BACKBONE[function](forge(place))
    assert_refused(str(caught.value))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_what_an_artifact_says_for_consent(forge, place, command):
    forge(place)
    done = typed(*COMMANDS[command])
    assert done.code == 2
    assert_refused(done.err)


@pytest.mark.parametrize("command", OF_THE_BACKBONE_TYPED)
def test_nor_does_a_command_that_needs_only_its_backbone(forge, command):
    forge("backbone")
    done = typed(*OF_THE_BACKBONE_TYPED[command])
    assert done.code == 2
    assert_refused(done.err)


def test_the_message_says_what_to_pass(forge):
    with pytest.raises(InvalidArtifact) as caught:
        read_recipe(forge("nested strategy"))
    assert str(caught.value) == (
        "The artifact forged cannot be used: it asks for 'remote_code', which only you can grant: "
        'pass strategy={"name": "trusting", "remote_code": True, …} if you trust it.'
    )


def test_the_user_grants_it_by_an_override_or_by_naming_the_component(forge):
    path = forge("backbone")
    assert read_recipe(path, ["backbone.remote_code=true"]).backbone.settings["remote_code"] is True
    assert read_recipe(path, ["backbone.remote_code=false"]).backbone.settings["remote_code"] is False
    assert read_recipe(path, backbone={"name": "trusting-words", "remote_code": True}).backbone.settings["remote_code"]
    assert not Path("MARK").exists()
    tg.load(path, backbone={"name": "trusting-words", "remote_code": True})
    assert Path("MARK").exists()


def test_consent_to_one_component_is_none_to_another(forge):
    path = forge("strategy")
    with pytest.raises(InvalidArtifact):
        read_recipe(path, ["backbone.remote_code=true"])
    with pytest.raises(InvalidArtifact):
        tg.load(path, backbone={"name": "trusting-words", "remote_code": True})


def test_a_path_in_the_manifest_cannot_become_consent(forge):
    """A folder called ``true`` would be read as a yes."""
    path = forge("backbone")
    Path("true").mkdir()
    rewrite_manifest(path, lambda manifest: manifest["recipe"]["backbone"]["settings"].update(remote_code="no"))
    rewrite_manifest(path, lambda manifest: manifest.update(paths={"backbone/settings/remote_code": "../true"}))
    with pytest.raises(InvalidArtifact):
        read_recipe(path)
    done = typed("features", path, "valid.csv", "--backbone", "true", "-q", "-o", "features.parquet")
    assert done.code == 2
    assert not Path("MARK").exists()


def test_consent_to_a_component_is_none_to_what_is_nested_in_it(forge):
    path = forge("nested strategy")
    with pytest.raises(InvalidArtifact) as caught:
        read_recipe(path, ["strategy.remote_code=true"])
    assert "it asks for 'remote_code', which only you can grant" in str(caught.value)
