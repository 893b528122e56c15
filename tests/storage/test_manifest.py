import os
from collections import Counter
from pathlib import Path

import pytest
from small_tasks import sentences

import taskgraft as tg
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.recipe import Recipe
from taskgraft.storage.manifest import (
    MANIFEST,
    SCHEMA,
    SUMS,
    TENSORS,
    InvalidArtifact,
    Manifest,
    checksums,
    read_manifest,
)

NAMED = ComponentRef(name="any")
CONTENTS = Manifest(
    schema_version=SCHEMA,
    recipe=Recipe(backbone=NAMED, head=NAMED, strategy=NAMED),
    target={},
    processor={},
    base=None,
    pads=True,
    sources={},
    metrics={},
    tensors={},
)
MISMATCH = "its files do not match SHA256SUMS, so it is damaged or was changed"


@pytest.fixture
def artifact(tmp_path) -> Path:
    """The three files of an artifact."""
    folder = tmp_path / "intents"
    folder.mkdir()
    (folder / MANIFEST).write_text(CONTENTS.model_dump_json())
    (folder / TENSORS).write_bytes(b"tensors")
    (folder / SUMS).write_text(checksums(folder))
    return folder


@pytest.fixture
def files_read(monkeypatch) -> Counter:
    """How often each file is opened."""
    count: Counter = Counter()
    opened = os.open

    def open_and_count(path, *arguments, **settings):
        count[Path(path).name] += 1
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(os, "open", open_and_count)
    return count


def problem(read, folder: Path) -> str:
    """Why an artifact cannot be used."""
    with pytest.raises(InvalidArtifact) as caught:
        read(folder)
    assert str(caught.value) == f"The artifact {folder} cannot be used: {caught.value.problem}."
    return caught.value.problem


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_manifest_comes_back(artifact):
    assert read_manifest(artifact) == CONTENTS


def test_a_manifest_is_read_without_opening_the_tensor_file(artifact, files_read):
    read_manifest(artifact)
    assert (files_read[MANIFEST], files_read[SUMS], files_read[TENSORS]) == (1, 1, 0)


def test_a_manifest_is_read_where_the_tensor_file_is_damaged(artifact):
    damage(artifact / TENSORS)
    assert read_manifest(artifact) == CONTENTS


def test_a_damaged_manifest_is_rejected(artifact):
    damage(artifact / MANIFEST)
    assert problem(read_manifest, artifact) == MISMATCH


@pytest.mark.parametrize("name", [MANIFEST, TENSORS, SUMS])
def test_a_missing_file_is_named(artifact, name):
    (artifact / name).unlink()
    assert problem(read_manifest, artifact) == f"{name} cannot be read (No such file or directory)"


@pytest.mark.parametrize("name", [MANIFEST, TENSORS, SUMS])
def test_a_pipe_instead_of_a_file_is_never_opened(artifact, name):
    (artifact / name).unlink()
    os.mkfifo(artifact / name)
    assert problem(read_manifest, artifact) == f"{name} cannot be read (it is a pipe, not a regular file)"


@pytest.mark.parametrize(("name", "most"), [(MANIFEST, "64,000,000"), (SUMS, "1,000")])
def test_a_sparse_file_is_not_read(artifact, name, most):
    os.truncate(artifact / name, 40 * 2**30)
    assert problem(read_manifest, artifact) == (
        f"{name} cannot be read (it has 42,949,672,960 bytes, more than the limit of {most})"
    )


def only_the_manifest(sums: str) -> str:
    return sums.splitlines(keepends=True)[1]


def one_file_more(sums: str) -> str:
    return f"{sums}{'0' * 64}  notes.txt\n"


def another_order(sums: str) -> str:
    return "".join(reversed(sums.splitlines(keepends=True)))


def no_hexadecimal(sums: str) -> str:
    return f"x{sums[1:]}"


@pytest.mark.parametrize("change", [only_the_manifest, one_file_more, another_order, no_hexadecimal, str.upper])
def test_checksums_that_do_not_name_exactly_the_files_are_rejected(artifact, change):
    (artifact / SUMS).write_text(change((artifact / SUMS).read_text()))
    assert problem(read_manifest, artifact) == MISMATCH


def test_an_artifact_left_by_an_interrupted_save_is_pointed_to(artifact):
    backup = artifact.with_name(".intents-0123abcd.taskgraft-old")
    artifact.rename(backup)
    assert problem(read_manifest, artifact) == (
        "there is no such folder; an interrupted save left .intents-0123abcd.taskgraft-old next to it, which you can rename "
        "back"
    )


# --- what is done with an artifact reads its tensors once, and only where they are used


@pytest.fixture
def trained(tmp_path, small_plugin_installed) -> Path:
    """An artifact of a trained backbone."""
    model = tg.compose("small-words", "classification", {"name": "full", "learning_rate": 1e-2})
    model.fit(sentences(), target="label", training={"epochs": 1}, quiet=True)
    return model.save(tmp_path / "trained")


def test_loading_reads_the_tensor_file_once(trained, files_read):
    tg.load(trained)
    assert files_read[TENSORS] == 1


def test_features_of_an_artifact_read_its_tensor_file_once(trained, files_read):
    tg.extract_features(trained, sentences())
    assert files_read[TENSORS] == 1


def test_composing_over_a_trained_backbone_reads_no_tensors(trained, files_read):
    tg.compose(f"small-words:{trained}", "classification", "linear-probe")
    assert files_read[TENSORS] == 0


def test_damaged_tensors_are_rejected_where_they_are_used(trained):
    damage(trained / TENSORS)
    model = tg.compose(f"small-words:{trained}", "classification", "linear-probe")
    for use in (
        tg.load,
        lambda folder: tg.extract_features(folder, sentences()),
        lambda folder: model.fit(sentences(), target="label", quiet=True),
    ):
        assert problem(use, trained) == MISMATCH
