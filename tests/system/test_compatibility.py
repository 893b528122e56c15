"""What was written for an older contract keeps working: a plugin, a recipe and artifacts, committed once, never made anew."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from commands import typed
from planting import Garden, garden_in

import taskgraft as tg
from taskgraft.discovery.catalog import UnknownComponent, load_catalog
from taskgraft.storage.manifest import InvalidArtifact

FOLDER = Path(__file__).parents[1] / "compatibility"

DIGESTS = {"contract_1_0": "c347cc8b5863e151e8a425c2065c961cc38a99c10710ea3bf9e049163f064c61"}
"""Of all files of a folder. If one differs, a file was changed that users of that contract still have: take the change back.
What a newer contract adds gets a folder and a digest of its own.
"""

OLD = FOLDER / "contract_1_0"
EXPECTED = json.loads((OLD / "expected.json").read_text())
NAMES = ("old-commonest", "old-every", "old-last", "old-letters", "old-right", "old-tabs", "old-yes")


def digest(folder: Path) -> str:
    """The digest of the names and contents of all files."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()


def plant(garden: Garden) -> None:
    """Install the old plugin."""
    shutil.copytree(OLD / "letters_1_0", garden.folder / "letters_1_0", ignore=shutil.ignore_patterns("__pycache__"))
    garden.plant(None, distribution="old-letters", version="1.0", entry_points="letters = letters_1_0")


@pytest.fixture
def old_plugin(tmp_path: Path):
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        plant(garden)
        yield garden


def artifact(name: str) -> Path:
    return OLD / "artifacts" / name


def test_the_files_are_those_that_were_committed():
    assert {folder.name: digest(folder) for folder in FOLDER.iterdir()} == DIGESTS


def test_an_old_plugin_loads_without_a_word(old_plugin):
    known = load_catalog()
    told = [str(one) for one in (*known.failures, *known.remarks) if one.source.distribution == "old-letters"]
    assert told == []
    found = {entry.spec.name for entry in known.entries if entry.source.distribution == "old-letters"}
    assert found == set(NAMES)


@pytest.mark.slow
def test_an_old_recipe_fits(old_plugin, tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    done = typed("fit", "recipe.toml", "-o", "fitted", "-q", "--json")
    assert (done.code, done.err) == (0, "")
    model = tg.load("fitted")
    assert model.predict(["aeiou", "bcdfg"], quiet=True) == ["vowel", "consonant"]
    judged = model.evaluate("train.tabs", resamples=0, quiet=True)
    assert judged["old_right"] > 0.95
    assert judged.baselines["old-commonest"]["old_right"] < 0.6


@pytest.mark.parametrize("name", EXPECTED["artifacts"])
def test_an_old_artifact_loads_and_predicts_what_it_did(old_plugin, name):
    model = tg.load(artifact(name))
    texts, expected = {"text": EXPECTED["texts"]}, EXPECTED["artifacts"][name]
    found = {method: getattr(model, method)(texts, quiet=True) for method in expected}
    assert found == {method: close(values) for method, values in expected.items()}


def close(value):
    """The same labels, and the same numbers as far as machines agree on them."""
    if isinstance(value, list):
        return [close(one) for one in value]
    if isinstance(value, dict):
        return {key: close(one) for key, one in value.items()}
    return pytest.approx(value, rel=0, abs=1e-5) if isinstance(value, float) else value


def test_an_old_artifact_is_the_base_of_a_new_model(old_plugin):
    model = tg.compose(f"old-letters:{artifact('multi-label')}", "classification", "linear-probe")
    rows = {"text": EXPECTED["texts"], "label": EXPECTED["artifacts"]["classification"]["predict"]}
    model.fit(rows, target="label", quiet=True)
    assert model.predict(rows["text"], quiet=True) == rows["label"]


def test_an_artifact_without_its_plugin_says_what_to_install(garden):
    folder = artifact("old-yes")
    with pytest.raises(InvalidArtifact) as caught:
        tg.load(folder)
    assert str(caught.value) == (
        f"The artifact {folder} cannot be used: it needs old-letters 1.0, not installed here: pip install old-letters."
    )


@pytest.mark.parametrize(
    "command", [("predict", "train.tabs"), ("evaluate", "train.tabs"), ("fit", "-o", "again")], ids=lambda one: one[0]
)
def test_a_command_on_an_artifact_without_its_plugin_says_what_to_install(garden, tmp_path, monkeypatch, command):
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    done = typed(command[0], "artifacts/old-yes", *command[1:], "-q")
    assert (done.code, done.out) == (2, "")
    assert "pip install old-letters" in done.err


@pytest.mark.parametrize("contract", ["1.2", "2.0"])
def test_the_artifact_of_a_plugin_that_is_too_new_says_so(old_plugin, contract):
    main = old_plugin.folder / "letters_1_0" / "__init__.py"
    main.write_text(main.read_text().replace('TASKGRAFT_CONTRACT = "1.0"', f'TASKGRAFT_CONTRACT = "{contract}"'))
    reason = f"old-letters 1.0 (was built for contract {contract}, newer than the installed 1.1: update taskgraft)"
    assert reason in map(str, load_catalog().failures)
    with pytest.raises(UnknownComponent) as caught:
        tg.load(artifact("old-yes"))
    assert str(caught.value).startswith("No backbone named 'old-letters/old-letters'")
    assert f"A plugin that did not load may provide it: {reason}." in str(caught.value)
    assert "pip install" not in str(caught.value)
