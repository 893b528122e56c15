"""Exported text backbones, loaded by plain transformers and as backbones again."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from components import strategy as build_strategy
from grafts import Biases, Grafts
from transformers import AutoModel, AutoTokenizer

import taskgraft as tg
from taskgraft.plugin import LayerRole, TaskgraftError

pytestmark = pytest.mark.slow

TEXTS = ["lost card", "late parcel", "my card", "where is my parcel, please help"]
ROWS = {"text": TEXTS, "label": ["card", "parcel", "card", "parcel"]}
ATTENTION = (LayerRole.QUERY, LayerRole.VALUE, LayerRole.FUSED)
WAYS = {
    "full": lambda: build_strategy("full", learning_rate=1e-2),
    "biases": Biases,
    "grafts": lambda: Grafts(*ATTENTION),
}


def fitted(folder, way="full", **settings):
    strategy = WAYS[way]() if way in WAYS else way
    model = tg.compose({"name": "hf-text", "checkpoint": str(folder)} | settings, "classification", strategy)
    model.fit(ROWS, target="label", training={"batch_size": 2, "epochs": 1}, quiet=True)
    return model


def features(backbone, layout="sequence"):
    return tg.extract_features(backbone, {"text": TEXTS}, layout=layout, quiet=True).values


def plain(folder, make=AutoModel):
    """Compute the token vectors of all texts by transformers alone, which must find every tensor that it builds."""
    model, info = make.from_pretrained(folder, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert not any(info.values())
    read = ("input_ids", "attention_mask")
    with torch.no_grad():
        hidden = [
            model.eval()(**{key: tokenizer(text, return_tensors="pt")[key] for key in read}).last_hidden_state[0]
            for text in TEXTS
        ]
    return torch.cat(hidden).numpy()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["bert", "qwen2", "gpt2"])
def test_plain_transformers_gives_the_same_features(saved, tmp_path, family, way):
    base = plain(saved(family))
    model = fitted(saved(family), way)
    folder = model.export(tmp_path / "plain")
    ours = features(model.fitted.task.backbone)
    assert np.abs(plain(folder) - ours).max() < 1e-5
    assert np.abs(base - ours).max() > 1e-3


@pytest.mark.parametrize("family", ["roberta", "deberta-v3", "modernbert", "albert", "xlm"])
def test_plain_transformers_gives_the_same_features_for_other_families(saved, tmp_path, family):
    model = fitted(saved(family))
    assert np.abs(plain(model.export(tmp_path / "plain")) - features(model.fitted.task.backbone)).max() < 1e-5


def test_the_encoder_of_t5_is_exported(saved, tmp_path):
    model = fitted(saved("t5"))
    exported = plain(model.export(tmp_path / "plain"), transformers.T5EncoderModel)
    assert np.abs(exported - features(model.fitted.task.backbone)).max() < 1e-5


def test_the_pooler_of_the_checkpoint_is_exported(saved, tmp_path):
    base = AutoModel.from_pretrained(saved("bert")).pooler.dense.weight
    folder = fitted(saved("bert")).export(tmp_path / "plain")
    assert torch.equal(AutoModel.from_pretrained(folder).pooler.dense.weight, base)


def test_tensors_that_the_checkpoint_lacks_are_not_exported(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "base")
    AutoModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    exported = fitted(folder).export(tmp_path / "plain")
    _, info = AutoModel.from_pretrained(exported, output_loading_info=True)
    assert set(info["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}


def test_random_weights_are_exported_too(saved, tmp_path):
    model = fitted(saved("qwen2"), weights="random")
    assert np.abs(plain(model.export(tmp_path / "plain")) - features(model.fitted.task.backbone)).max() < 1e-5


def test_an_exported_folder_is_a_backbone_with_the_same_features(saved, tmp_path):
    model = fitted(saved("bert"))
    folder = model.export(tmp_path / "plain")
    for layout in ("vector", "sequence"):
        assert np.array_equal(features(f"hf-text:{folder}", layout), features(model.fitted.task.backbone, layout))
    probe = tg.compose(f"hf-text:{folder}", "classification", "linear-probe")
    probe.fit(ROWS, target="label", quiet=True)


def test_an_artifact_is_exported_after_loading_and_one_on_top_of_another_too(saved, tmp_path):
    fitted(saved("bert")).save(tmp_path / "first")
    second = tg.compose(f"hf-text:{tmp_path / 'first'}", "classification", "partial:1")
    second.fit(ROWS, target="label", training={"epochs": 1}, quiet=True)
    second.save(tmp_path / "second")
    model = tg.load(tmp_path / "second")
    assert np.abs(plain(model.export(tmp_path / "plain")) - features(model.fitted.task.backbone)).max() < 1e-5


def test_a_sentence_transformers_folder_stays_one(saved, tmp_path):
    base = shutil.copytree(saved("bert"), tmp_path / "sentences")
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in kinds]
    (base / "modules.json").write_text(json.dumps(modules))
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    model = fitted(base)
    folder = model.export(tmp_path / "plain")
    assert (folder / "1_Pooling" / "config.json").read_bytes() == (base / "1_Pooling" / "config.json").read_bytes()
    assert np.array_equal(features(f"hf-text:{folder}", "vector"), features(model.fitted.task.backbone, "vector"))


def test_a_model_that_ends_at_an_inner_block_cannot_be_exported(saved, tmp_path):
    model = fitted(saved("bert"), until="block.1")
    with pytest.raises(TaskgraftError) as caught:
        model.export(tmp_path / "plain")
    assert str(caught.value) == (
        f"'hf-text:{saved('bert')}' cannot be exported: it ends at block.1 (until), and transformers would run all blocks. "
        "To store what was trained, save an artifact."
    )
    assert list(tmp_path.iterdir()) == []
