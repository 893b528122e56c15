"""An artifact finds its base when both have moved, and says where it looked when it does not."""

import json
import os
import shutil
from pathlib import Path

import pytest
from commands import typed
from planting import garden_in
from small_tasks import sentences

import taskgraft as tg
from taskgraft.storage.manifest import InvalidArtifact

pytestmark = pytest.mark.slow

BASED = '''
"""A backbone whose weights are in a folder."""

from pathlib import Path

from backbones import Words
from small_plugin import WordsConfig, describe_words

from taskgraft.plugin import BackboneSpec, Config, Checkpoint, hookimpl

TASKGRAFT_CONTRACT = "1.0"


class BasedConfig(Config):
    positional = "checkpoint"

    checkpoint: str
    revision: str | None = None
    scale: int = 1


def _words(config):
    return WordsConfig(seed=int((Checkpoint(config.checkpoint).folder() / "seed.txt").read_text()))


class Based(Words):
    def __init__(self, config):
        super().__init__(_words(config))
        self.scaled = config.scale

    def fingerprint(self):
        return f"seed {self.config.seed}"

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return type(features)(layout, (features.value * self.scaled,), features.lengths)


@hookimpl
def taskgraft_backbones():
    yield BackboneSpec(
        name="based",
        summary="words from a folder",
        config=BasedConfig,
        describe=lambda config: describe_words(_words(config)),
        build=lambda config: Based(config).eval(),
    )
'''

TEXTS = sentences(8)["text"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, with a base in ``bases/one``; the backbone ``based`` is installed."""
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        garden.plant(BASED, "based-plugin", module="based_plugin")
        work = tmp_path / "work"
        (work / "bases" / "one").mkdir(parents=True)
        (work / "bases" / "one" / "seed.txt").write_text("3")
        monkeypatch.chdir(work)
        yield work


def fitted(backbone="based:bases/one", strategy="linear-probe"):
    model = tg.compose(backbone, "classification", strategy)
    model.fit(sentences(), target="label", training={"epochs": 1}, quiet=True)
    return model


def predictions(folder, **settings):
    return tg.load(folder, **settings).predict_proba(TEXTS, quiet=True)


@pytest.fixture
def artifact(place):
    """An artifact over ``bases/one``, in ``models/one``, and its predictions."""
    model = fitted()
    model.save("models/one")
    return place / "models" / "one", model.predict_proba(TEXTS, quiet=True)


def test_the_path_of_the_base_is_stored_relative_to_the_artifact_too(artifact):
    folder, _ = artifact
    manifest = json.loads((folder / "taskgraft.json").read_text())
    assert manifest["paths"] == {"backbone/settings/checkpoint": "../../bases/one"}
    assert manifest["recipe"]["backbone"]["settings"]["checkpoint"] == "bases/one"
    assert tg.load(folder).recipe.backbone.settings["checkpoint"] == "bases/one"


def test_from_another_working_directory_the_base_is_found(artifact, tmp_path, monkeypatch):
    folder, expected = artifact
    monkeypatch.chdir(tmp_path)
    assert predictions(folder) == expected
    monkeypatch.chdir("/")
    assert predictions(folder) == expected
    assert predictions(os.path.relpath(folder)) == expected


@pytest.mark.parametrize("absolute", [False, True])
def test_an_artifact_and_its_base_that_moved_together_belong_together(place, tmp_path, monkeypatch, absolute):
    model = fitted(f"based:{place / 'bases' / 'one'}" if absolute else "based:bases/one")
    model.save("models/one")
    expected = model.predict_proba(TEXTS, quiet=True)
    shutil.copytree(place, tmp_path / "copy")
    (place / "bases" / "one" / "seed.txt").write_text("4")  # what was copied is used, not what is left
    assert predictions(tmp_path / "copy" / "models" / "one") == expected
    shutil.rmtree(place / "bases")
    monkeypatch.chdir(tmp_path / "copy")
    assert predictions("models/one") == expected
    again = tg.load("models/one").save("elsewhere/again")
    monkeypatch.chdir("elsewhere")
    assert predictions(again) == expected


def test_through_a_symbolic_link_the_base_is_found(artifact, tmp_path, monkeypatch):
    folder, expected = artifact
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert predictions("link") == expected


def test_an_artifact_that_moved_alone_finds_a_base_where_it_was(artifact, tmp_path, monkeypatch):
    folder, expected = artifact
    shutil.move(folder, tmp_path / "alone")
    assert predictions(tmp_path / "alone") == expected  # the working directory is the same
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArtifact) as caught:
        tg.load("alone")
    assert str(caught.value) == (
        f"The artifact alone cannot be used: its base is neither at {tmp_path.parent}/bases/one (relative to the artifact) nor "
        "at bases/one (as it was written); say where it is with --backbone PATH, in Python with backbone=PATH."
    )
    for there in (tmp_path / "work" / "bases" / "one", "work/bases/one", "based:work/bases/one"):
        assert predictions("alone", backbone=there) == expected


def test_the_other_settings_of_a_base_that_moved_stay(place, tmp_path, monkeypatch):
    model = fitted({"name": "based:bases/one", "scale": 3})
    model.save("one")
    expected = model.predict_proba(TEXTS, quiet=True)
    shutil.move("bases", "moved")
    for reference in ("moved/one", "based:moved/one"):
        assert predictions("one", backbone=reference) == expected
    again = tg.load("one", backbone="moved/one").save("again")
    assert predictions(again) == expected


def test_words_that_name_a_file_by_chance_are_no_paths(place):
    Path("main").mkdir()
    Path("bases/one/readme").touch()
    model = fitted({"name": "based:bases/one", "revision": "main"})
    manifest = json.loads((model.save("one") / "taskgraft.json").read_text())
    assert list(manifest["paths"]) == ["backbone/settings/checkpoint"]


def test_another_base_at_that_path_is_refused(artifact):
    folder, _ = artifact
    Path("bases/two").mkdir()
    Path("bases/two/seed.txt").write_text("5")
    with pytest.raises(InvalidArtifact) as caught:
        tg.load(folder, backbone="bases/two")
    assert str(caught.value) == (
        f"The artifact {folder} cannot be used: it was trained on another base than 'based:bases/two' (seed 3 there, seed 5 "
        "here)."
    )


def test_a_path_that_does_not_exist_is_named(artifact):
    folder, _ = artifact
    with pytest.raises(InvalidArtifact) as caught:
        tg.load(folder, backbone="./nowhere")
    assert str(caught.value) == (
        f"The artifact {folder} cannot be used: its base cannot be found: no checkpoint './nowhere' (there is no such folder); "
        "say where it is with --backbone PATH, in Python with backbone=PATH."
    )


def test_an_artifact_from_before_loads_as_before_and_says_where_the_base_was_looked_for(
    artifact, tmp_path, monkeypatch
):
    folder, expected = artifact
    forget_paths(folder)
    assert predictions(folder) == expected
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArtifact) as caught:
        tg.load(folder)
    assert str(caught.value).startswith(
        f"The artifact {folder} cannot be used: its base cannot be found: no checkpoint 'bases/one' ("
    )
    assert str(caught.value).endswith("; say where it is with --backbone PATH, in Python with backbone=PATH.")
    assert predictions(folder, backbone="work/bases/one") == expected


def forget_paths(folder):
    """Write an artifact as it was written before paths were stored."""
    from forged_artifact import rewrite_manifest

    rewrite_manifest(folder, lambda manifest: manifest.pop("paths"))


# --- artifacts as teachers and as bases


@pytest.mark.parametrize("around", [None, "average", "sharpness-aware"])
def test_a_teacher_and_its_base_move_together(artifact, tmp_path, monkeypatch, around):
    Path("student").mkdir()
    shutil.copytree("bases", tmp_path / "copy" / "bases")
    shutil.move("models", tmp_path / "copy" / "models")
    shutil.rmtree("bases")
    Path("bases/one").mkdir(parents=True)
    Path("bases/one/seed.txt").write_text("7")
    teacher = str(tmp_path / "copy" / "models" / "one")
    distill = {"name": "distill", "teacher": teacher}
    student = fitted(strategy={"name": around, "strategy": distill} if around else distill)
    manifest = json.loads((student.save("student/one") / "taskgraft.json").read_text())
    assert manifest["paths"] == {
        "backbone/settings/checkpoint": "../../bases/one",
        f"strategy{'/settings/strategy' if around else ''}/settings/teacher": "../../../copy/models/one",
    }
    shutil.rmtree(tmp_path / "copy")
    assert predictions("student/one") == student.predict_proba(TEXTS, quiet=True)  # loading needs no teacher


def test_an_artifact_over_an_artifact_moves_with_both_bases(place, tmp_path, monkeypatch):
    fitted(strategy="partial:1").save("first")
    second = fitted("based:first")
    second.save("second")
    expected = second.predict_proba(TEXTS, quiet=True)
    assert predictions("second") == expected
    shutil.move(place, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert predictions("moved/second") == expected
    shutil.move("moved/first", "elsewhere")
    with pytest.raises(InvalidArtifact) as caught:
        tg.load("moved/second")
    assert str(caught.value) == (
        f"The artifact moved/second cannot be used: its base is neither at {tmp_path}/moved/first (relative to the artifact) "
        "nor at first (as it was written); say where it is with --backbone PATH, in Python with backbone=PATH."
    )
    assert predictions("moved/second", backbone="elsewhere") == expected


def test_a_base_whose_own_base_is_missing_says_which_setting_names_it(artifact):
    shutil.move("bases", "moved")
    with pytest.raises(InvalidArtifact) as caught:
        tg.compose("based:models/one", "classification", "linear-probe")
    assert str(caught.value).endswith("; say where it is with the backbone's setting 'checkpoint'.")
    fitted({"name": "based:models/one", "checkpoint": "moved/one"})


# --- the command line


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "model", "test.csv", "-q"),
        ("predict", "model", "test.csv", "-q"),
        ("export", "model", "exported", "-q"),
        ("fit", "model", "-o", "again", "-q"),
        ("compare", "model", "--strategy", "linear-probe", "--strategy", "partial:1", "-o", "compared", "-q"),
        ("features", "model", "test.csv", "-o", "features.npy", "-q"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_says_that_the_base_is_missing_and_takes_it_from_an_option(place, tmp_path, monkeypatch, command):
    write_rows("train.csv", 24)
    write_rows("test.csv", 12)
    model = tg.compose("based:bases/one", "classification", "linear-probe")
    model.fit("train.csv", validation="test.csv", inputs="text", target="label", quiet=True)
    model.save("model")
    shutil.move("bases", "moved")

    done = typed(*command)
    assert (done.code, done.out) == (2, "")
    advice = "with --backbone PATH, in Python with backbone=PATH"
    if command[0] == "features":
        advice = "with the backbone's setting 'checkpoint'"
    assert done.err == (
        f"Error: The artifact model cannot be used: its base is neither at {place}/bases/one (relative to the artifact) nor at "
        f"bases/one (as it was written); say where it is {advice}.\n"
    )
    done = typed(*command, "--backbone", "moved/one")
    assert done.code == 0, done.err


def write_rows(name, count):
    rows = sentences(count)
    Path(name).write_text(
        "text,label\n" + "\n".join(f"{text},{label}" for text, label in zip(rows["text"], rows["label"], strict=True))
    )
