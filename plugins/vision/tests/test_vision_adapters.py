"""Bottleneck adapters in image models: behind feed-forwards, or behind convolutions where there are none."""

import pytest
from drawing import encoded, noise
from stored import SIZE, drawn, stored

import taskgraft as tg

IMAGES = [encoded(noise(40 + 9 * number, 60 - 5 * number, number)) for number in range(4)]
ROWS = {"image": IMAGES, "label": ["cat", "dog"] * 2}
PLACES = {
    "test_vit": "model.blocks.5.mlp.fc2",
    "test_resnet": "model.layer4.0.conv2",
    "test_convnext": "model.stages.3.blocks.0.mlp.fc2",
}


@pytest.mark.parametrize("name", PLACES)
def test_they_train_and_load_to_the_same_bits(tmp_path, name):
    weights = stored(
        drawn(name, **({"img_size": SIZE} if name == "test_vit" else {})), tmp_path / "weights.safetensors"
    )
    backbone = {"name": "timm", "model": name, "weights": str(weights), "image_size": SIZE}
    model = tg.compose(backbone, "classification", {"name": "adapters", "last": 2})
    training = {"epochs": 1, "batch_size": 2, "precision": "fp32", "workers": 0}
    model.fit(ROWS, target="label", training=training, quiet=True)
    assert PLACES[name] in [one.path for one in model.fitted.inserted]
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact").predict_proba(IMAGES) == model.predict_proba(IMAGES)
