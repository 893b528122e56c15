import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from backbones import Words
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from small_plugin import WordsConfig
from small_tasks import PARTS, Planned, changed, classification, copied, sentences, trained, training_stage, words
from torch import Tensor, nn

import taskgraft as tg
from taskgraft.artifact.save import SaveError
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import Insertion
from taskgraft.model.compose import load
from taskgraft.storage.fingerprints import combined_digest, tensor_digest
from taskgraft.storage.manifest import MANIFEST, SCHEMA, SUMS, TENSORS, InvalidArtifact

TEXTS = sentences(20, seed=5)["text"]
PROBE = {"name": "linear-probe", "penalty": 1e-3}


class Based(Words):
    """Words over a checkpoint: it has a fingerprint, so an artifact contains only trained tensors."""

    def __init__(self, seed: int = 0, base: str = "the checkpoint"):
        super().__init__(WordsConfig(seed=seed))
        self.base = combined_digest({}, {"base": base.encode()})
        self.eval()

    def fingerprint(self) -> str | None:
        return self.base


def probed(backbone=None) -> tg.TaskModel:
    """A classification head solved for on a backbone that was passed as an object."""
    model = tg.compose(backbone or Based(), "classification", PROBE)
    model.fit(sentences(), target="label", quiet=True)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """An artifact that no test changes."""
    return probed().save(tmp_path_factory.mktemp("saved") / "intents")


@pytest.fixture
def artifact(saved, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(saved, tmp_path / "intents"))


def refusal(folder: Path, **options) -> str:
    """Why an artifact is rejected."""
    with pytest.raises(InvalidArtifact) as caught:
        load(folder, **({"backbone": Based()} | options))
    start = f"The artifact {folder} cannot be used: "
    assert str(caught.value) == f"{start}{caught.value.problem}."
    return caught.value.problem


def rewritten(folder: Path, change) -> Path:
    """Change the manifest, with matching checksums."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return summed(folder)


def summed(folder: Path) -> Path:
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in (TENSORS, MANIFEST)]
    (folder / SUMS).write_text("".join(sorted(lines, key=lambda line: line[66:])))
    return folder


# --- what was saved is restored


def test_predictions_after_loading_equal_those_before_bit_for_bit(tmp_path):
    model = probed()
    again = load(model.save(tmp_path / "a"), backbone=Based())
    assert again.predict(TEXTS) == model.predict(TEXTS)
    assert again.predict_proba(TEXTS) == model.predict_proba(TEXTS)


def test_over_a_checkpoint_an_artifact_contains_only_trained_tensors(saved):
    assert set(load_file(saved / TENSORS)) == {"head.readout.weight", "head.readout.bias", "head.readout.scale"}


def test_trained_parts_are_saved_and_restored(tmp_path):
    model = tg.compose(Based(), "classification", "partial:1")
    model.fit(sentences(), target="label", quiet=True)
    folder = model.save(tmp_path / "a")
    saved = {name for name in load_file(folder / TENSORS) if not name.startswith("head.")}
    assert saved == {name for name in copied(words()) if name.startswith(("blocks.1.", "norm."))}
    assert load(folder, backbone=Based()).predict_proba(TEXTS) == model.predict_proba(TEXTS)


def test_over_a_random_base_an_artifact_contains_the_whole_backbone(tmp_path):
    model = tg.compose(words(), "classification", PROBE)
    model.fit(sentences(), target="label", quiet=True)
    folder = model.save(tmp_path / "a")
    assert load(folder, backbone=words(seed=9)).predict_proba(TEXTS) == model.predict_proba(TEXTS)


def test_backbone_head_and_strategy_may_all_be_objects(tmp_path):
    stage = training_stage("block-1")
    model = trained(Based(), stage)
    folder = model.save(tmp_path / "a")
    again = load(folder, backbone=Based(), head=classification(), strategy=Planned(stage))
    assert again.predict_proba(TEXTS) == model.predict_proba(TEXTS)


class Adapter(nn.Module):
    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped, self.more = wrapped, nn.Linear(16, 16)

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) + self.more(value)


def test_inserted_modules_are_restored(tmp_path):
    stage = training_stage(insertions=(Insertion("more", PARTS[1:], frozenset({LayerRole.QUERY}), Adapter, 1e-2),))
    model = trained(Based(), stage)
    folder = model.save(tmp_path / "a")
    again = load(folder, backbone=Based(), head=classification(), strategy=Planned(stage))
    assert again.predict_proba(TEXTS) == model.predict_proba(TEXTS)
    manifest = json.loads((folder / MANIFEST).read_text())
    owners = {record["owner"] for name, record in manifest["tensors"].items() if ":more." in name}
    assert owners == {"inserted"}


def test_a_loaded_model_can_be_saved_again(artifact, tmp_path):
    folder = load(artifact, backbone=Based()).save(tmp_path / "again")
    assert {name: (folder / name).read_bytes() for name in (MANIFEST, TENSORS, SUMS)} == {
        name: (artifact / name).read_bytes() for name in (MANIFEST, TENSORS, SUMS)
    }


def test_a_loaded_model_evaluates_and_knows_its_metrics(tmp_path):
    model = tg.compose(Based(), "classification", PROBE)
    run = model.fit(sentences(), validation=sentences(12, seed=1), target="label", quiet=True)
    again = load(model.save(tmp_path / "a"), backbone=Based())
    assert again.evaluate(sentences(12, seed=1)) == run.metrics == again.fitted.metrics


def test_the_manifest_can_be_read_by_a_person(saved):
    manifest = json.loads((saved / MANIFEST).read_text())
    assert manifest["schema_version"] == SCHEMA
    assert manifest["target"]["vocabulary"] == ["a", "b", "c"]
    assert manifest["recipe"]["backbone"]["object"] == f"{Based.__module__}.Based"
    assert manifest["paths"] == {}
    assert (
        manifest["recipe"]["data"].items()
        >= {
            "train": None,
            "validation": None,
            "split": None,
            "reader": None,
            "inputs": {"text": "text"},
            "target": ["label"],
            "on_bad_row": "error",
        }.items()
    )
    assert manifest["processor"] == {"split": "white space", "vocabulary": 64}
    assert manifest["tensors"]["head.readout.bias"] == {
        "owner": "head",
        "dtype": "torch.float32",
        "shape": [3],
        "sha256": tensor_digest(load_file(saved / TENSORS)["head.readout.bias"]),
    }


def test_checksums_are_in_the_format_of_sha256sum(saved):
    for line in (saved / SUMS).read_text().splitlines():
        mark, name = line.split("  ")
        assert hashlib.sha256((saved / name).read_bytes()).hexdigest() == mark


# --- objects


def test_a_missing_object_is_asked_for_by_its_class(artifact):
    problem = f"its backbone was an object of the class {Based.__module__}.Based; pass it as backbone=…"
    assert refusal(artifact, backbone=None) == problem
    assert refusal(artifact, backbone="hf-text:some/checkpoint") == problem


def test_a_missing_head_or_strategy_is_asked_for_by_its_class(tmp_path):
    folder = trained(Based(), training_stage("block-1")).save(tmp_path / "a")
    assert refusal(folder) == (
        "its head was an object of the class taskgraft.builtin.heads.classification.Classification; pass it as head=…"
    )
    assert refusal(folder, head=classification()) == (
        "its strategy was an object of the class small_tasks.Planned; pass it as strategy=…"
    )


# --- damage and mix-ups


@pytest.mark.slow
def test_500_single_bit_flips_are_all_rejected(artifact):
    chance, backbone = random.Random(0), Based()
    names = (MANIFEST, TENSORS, SUMS)
    sizes = [(artifact / name).stat().st_size for name in names]
    for _ in range(500):
        path = artifact / chance.choices(names, sizes)[0]
        content = path.read_bytes()
        bit = chance.randrange(len(content) * 8)
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(InvalidArtifact):
            load(artifact, backbone=backbone)
        path.write_bytes(content)
    load(artifact, backbone=backbone)


def test_a_flip_in_every_file_is_rejected(artifact):
    for name in (MANIFEST, TENSORS, SUMS):
        content = (artifact / name).read_bytes()
        (artifact / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert refusal(artifact) == "its files do not match SHA256SUMS, so it is damaged or was changed"
        (artifact / name).write_bytes(content)


@pytest.mark.parametrize("name", [MANIFEST, TENSORS, SUMS])
def test_a_missing_file_is_rejected(artifact, name):
    (artifact / name).unlink()
    assert refusal(artifact) == f"{name} cannot be read (No such file or directory)"


def test_a_tensor_file_cut_short_is_rejected(artifact):
    size = (artifact / TENSORS).stat().st_size
    os.truncate(artifact / TENSORS, size - 20)
    assert refusal(artifact) == (
        f"{TENSORS} cannot be read (its tensors end at byte {size:,} of {size - 20:,}), so it is damaged"
    )


@pytest.mark.parametrize("name", [MANIFEST, SUMS])
def test_a_file_cut_short_is_rejected(artifact, name):
    (artifact / name).write_bytes((artifact / name).read_bytes()[:-20])
    assert refusal(artifact) == "its files do not match SHA256SUMS, so it is damaged or was changed"


def test_a_path_without_anything_is_rejected(tmp_path):
    assert refusal(tmp_path / "none") == "there is no such folder"


def test_a_folder_that_is_not_an_artifact_is_rejected(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert refusal(tmp_path) == f"{TENSORS} cannot be read (No such file or directory)"


def test_a_file_instead_of_a_folder_is_rejected(saved):
    assert refusal(saved / MANIFEST) == "there is no such folder"


def test_a_tensor_that_is_missing_is_rejected(artifact):
    tensors = load_file(artifact / TENSORS)
    del tensors["head.readout.bias"]
    save_file(tensors, artifact / TENSORS)
    assert refusal(summed(artifact)) == f"{TENSORS} lacks the tensor head.readout.bias"


def test_a_tensor_that_is_unexpected_is_rejected(artifact):
    save_file(load_file(artifact / TENSORS) | {"extra": torch.zeros(1)}, artifact / TENSORS)
    assert refusal(summed(artifact)) == f"{TENSORS} contains an unexpected tensor extra"


def test_a_tensor_that_the_manifest_leaves_out_is_rejected(artifact):
    rewritten(artifact, lambda manifest: manifest["tensors"].pop("head.readout.bias"))
    assert refusal(artifact) == f"{MANIFEST} lists no tensor head.readout.bias"


def test_a_tensor_that_the_model_does_not_have_is_rejected(artifact):
    def add(manifest: dict) -> None:
        manifest["tensors"]["extra"] = manifest["tensors"]["head.readout.bias"]

    assert refusal(rewritten(artifact, add)) == f"{MANIFEST} lists an unexpected tensor extra"


def test_a_tensor_with_other_bytes_is_rejected(artifact):
    tensors = load_file(artifact / TENSORS)
    tensors["head.readout.bias"] += 1
    save_file(tensors, artifact / TENSORS)
    assert refusal(summed(artifact)) == "the tensor head.readout.bias does not match its checksum"


def test_a_tensor_of_another_shape_is_rejected(artifact):
    tensors = load_file(artifact / TENSORS)
    tensors["head.readout.bias"] = torch.zeros(4)
    save_file(tensors, artifact / TENSORS)
    assert refusal(summed(artifact)) == (
        "the tensor head.readout.bias is torch.float32 (4,), but taskgraft.json lists torch.float32 (3,)"
    )


def test_a_tensor_of_another_dtype_is_rejected(artifact):
    tensors = load_file(artifact / TENSORS)
    tensors["head.readout.bias"] = tensors["head.readout.bias"].half()
    save_file(tensors, artifact / TENSORS)
    assert refusal(summed(artifact)) == (
        "the tensor head.readout.bias is torch.float16 (3,), but taskgraft.json lists torch.float32 (3,)"
    )


def test_nothing_of_a_rejected_artifact_reaches_the_object(tmp_path):
    model = tg.compose(Based(), "classification", "partial:1")
    model.fit(sentences(), target="label", quiet=True)
    folder = model.save(tmp_path / "a")
    tensors = load_file(folder / TENSORS)
    tensors["norm.weight"] += 1
    save_file(tensors, folder / TENSORS)
    backbone = Based()
    before = copied(backbone)
    assert refusal(summed(folder), backbone=backbone) == "the tensor norm.weight does not match its checksum"
    assert changed(backbone, before) == set()


def test_nothing_inserted_for_a_rejected_artifact_stays_in_the_object(tmp_path):
    stage = training_stage(insertions=(Insertion("more", PARTS[1:], frozenset({LayerRole.QUERY}), Adapter, 1e-2),))
    folder = trained(Based(), stage).save(tmp_path / "a")
    tensors = load_file(folder / TENSORS)
    tensors["head.readout.bias"] += 1
    save_file(tensors, folder / TENSORS)
    backbone = Based()
    keys = list(backbone.state_dict())
    refusal(summed(folder), backbone=backbone, head=classification(), strategy=Planned(stage))
    assert list(backbone.state_dict()) == keys


def test_another_base_is_rejected(artifact):
    there, here = Based().fingerprint(), Based(base="another").fingerprint()
    assert refusal(artifact, backbone=Based(base="another")) == (
        f"it was trained on another base than 'Based' ({there} there, {here} here)"
    )


def test_a_base_without_checkpoint_is_another_base(artifact):
    assert "trained on another base than 'Words'" in refusal(artifact, backbone=words())


def test_other_settings_of_the_processor_are_rejected(artifact):
    def change(manifest: dict) -> None:
        manifest["processor"] = {"split": "commas", "vocabulary": 64, "lower": True}

    assert refusal(rewritten(artifact, change)) == (
        "the processor's settings differ from those it was trained with: lower, split"
    )


def test_a_newer_format_is_rejected(artifact):
    rewritten(artifact, lambda manifest: manifest.update(schema_version=SCHEMA + 1, anything="new"))
    assert refusal(artifact) == (
        f"its format version is {SCHEMA + 1}, but this taskgraft reads up to {SCHEMA}; update taskgraft"
    )


def test_a_source_that_is_not_installed_is_named(artifact):
    rewritten(artifact, lambda manifest: manifest["sources"].update({"acme-heads": "2.0"}))
    assert refusal(artifact) == "it needs acme-heads 2.0, not installed here: pip install acme-heads"


def test_a_target_description_that_does_not_fit_is_rejected(artifact):
    rewritten(artifact, lambda manifest: manifest["target"].pop("vocabulary"))
    assert refusal(artifact) == "its target description does not fit the head (1 errors)"


def test_an_unknown_entry_of_the_manifest_is_rejected(artifact):
    rewritten(artifact, lambda manifest: manifest.update(surprise=1))
    assert refusal(artifact) == f"{MANIFEST} is invalid at 'surprise': Extra inputs are not permitted"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 100_000, b'{"schema_version": "x"}'])
def test_an_invalid_manifest_is_rejected(artifact, content):
    (artifact / MANIFEST).write_bytes(content)
    assert refusal(summed(artifact))


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 8 + b"{}", (10).to_bytes(8, "little") + b"{" * 10])
def test_tensors_that_are_not_safetensors_are_rejected(artifact, content):
    (artifact / TENSORS).write_bytes(content)
    assert refusal(summed(artifact)).startswith(f"{TENSORS} cannot be read (")


def test_a_pickle_in_place_of_the_tensors_is_never_run(artifact, tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "boom",))

    (artifact / TENSORS).write_bytes(pickle.dumps(Bomb()))
    assert refusal(summed(artifact)).startswith(f"{TENSORS} cannot be read (")
    torch.save({"a": Bomb()}, artifact / TENSORS)
    assert refusal(summed(artifact)).startswith(f"{TENSORS} cannot be read (")
    assert not (tmp_path / "boom").exists()


# --- writing


def test_an_existing_artifact_is_not_overwritten_unasked(artifact):
    with pytest.raises(SaveError) as caught:
        probed().save(artifact)
    assert str(caught.value) == (
        f"The artifact cannot be written to {artifact}: something is there already; "
        "choose another folder, or pass overwrite=True."
    )


def test_an_artifact_can_be_overwritten_when_asked(artifact):
    model = tg.compose(Based(), "classification", "partial:1")
    model.fit(sentences(), target="label", quiet=True)
    model.save(artifact, overwrite=True)
    assert load(artifact, backbone=Based()).predict_proba(TEXTS) == model.predict_proba(TEXTS)
    assert [path.name for path in artifact.parent.iterdir()] == [artifact.name]


def test_a_folder_that_is_not_an_artifact_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SaveError) as caught:
        probed().save(tmp_path, overwrite=True)
    assert str(caught.value) == (
        f"The artifact cannot be written to {tmp_path}: what is there is not an artifact, so it is not overwritten."
    )
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_may_be_written_to(tmp_path):
    assert load(probed().save(tmp_path), backbone=Based()).predict(TEXTS)


def test_parent_folders_are_created(tmp_path):
    assert load(probed().save(tmp_path / "a" / "b" / "c"), backbone=Based()).predict(TEXTS)


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError) as caught:
        probed().save(tmp_path / "file" / "a")
    assert str(caught.value) == f"The artifact cannot be written to {tmp_path / 'file' / 'a'}: File exists."


def interrupt_writes(monkeypatch, written: int, error: BaseException) -> None:
    """Raise an error in the middle of a file of an artifact, after so many of its files are written."""
    calls = []

    def interrupted(whole):
        def write(*arguments):
            calls.append(arguments)
            whole(*arguments)
            if len(calls) > written:
                raise error

        return write

    monkeypatch.setattr("taskgraft.artifact.save.save_file", interrupted(save_file))
    monkeypatch.setattr(Path, "write_text", interrupted(Path.write_text))


@pytest.mark.parametrize("written", range(3))
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, written):
    model = probed()
    interrupt_writes(monkeypatch, written, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        model.save(tmp_path / "intents")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")],
)
def test_an_interrupted_overwrite_leaves_the_old_artifact(artifact, monkeypatch, error):
    model, before = probed(), {path.name: path.read_bytes() for path in artifact.iterdir()}
    interrupt_writes(monkeypatch, 0, error)
    with pytest.raises(SaveError) as caught:
        model.save(artifact, overwrite=True)
    assert str(caught.value) == f"The artifact cannot be written to {artifact}: No space left on device."
    assert {path.name: path.read_bytes() for path in artifact.iterdir()} == before
    assert [path.name for path in artifact.parent.iterdir()] == [artifact.name]
