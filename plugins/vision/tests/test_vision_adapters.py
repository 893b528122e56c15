"""Bottleneck adapters in image models: after feed-forwards, or after convolutions if there are none."""

import pytest
from sample_images import encode, noise_image
from timm_files import SIZE, random_model, save_weights

import taskgraft as tg

pytestmark = pytest.mark.slow

IMAGES = [encode(noise_image(40 + 9 * number, 60 - 5 * number, number)) for number in range(4)]
ROWS = {"image": IMAGES, "label": ["cat", "dog"] * 2}
INSERTED_AT = {
    "test_vit": "model.blocks.5.mlp.fc2",
    "test_resnet": "model.layer4.0.conv2",
    "test_convnext": "model.stages.3.blocks.0.mlp.fc2",
}


@pytest.mark.parametrize("name", INSERTED_AT)
def test_adapters_train_and_predict_the_same_after_loading(tmp_path, name):
    weights = save_weights(
        random_model(name, **({"img_size": SIZE} if name == "test_vit" else {})), tmp_path / "weights.safetensors"
    )
    backbone = {"name": "timm", "model": name, "weights": str(weights), "image_size": SIZE}
    model = tg.compose(backbone, "classification", {"name": "adapters", "last": 2})
    training = {"epochs": 1, "batch_size": 2, "precision": "fp32", "workers": 0}
    model.fit(ROWS, target="label", training=training, quiet=True)
    assert INSERTED_AT[name] in [module.path for module in model.fitted.inserted]
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact").predict_proba(IMAGES) == model.predict_proba(IMAGES)
