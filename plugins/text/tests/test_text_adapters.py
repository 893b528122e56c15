"""Bottleneck adapters in text models: which layers they wrap, training, saving, and loading to the same bits."""

import pytest

import taskgraft as tg

pytestmark = pytest.mark.slow

TEXTS = ["lost card", "late parcel", "my card", "where is my parcel, please help"]
ROWS = {"text": TEXTS, "label": ["card", "parcel", "card", "parcel"]}
PLACES = {
    "bert": ("encoder.layer.1.attention.output.dense", "encoder.layer.1.output.dense"),
    "modernbert": ("layers.1.attn.Wo", "layers.1.mlp.Wo"),
    "gpt2": ("h.1.attn.c_proj", "h.1.mlp.c_proj"),
    "llama": ("layers.1.self_attn.o_proj", "layers.1.mlp.down_proj"),
    "t5": ("block.1.layer.0.SelfAttention.o", "block.1.layer.1.DenseReluDense.wo"),
}


@pytest.mark.parametrize("family", PLACES)
def test_they_train_and_load_to_the_same_bits(saved, tmp_path, family):
    model = tg.compose(f"hf-text:{saved(family)}", "classification", {"name": "adapters", "style": "houlsby"})
    model.fit(ROWS, target="label", training={"batch_size": 2, "epochs": 1}, quiet=True)
    paths = [one.path for one in model.fitted.inserted]
    assert len(paths) == 6
    assert [path.endswith(end) for path, end in zip(paths[2:4], PLACES[family], strict=True)] == [True, True]
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact").predict_proba(TEXTS) == model.predict_proba(TEXTS)
