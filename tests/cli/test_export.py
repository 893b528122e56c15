import json

import pytest
from commands import apart, typed
from safetensors.torch import load_file
from small_tasks import assert_same_bits, images, sentences

import taskgraft as tg


@pytest.fixture
def place(tmp_path, monkeypatch, small_plugin_installed):
    """The working directory, with an artifact."""
    monkeypatch.chdir(tmp_path)
    fitted("small-words", sentences(), "partial:1").save("intents")
    return tmp_path


def fitted(backbone, rows, strategy):
    model = tg.compose(backbone, head="classification", strategy=strategy)
    model.fit(rows, target="label", training={"batch_size": 8, "epochs": 1}, quiet=True)
    return model


def refusal(*arguments):
    done = typed("export", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    return done.err.removeprefix("Error: ").removesuffix("\n")


def test_the_backbone_of_an_artifact_is_exported(place):
    done = typed("export", "intents", "plain")
    assert (done.code, done.out, done.err) == (0, "", "The backbone of intents is in plain, without the head.\n")
    backbone = tg.load("intents").fitted.task.backbone
    assert_same_bits(load_file("plain/words.safetensors"), dict(backbone.state_dict()))


def test_json_lists_the_files_that_were_written(place):
    done = typed("export", "intents", "plain", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {"output": "plain", "backbone": "small-words", "files": ["words.safetensors"]}


def test_it_is_overwritten_on_request(place):
    assert typed("export", "intents", "plain", "-q").err == ""
    assert refusal("intents", "plain") == (
        f"The checkpoint cannot be written to {place / 'plain'}: something is there already; choose another folder, or allow "
        "overwriting."
    )
    assert typed("export", "intents", "plain", "--overwrite", "-q").code == 0


def test_what_cannot_be_exported_is_reported(place):
    fitted("small-pictures", images(), "partial:1").save("halves")
    assert refusal("halves", "plain") == (
        "'small-pictures' cannot be exported: its library has no checkpoint format for it. To store what was trained, "
        "save an artifact."
    )


def test_what_cannot_be_merged_is_reported(place):
    fitted("small-words", sentences(), "adapters").save("adapted")
    assert refusal("adapted", "plain") == (
        "The insertion 'adapter' cannot be merged: what it adds to blocks.0.feed_forward_out is not a change of that layer's "
        "weights. The model is unchanged; it can be saved and used with its insertions."
    )


def test_rows_to_check_with_are_read(place):
    (place / "empty.csv").write_text("text\n")
    assert refusal("intents", "plain", "--check", "empty.csv") == "empty.csv has columns but no rows."
    assert not (place / "plain").exists()


@pytest.mark.slow
def test_a_folder_that_is_not_an_artifact_is_reported(tmp_path):
    done = apart("export", tmp_path / "nothing", tmp_path / "plain")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"Error: The artifact {tmp_path / 'nothing'} cannot be used: there is no such folder.\n"
