"""Exported image backbones: loaded by timm and transformers alone, and as bases of other models."""

import numpy as np
import pytest
import timm
import torch
from grafts import Biases, Grafts
from sample_images import encode, noise_image, randomize_weights
from timm.data import resolve_model_data_config
from timm_files import SIZE, random_model, save_weights
from transformers import AutoModel, ViTConfig, ViTImageProcessor

import taskgraft as tg
from taskgraft.plugin import LayerRole, TaskgraftError

pytestmark = pytest.mark.slow

IMAGES = [encode(noise_image(40 + 9 * number, 60 - 5 * number, number)) for number in range(4)]
ROWS = {"image": IMAGES, "label": ["cat", "dog"] * 2}
TRAINING = {"epochs": 1, "batch_size": 2, "precision": "fp32", "workers": 0}


FULL = {"name": "full", "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def weight_folder(tmp_path_factory):
    """A folder of weights of small models, made once."""
    folder = tmp_path_factory.mktemp("weights")
    for name, settings in (("test_resnet", {}), ("test_vit", {"img_size": SIZE})):
        save_weights(random_model(name, **settings), folder / f"{name}.safetensors")
    return folder


def timm_backbone(weight_folder, name, **settings):
    weights = str(weight_folder / f"{name}.safetensors")
    return {"name": "timm", "model": name, "weights": weights, "image_size": SIZE} | settings


def fitted(backbone, strategy):
    model = tg.compose(backbone, "classification", strategy)
    model.fit(ROWS, target="label", training=TRAINING, quiet=True)
    return model


def features(backbone):
    return tg.extract_features(backbone, {"image": IMAGES}, quiet=True).values


def pixels(model, mean, std):
    """The images as a library's own model reads them."""
    pixels = model.fitted.task.backbone.processor.prepare({"image": IMAGES}).batch["pixels"].float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def timm_features(model, folder):
    """Features by timm alone, with mean and standard deviation from the folder."""
    exported = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    data = resolve_model_data_config(exported)
    with torch.no_grad():
        return exported(pixels(model, data["mean"], data["std"])).numpy()


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("test_resnet", FULL),
        ("test_resnet", Biases()),
        ("test_resnet", Grafts(LayerRole.CONVOLUTION)),
        ("test_vit", FULL),
        ("test_vit", Biases()),
        ("test_vit", Grafts(LayerRole.FUSED)),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else value["name"] if isinstance(value, dict) else type(value).__name__
    ),
)
def test_timm_computes_the_same_features(weight_folder, tmp_path, name, strategy):
    model = fitted(timm_backbone(weight_folder, name), strategy)
    folder = model.export(tmp_path / "export")
    ours = features(model.fitted.task.backbone)
    assert np.abs(timm_features(model, folder) - ours).max() < 1e-5
    assert np.abs(features(timm_backbone(weight_folder, name)) - ours).max() > 1e-3
    assert np.abs(features(f"timm:{folder}") - ours).max() < 1e-5


def test_trained_statistics_of_batch_norm_are_exported(weight_folder, tmp_path):
    model = fitted(timm_backbone(weight_folder, "test_resnet"), FULL)
    folder = model.export(tmp_path / "export")
    exported = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    before = random_model("test_resnet").state_dict()
    statistics = [name for name in exported if "running_" in name]
    trained = model.fitted.task.backbone.model.state_dict()
    assert all(torch.equal(exported[name], trained[name]) for name in statistics)
    assert not any(torch.equal(exported[name], before[name]) for name in statistics)


def test_the_preprocessing_settings_are_exported(weight_folder, tmp_path):
    settings = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25), "crop": 0.8, "interpolation": "bilinear"}
    model = fitted(timm_backbone(weight_folder, "test_resnet", **settings), FULL)
    folder = model.export(tmp_path / "export")
    data = resolve_model_data_config(timm.create_model(f"local-dir:{folder}"))
    assert data == {
        "input_size": (3, SIZE, SIZE),
        "interpolation": "bilinear",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.25],
        "crop_pct": 0.8,
        "crop_mode": "center",
    }
    assert np.abs(timm_features(model, folder) - features(model.fitted.task.backbone)).max() < 1e-5
    assert np.abs(features(f"timm:{folder}") - features(model.fitted.task.backbone)).max() < 1e-5


def test_a_truncated_model_cannot_be_exported(weight_folder, tmp_path):
    model = fitted(timm_backbone(weight_folder, "test_vit", until="blocks.2"), FULL)
    with pytest.raises(TaskgraftError) as caught:
        model.export(tmp_path / "export")
    assert str(caught.value) == (
        "'timm:test_vit' cannot be exported: it ends at blocks.2 (until), but timm would run all blocks. To store what was "
        "trained, save an artifact."
    )


def test_transformers_computes_the_same_features(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    base, (mean, std) = tmp_path / "base", ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
    randomize_weights(AutoModel.from_config(ViTConfig(**sizes, image_size=32, patch_size=8))).save_pretrained(base)
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=mean, image_std=std).save_pretrained(base)
    model = fitted(f"hf-vision:{base}", FULL)
    folder = model.export(tmp_path / "export")
    exported, loading_info = AutoModel.from_pretrained(folder, output_loading_info=True)
    with torch.no_grad():
        expected = exported.eval()(pixel_values=pixels(model, mean, std)).last_hidden_state[:, 0].numpy()
    assert not any(loading_info.values())
    assert np.abs(expected - features(model.fitted.task.backbone)).max() < 1e-5
    assert np.abs(features(f"hf-vision:{folder}") - expected).max() < 1e-5
