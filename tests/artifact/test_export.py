import json

import pytest
import torch
from backbones import Words
from grafts import Grafts
from safetensors.torch import load_file
from small_tasks import (
    assert_same_bits,
    classification,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)

import taskgraft as tg
from taskgraft.artifact.export import EXPORTED
from taskgraft.contract.descriptions import LayerRole
from taskgraft.errors import TaskgraftError

FILE = "words.safetensors"


def refusal(model, folder, **settings):
    with pytest.raises(TaskgraftError) as caught:
        model.export(folder, **settings)
    return str(caught.value)


@pytest.fixture(scope="module")
def model():
    return trained(words(), training_stage("block-1"))


def test_what_was_trained_is_exported_and_the_head_is_not(model, tmp_path):
    folder = model.export(tmp_path / "plain")
    assert sorted(path.name for path in folder.iterdir()) == [EXPORTED, FILE]
    now = model.fitted.task.backbone.state_dict()
    assert_same_bits(load_file(folder / FILE), dict(now))
    assert not torch.equal(now["blocks.1.query.weight"], words().state_dict()["blocks.1.query.weight"])


def test_an_export_describes_itself(model, tmp_path):
    model.export(tmp_path / "plain")
    assert json.loads((tmp_path / "plain" / EXPORTED).read_text()) == {
        "what": "The backbone of a taskgraft model without its head, as its own library loads it. Inserted modules are "
        "merged.",
        "backbone": {"name": None, "settings": {}, "base": None, "object": "backbones.Words"},
        "strategy": {"name": None, "settings": {}, "base": None, "object": "small_tasks.Planned"},
        "sources": {},
        "files": [FILE],
    }


def test_insertions_are_merged_in_the_export_and_stay_in_the_model(tmp_path):
    model = tg.compose(words(), classification(), Grafts(LayerRole.QUERY))
    model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)
    before = weights(model)
    folder = model.export(tmp_path / "plain", check=["one two three"])
    assert_same_bits(before, weights(model))
    bare = Words()
    bare.load_state_dict(load_file(folder / FILE))
    texts = {"text": sentences()["text"]}
    plain = tg.extract_features(bare.eval(), texts, quiet=True).values
    with_insertions = tg.extract_features(model.fitted.task.backbone, texts, quiet=True).values
    assert abs(plain - with_insertions).max() < 1e-5
    assert abs(plain - tg.extract_features(words(), texts, quiet=True).values).max() > 1e-2


def test_what_cannot_be_merged_is_not_exported(tmp_path):
    model = tg.compose(words(), classification(), "adapters")
    model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)
    before = weights(model)
    assert refusal(model, tmp_path / "plain") == (
        "The insertion 'adapter' cannot be merged: what it adds to blocks.0.feed_forward_out is not a change of that layer's "
        "weights. The model is unchanged; it can be saved and used with its insertions."
    )
    assert_same_bits(before, weights(model))
    assert list(tmp_path.iterdir()) == []


def test_a_backbone_whose_library_has_no_checkpoints_is_rejected(tmp_path):
    model = trained(pictures(), training_stage("last"), rows=images())
    assert refusal(model, tmp_path / "plain") == (
        "'Pictures' cannot be exported: its library has no checkpoint format for it. To store what was trained, "
        "save an artifact."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_head_is_not_exported(tmp_path):
    model = tg.compose(words(), classification(), "full")
    assert refusal(model, tmp_path / "plain") == (
        "This model is not fitted, so it cannot be exported. Call fit first, or load an artifact."
    )


def test_an_existing_folder_is_not_overwritten(model, tmp_path):
    place = tmp_path / "plain"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    assert refusal(model, place) == (
        f"The checkpoint cannot be written to {place}: something is there already; choose another folder, or allow "
        "overwriting."
    )
    assert refusal(model, place, overwrite=True) == (
        f"The checkpoint cannot be written to {place}: what is there was not exported, so it is not overwritten."
    )
    assert [path.name for path in place.iterdir()] == ["notes.txt"]


def test_an_earlier_export_is_overwritten_on_request(model, tmp_path):
    place = model.export(tmp_path / "plain")
    (place / FILE).write_bytes(b"old")
    model.export(place, overwrite=True)
    assert_same_bits(load_file(place / FILE), dict(model.fitted.task.backbone.state_dict()))
    (place / "notes.txt").write_text("mine")
    assert refusal(model, place, overwrite=True) == (
        f"The checkpoint cannot be written to {place}: the folder also contains notes.txt, which was not exported."
    )
    assert (place / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_an_empty_folder_is_filled(model, tmp_path):
    (tmp_path / "plain").mkdir()
    assert (model.export(tmp_path / "plain") / FILE).is_file()


def test_an_export_that_fails_leaves_nothing_half_written(tmp_path):
    class Breaks(Words):
        def export(self, folder):
            super().export(folder)
            raise OSError(28, "No space left on device")

    model = trained(Breaks().eval(), training_stage("block-1"))
    place = tmp_path / "plain"
    assert refusal(model, place) == f"The checkpoint cannot be written to {place}: No space left on device."
    assert list(tmp_path.iterdir()) == []
