import json

import pytest
from planting import install
from small_tasks import sentences

import taskgraft as tg
from taskgraft.discovery.catalog import RenamedComponentWarning, catalog
from taskgraft.errors import TaskgraftError
from taskgraft.storage.manifest import MANIFEST, SUMS, TENSORS, checksums

pytestmark = pytest.mark.usefixtures("small_plugin_installed")

TRAINING = {"epochs": 1, "batch_size": 8}


def trained(backbone, strategy="full", seed=0):
    model = tg.compose(backbone, head="classification", strategy=strategy)
    model.fit(sentences(16), target="label", training=TRAINING | {"seed": seed}, quiet=True)
    return model


def backbone_of(model):
    return dict(model.fitted.task.backbone.state_dict())


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_an_artifact_is_the_base_of_another_model(tmp_path):
    first = trained("small-words")
    first.save(tmp_path / "first")

    second = trained(f"small-words:{tmp_path / 'first'}", "linear-probe")

    assert same(backbone_of(second), backbone_of(first))
    assert not same(backbone_of(trained("small-words", "linear-probe")), backbone_of(first))


def test_a_model_over_an_artifact_saves_the_head_alone_and_loads_over_it(tmp_path):
    trained("small-words").save(tmp_path / "first")
    second = trained(f"small-words:{tmp_path / 'first'}", "linear-probe")
    second.save(tmp_path / "second")

    manifest = json.loads((tmp_path / "second" / MANIFEST).read_text())
    loaded = tg.load(tmp_path / "second")

    assert {record["owner"] for record in manifest["tensors"].values()} == {"head"}
    assert manifest["recipe"]["backbone"]["base"] == str(tmp_path / "first")
    rows = sentences(8, seed=3)
    assert loaded.predict_proba(rows, quiet=True) == second.predict_proba(rows, quiet=True)


RENAMED = """
from dataclasses import replace

import small_plugin
from taskgraft.plugin import hookimpl

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones():
    for spec in small_plugin.taskgraft_backbones():
        yield replace(spec, name=spec.name.replace("small", "little"), aliases=(spec.name,))
"""


def test_an_artifact_with_a_former_name_loads_and_is_saved_with_the_present_name(tmp_path, monkeypatch):
    model, rows = trained("small-words"), sentences(8, seed=3)
    model.save(tmp_path / "first")
    install(tmp_path / "renamed", "taskgraft-small", "renamed_plugin", "2.0")
    tmp_path.joinpath("renamed", "renamed_plugin.py").write_text(RENAMED)
    monkeypatch.syspath_prepend(tmp_path / "renamed")
    catalog.cache_clear()

    with pytest.warns(RenamedComponentWarning, match="The backbone 'small-words' is now called 'little-words'"):
        loaded = tg.load(tmp_path / "first")
    loaded.save(tmp_path / "again")
    second = trained(f"little-words:{tmp_path / 'first'}", "linear-probe")

    assert loaded.predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)
    names = [
        json.loads((tmp_path / name / MANIFEST).read_text())["recipe"]["backbone"]["name"]
        for name in ("first", "again")
    ]
    assert names == ["taskgraft-small/small-words", "taskgraft-small/little-words"]
    assert same(backbone_of(second), backbone_of(model))


def test_a_base_that_moved_can_be_named_and_another_is_rejected(tmp_path):
    trained("small-words").save(tmp_path / "first")
    trained("small-words", seed=1).save(tmp_path / "other")
    trained(f"small-words:{tmp_path / 'first'}", "linear-probe").save(tmp_path / "second")
    (tmp_path / "first").rename(tmp_path / "moved")

    tg.load(tmp_path / "second", backbone=f"small-words:{tmp_path / 'moved'}")
    with pytest.raises(TaskgraftError) as error:
        tg.load(tmp_path / "second", backbone=f"small-words:{tmp_path / 'other'}")
    refused, than = tmp_path / "second", f"small-words:{tmp_path / 'other'}"
    assert str(error.value).startswith(
        f"The artifact {refused} cannot be used: it was trained on another base than '{than}' ("
    )


def test_a_damaged_base_is_rejected_where_its_weights_are_read(tmp_path):
    trained("small-words").save(tmp_path / "first")
    content = bytearray((tmp_path / "first" / TENSORS).read_bytes())
    content[-1] ^= 1
    (tmp_path / "first" / TENSORS).write_bytes(content)

    with pytest.raises(TaskgraftError) as error:
        trained(f"small-words:{tmp_path / 'first'}")
    assert str(error.value) == (
        f"The artifact {tmp_path / 'first'} cannot be used: its files do not match SHA256SUMS, so it is damaged or was changed."
    )


def test_a_base_of_another_backbone_is_rejected(tmp_path):
    trained("small-words").save(tmp_path / "first")

    with pytest.raises(TaskgraftError) as error:
        tg.compose(f"small-pairs:{tmp_path / 'first'}", head="classification", strategy="full")
    assert str(error.value) == (
        f"The artifact {tmp_path / 'first'} cannot be used: its backbone is 'taskgraft-small/small-words', so it cannot be the "
        "base of 'small-pairs'."
    )


def test_a_base_with_inserted_modules_is_rejected(tmp_path):
    trained("small-words").save(tmp_path / "first")
    path = tmp_path / "first" / MANIFEST
    manifest = json.loads(path.read_text())
    record = manifest["tensors"].pop(next(iter(manifest["tensors"])))
    manifest["tensors"]["blocks.0.query:lora.down"] = record | {"owner": "inserted"}
    path.write_text(json.dumps(manifest))
    (tmp_path / "first" / SUMS).write_text(checksums(tmp_path / "first"))

    with pytest.raises(TaskgraftError) as error:
        trained(f"small-words:{tmp_path / 'first'}")
    assert str(error.value) == (
        f"The artifact {tmp_path / 'first'} cannot be used: it contains inserted modules, so its backbone cannot be the base "
        "of another model."
    )
