"""What a trained image backbone is to plain timm and transformers, and to whoever starts from it again."""

import numpy as np
import pytest
import timm
import torch
from drawing import encoded, noise, opened
from grafts import Biases, Grafts
from stored import SIZE, drawn, stored
from timm.data import resolve_model_data_config
from transformers import AutoModel, ViTConfig, ViTImageProcessor

import taskgraft as tg
from taskgraft.builtin.strategies.full import Full, FullConfig
from taskgraft.plugin import LayerRole, TaskgraftError

IMAGES = [encoded(noise(40 + 9 * number, 60 - 5 * number, number)) for number in range(4)]
ROWS = {"image": IMAGES, "label": ["cat", "dog"] * 2}
TRAINING = {"epochs": 1, "batch_size": 2, "precision": "fp32", "workers": 0}


def full():
    return Full(FullConfig(learning_rate=1e-2))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Weights of small models, made once."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, settings in (("test_resnet", {}), ("test_vit", {"img_size": SIZE})):
        stored(drawn(name, **settings), folder / f"{name}.safetensors")
    return folder


def of_timm(shelf, name, **settings):
    weights = str(shelf / f"{name}.safetensors")
    return {"name": "timm", "model": name, "weights": weights, "image_size": SIZE} | settings


def fitted(backbone, strategy):
    model = tg.compose(backbone, "classification", strategy)
    model.fit(ROWS, target="label", training=TRAINING, quiet=True)
    return model


def emitted(backbone):
    return tg.extract_features(backbone, {"image": IMAGES}, quiet=True).values


def pixels(model, mean, std):
    """Images as a model of a library reads them."""
    found = model.fitted.task.backbone.processor.prepare({"image": IMAGES}).batch["pixels"].float() / 255
    return (found - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def plain(model, folder):
    """Features by timm alone, which takes mean and standard deviation from the folder."""
    made = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    data = resolve_model_data_config(made)
    with torch.no_grad():
        return made(pixels(model, data["mean"], data["std"])).numpy()


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("test_resnet", full()),
        ("test_resnet", Biases()),
        ("test_resnet", Grafts(LayerRole.CONVOLUTION)),
        ("test_vit", full()),
        ("test_vit", Biases()),
        ("test_vit", Grafts(LayerRole.FUSED)),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_plain_timm_gives_the_same_features(shelf, tmp_path, name, strategy):
    model = fitted(of_timm(shelf, name), strategy)
    folder = model.export(tmp_path / "plain")
    ours = emitted(model.fitted.task.backbone)
    assert np.abs(plain(model, folder) - ours).max() < 1e-5
    assert np.abs(emitted(of_timm(shelf, name)) - ours).max() > 1e-3
    assert np.abs(emitted(f"timm:{folder}") - ours).max() < 1e-5


def test_learned_statistics_of_batch_norm_are_exported(shelf, tmp_path):
    model = fitted(of_timm(shelf, "test_resnet"), full())
    folder = model.export(tmp_path / "plain")
    made = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    before = drawn("test_resnet").state_dict()
    statistics = [name for name in made if "running_" in name]
    now = model.fitted.task.backbone.model.state_dict()
    assert all(torch.equal(made[name], now[name]) for name in statistics)
    assert not any(torch.equal(made[name], before[name]) for name in statistics)


def test_how_images_are_read_goes_with_it(shelf, tmp_path):
    settings = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25), "crop": 0.8, "interpolation": "bilinear"}
    model = fitted(of_timm(shelf, "test_resnet", **settings), full())
    folder = model.export(tmp_path / "plain")
    data = resolve_model_data_config(timm.create_model(f"local-dir:{folder}"))
    assert data == {
        "input_size": (3, SIZE, SIZE),
        "interpolation": "bilinear",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.25],
        "crop_pct": 0.8,
        "crop_mode": "center",
    }
    assert np.abs(plain(model, folder) - emitted(model.fitted.task.backbone)).max() < 1e-5
    assert np.abs(emitted(f"timm:{folder}") - emitted(model.fitted.task.backbone)).max() < 1e-5


def test_a_model_that_is_cut_off_is_refused(shelf, tmp_path):
    model = fitted(of_timm(shelf, "test_vit", until="blocks.2"), full())
    with pytest.raises(TaskgraftError) as caught:
        model.export(tmp_path / "plain")
    assert str(caught.value) == (
        "'timm:test_vit' cannot be exported: it ends at blocks.2 (until), and timm would run all blocks. An artifact (save) "
        "holds what was trained."
    )


def test_plain_transformers_gives_the_same_features(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    base, (mean, std) = tmp_path / "base", ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
    opened(AutoModel.from_config(ViTConfig(**sizes, image_size=32, patch_size=8))).save_pretrained(base)
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=mean, image_std=std).save_pretrained(base)
    model = fitted(f"hf-vision:{base}", full())
    folder = model.export(tmp_path / "plain")
    made, told = AutoModel.from_pretrained(folder, output_loading_info=True)
    with torch.no_grad():
        found = made.eval()(pixel_values=pixels(model, mean, std)).last_hidden_state[:, 0].numpy()
    assert not any(told.values())
    assert np.abs(found - emitted(model.fitted.task.backbone)).max() < 1e-5
    assert np.abs(emitted(f"hf-vision:{folder}") - found).max() < 1e-5
