"""Damaged, malicious and unsuitable checkpoints: each gets one sentence, and no code in them runs."""

import json
import math
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from forged_artifact import remove_tensor, rewrite_manifest
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, ViTConfig, ViTModel

import taskgraft as tg
from taskgraft.plugin import InvalidCheckpoint, Layout, TaskgraftError
from taskgraft_text.backbone import TextBackbone
from taskgraft_text.settings import TextConfig

pytestmark = pytest.mark.slow

ROWS = {"text": ["lost card", "late parcel", "my card", "my parcel"], "label": ["card", "parcel", "card", "parcel"]}


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved("bert"), tmp_path / "checkpoint")


def error_of(folder) -> str:
    with pytest.raises(TaskgraftError) as error:
        TextBackbone(TextConfig(checkpoint=str(folder)))
    return str(error.value).replace(str(folder), "HERE")


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_checkpoint_without_a_vocabulary_is_invalid(copy):
    (copy / "tokenizer.json").unlink()

    assert error_of(copy) == (
        "The checkpoint 'HERE' cannot be used: it has no vocabulary (tokenizer.json, vocab.txt, vocab.json, spiece.model, "
        "sentencepiece.bpe.model, tokenizer.model), so texts cannot be read."
    )


def test_half_a_download_is_invalid(copy):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[: len(content) // 2])

    assert error_of(copy).startswith("The checkpoint 'HERE' cannot be used: its weights cannot be read (")


class Trap:
    def __reduce__(self):
        return print, ("the trap ran",)


def test_a_pickle_with_code_is_invalid_and_does_not_run(copy, capsys):
    (copy / "model.safetensors").unlink()
    with (copy / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"embeddings.word_embeddings.weight": Trap()}, file)

    assert "weights_only" not in error_of(copy)
    assert "the trap ran" not in capsys.readouterr().out


def test_an_image_model_is_invalid(tmp_path):
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTModel(config).save_pretrained(tmp_path)

    assert error_of(tmp_path) == "The checkpoint 'HERE' cannot be used: its model, ViTModel, does not read text."


@pytest.mark.parametrize(
    "changes",
    [{"hidden_act": "nosuch"}, {"hidden_size": -1}, {"pad_token_id": 9_999}, {"hidden_size": "x"}, {"dtype": "nosuch"}],
)
def test_a_configuration_that_builds_no_model_is_invalid(copy, changes):
    change_config(copy, **changes)

    assert error_of(copy).startswith("The checkpoint 'HERE' cannot be used: its configuration cannot be read (")


def test_a_vocabulary_of_another_size_is_named(copy):
    change_config(copy, vocab_size=150)

    assert error_of(copy) == (
        "The checkpoint 'HERE' cannot be used: the shapes of these tensors differ from its configuration: "
        "embeddings.word_embeddings.weight."
    )


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows_is_refused_when_composing(copy):
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["zebra", "yak"])
    tokenizer.save_pretrained(copy)

    for strategy in ("linear-probe", "full"):
        with pytest.raises(TaskgraftError) as error:
            tg.compose(f"hf-text:{copy}", head="classification", strategy=strategy)
        assert str(error.value) == (
            f"The checkpoint '{copy}' cannot be used: its tokenizer gives token numbers up to 99 ('yak'), but its embedding "
            "has only 98 rows (vocab_size in config.json); use the tokenizer that the weights were trained with, or enlarge "
            "the embedding with model.resize_token_embeddings(100) of transformers and save model and tokenizer together."
        )


def test_a_tokenizer_with_fewer_tokens_than_the_embedding_has_rows_is_read(copy):
    model = AutoModel.from_pretrained(copy)
    model.resize_token_embeddings(128)
    model.save_pretrained(copy)
    model = tg.compose(f"hf-text:{copy}", head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)

    assert len(model.predict(ROWS, quiet=True)) == 4


@pytest.mark.parametrize("family", ["bert", "gpt2", "roberta", "t5"])
def test_a_tokenizer_without_a_padding_token_pads_all_the_same(saved, tmp_path, family):
    folder = shutil.copytree(saved(family), tmp_path / "checkpoint")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    texts = {"text": ["my card is lost, where is it", "late", "the parcel"]}
    with_padding, without = (TextBackbone(TextConfig(checkpoint=str(one))) for one in (saved(family), folder))

    expected, features = (
        one(one.processor.prepare(texts).batch, Layout.VECTOR).value for one in (with_padding, without)
    )
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_max_length_beyond_the_positions_is_refused_before_weights_are_read(copy):
    (copy / "model.safetensors").unlink()
    model = tg.compose({"name": f"hf-text:{copy}", "max_length": 1_000}, head="classification", strategy="linear-probe")
    with pytest.raises(TaskgraftError) as error:
        model.fit(ROWS, target="label", quiet=True)
    assert str(error.value) == (
        f"The checkpoint '{copy}' cannot be used: it takes 40 tokens at once, fewer than max_length = 1,000; choose 40 or "
        "less, or leave max_length out."
    )


def test_a_tokenizer_that_cannot_be_read_is_invalid(copy):
    (copy / "tokenizer.json").write_text("[]")

    assert error_of(copy).startswith("The checkpoint 'HERE' cannot be used: its tokenizer cannot be read (")


@pytest.mark.slow
def test_a_rejected_artifact_runs_no_code(copy, tmp_path):
    """Runs in a process of its own, since a module that was imported once would not run again."""
    model = tg.compose(f"hf-text:{copy}", head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    artifact = model.save(tmp_path / "artifact")
    marker = tmp_path / "ran"
    trap = "from transformers import BertConfig\nclass Trap(BertConfig): model_type = 'trap'\n"
    (copy / "trap.py").write_text(f"open({str(marker)!r}, 'w').close()\n{trap}")
    change_config(copy, model_type="trap", auto_map={"AutoConfig": "trap.Trap"})
    rewrite_manifest(artifact, lambda manifest: manifest["recipe"]["backbone"]["settings"].update(remote_code=True))

    script = "import sys, taskgraft; taskgraft.load(sys.argv[1])"
    run = subprocess.run([sys.executable, "-c", script, str(artifact)], capture_output=True, text=True, check=False)

    assert run.returncode == 1
    assert "it asks for 'remote_code', which only you can grant" in run.stderr
    assert not marker.exists()


def test_a_base_over_random_weights_must_be_whole(copy, tmp_path):
    random = {"name": "hf-text", "checkpoint": str(copy), "weights": "random"}
    model = tg.compose(random, head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    artifact = model.save(tmp_path / "artifact")
    remove_tensor(artifact, "model.encoder.layer.1.output.dense.bias")

    with pytest.raises(TaskgraftError) as error:
        tg.compose(f"hf-text:{artifact}", head="classification", strategy="full").fit(ROWS, target="label", quiet=True)
    assert str(error.value) == (
        f"The artifact {artifact} cannot be used: it was trained from random weights, but lacks the tensor "
        "model.encoder.layer.1.output.dense.bias."
    )


def test_a_model_that_could_not_be_loaded_is_not_saved(copy, tmp_path):
    model = tg.compose(f"hf-text:{copy}", head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    with torch.no_grad():
        model.fitted.task.head.readout.weight.fill_(torch.nan)

    with pytest.raises(TaskgraftError) as error:
        model.save(tmp_path / "artifact")
    assert str(error.value) == (
        f"The artifact cannot be written to {tmp_path / 'artifact'}: the tensor head.readout.weight contains values that are "
        "not finite."
    )
    assert not (tmp_path / "artifact").exists()


def test_a_typo_in_a_second_fit_leaves_the_model_as_it_was(copy):
    model = tg.compose(f"hf-text:{copy}", head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    before, recipe = model.predict_proba(ROWS, quiet=True), model.recipe

    for wrong in ({"training": {"epoch": 3}}, {"target": "nosuch"}, {"training": 5}):
        with pytest.raises(TaskgraftError):
            model.fit(ROWS, **({"target": "label", "quiet": True} | wrong))

    assert model.predict_proba(ROWS, quiet=True) == before
    assert model.recipe == recipe


def test_overwriting_deletes_no_other_files(copy, tmp_path):
    model = tg.compose(f"hf-text:{copy}", head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    model.save(tmp_path / "artifact")
    (tmp_path / "artifact" / "notes.md").write_text("mine")

    with pytest.raises(TaskgraftError) as error:
        model.save(tmp_path / "artifact", overwrite=True)
    assert str(error.value) == (
        f"The artifact cannot be written to {tmp_path / 'artifact'}: the folder also contains notes.md, which is not part of "
        "an artifact."
    )
    assert (tmp_path / "artifact" / "notes.md").read_text() == "mine"
    (tmp_path / "artifact" / "notes.md").unlink()
    model.save(tmp_path / "artifact", overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["artifact", "checkpoint"]


NOT_FINITE = "contains values that are not finite"


def edit_weights(folder, name, value):
    """Write a value into the first place of a stored tensor."""
    tensors = load_file(folder / "model.safetensors")
    stored = next(one for one in tensors if one.endswith(name))
    tensors[stored].view(-1)[0] = value
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def features_of(folder, **settings):
    backbone = {"name": "hf-text", "checkpoint": str(folder), **settings}
    return tg.extract_features(backbone, ROWS["text"], quiet=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["embeddings.word_embeddings.weight", "layer.0.attention.self.key.bias"])
def test_weights_that_are_not_finite_are_refused_by_name(copy, name, value):
    edit_weights(copy, name, value)
    kind = "NaN" if value != value else "infinity"
    for call in (features_of, fit_on):
        with pytest.raises(InvalidCheckpoint) as caught:
            call(copy)
        text = str(caught.value)
        assert text.startswith(f"The checkpoint 'hf-text:{copy}' cannot be used: the tensor model.")
        assert f"{name} {NOT_FINITE} ({kind} in 1 of " in text
        assert text.endswith(" places). Download it again, or choose other weights.")


def fit_on(folder):
    model = tg.compose(f"hf-text:{folder}", "classification", "linear-probe")
    model.fit(ROWS, target="label", training={"epochs": 1}, quiet=True)


def test_weights_that_overflow_in_half_precision_are_refused_with_the_way_out(copy):
    edit_weights(copy, "layer.0.attention.self.key.bias", 1e6)
    assert features_of(copy).values.shape[0] == 4
    with pytest.raises(InvalidCheckpoint) as caught:
        features_of(copy, dtype="fp16")
    assert str(caught.value).endswith(" places). Load it in float32, download it again, or choose other weights.")


def test_weights_that_no_feature_uses_may_be_anything(copy):
    edit_weights(copy, "pooler.dense.bias", math.nan)
    assert features_of(copy).values.shape[0] == 4
