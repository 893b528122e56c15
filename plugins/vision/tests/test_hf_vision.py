import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sample_images import encode, encoded_images, noise_image, randomize_weights
from transformers import (
    AutoModel,
    ConvNextConfig,
    ConvNextImageProcessor,
    Dinov2WithRegistersConfig,
    SwinConfig,
    ViTConfig,
    ViTImageProcessor,
)

import taskgraft as tg
from taskgraft.plugin import InvalidCheckpoint, LayerRole, Layout, MissingTensors, UnknownPart
from taskgraft.testing import BackboneLaws
from taskgraft_vision import hf_backbone, plugin
from taskgraft_vision.errors import VisionError
from taskgraft_vision.settings import HfVisionConfig

pytestmark = pytest.mark.slow

HF_VISION = next(spec for spec in plugin.taskgraft_backbones() if spec.name == "hf-vision")
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
EXACT = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}

FAMILIES = {
    "vit": (lambda: ViTConfig(**SMALL, intermediate_size=32), ViTImageProcessor, EXACT),
    "dinov2": (lambda: Dinov2WithRegistersConfig(**SMALL, mlp_ratio=2), ViTImageProcessor, EXACT),
    "swin": (
        lambda: SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 2], num_heads=[1, 2], window_size=4),
        ViTImageProcessor,
        EXACT,
    ),
    "convnext": (
        lambda: ConvNextConfig(hidden_sizes=[8, 12, 16], depths=[1, 1, 1], num_stages=3),
        ConvNextImageProcessor,
        {"size": {"shortest_edge": 32}, "crop_pct": 0.8},
    ),
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Tiny checkpoints by family, saved by transformers."""
    folders = {}
    for family, (config, processor, settings) in FAMILIES.items():
        folders[family] = tmp_path_factory.mktemp(family)
        randomize_weights(AutoModel.from_config(config())).save_pretrained(folders[family])
        processor(**settings).save_pretrained(folders[family])
    return folders


def build(folder, **settings):
    return hf_backbone.build(HfVisionConfig(model=str(folder), **settings))


def images(*sizes):
    return {"image": [encode(noise_image(width, height, width)) for width, height in sizes]}


@pytest.mark.parametrize(
    ("family", "settings"), [("vit", {}), ("dinov2", {}), ("swin", {}), ("vit", {"until": "block.1"})]
)
class TestHfVision(BackboneLaws):
    @pytest.fixture
    def config(self, checkpoints, family, settings):
        return HfVisionConfig(model=str(checkpoints[family]), **settings)

    @pytest.fixture
    def backbone(self, config):
        return hf_backbone.build(config)

    @pytest.fixture
    def spec(self):
        return HF_VISION

    @pytest.fixture
    def inputs(self):
        return {"image": encoded_images()}


@pytest.mark.parametrize("family", FAMILIES)
def test_features_equal_those_of_transformers(checkpoints, family):
    backbone, model = build(checkpoints[family]), AutoModel.from_pretrained(checkpoints[family]).eval()
    batch = backbone.processor.prepare(images((32, 32), (32, 32))).batch
    mean, std = (torch.tensor(colour)[:, None, None] for colour in backbone._normalization)
    with torch.no_grad():
        hidden = model(pixel_values=(batch["pixels"].float() / 255 - mean) / std).last_hidden_state
        grid, vector = (backbone(batch, layout).value for layout in (Layout.GRID, Layout.VECTOR))
    tokens = hidden if hidden.dim() == 3 else hidden.flatten(2).transpose(1, 2)

    torch.testing.assert_close(grid.flatten(2).transpose(1, 2), tokens[:, -grid[0, 0].numel() :], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        vector, tokens[:, 0] if family in ("vit", "dinov2") else tokens.mean(1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("family", "sizes"), [("vit", (50, 40)), ("convnext", (50, 64))])
def test_pixels_equal_those_of_the_checkpoints_processor(checkpoints, family, sizes):
    """Its processor resizes tensors or images, ours images, so they may differ by rounding."""
    image = noise_image(*sizes, 1).resize((sizes[0] * 3, sizes[1] * 3), Image.Resampling.BICUBIC)
    backbone = build(checkpoints[family])
    theirs = FAMILIES[family][1].from_pretrained(checkpoints[family], do_normalize=False)(image)["pixel_values"][0]
    ours = backbone.processor.prepare({"image": [encode(image)]}).batch["pixels"][0].float()

    assert ours.shape == np.asarray(theirs).shape
    assert (ours - torch.as_tensor(np.asarray(theirs)) * 255).abs().max() <= 2


def test_blocks_are_parts_with_roles_and_there_is_a_cut_before_each(checkpoints):
    description = build(checkpoints["dinov2"]).description

    assert [part.name for part in description.parts] == ["block.0", "block.1", "block.2"]
    assert description.cuts == (0, 1, 2)
    assert set(description.parts[1].roles.values()) == {
        LayerRole.QUERY,
        LayerRole.KEY,
        LayerRole.VALUE,
        LayerRole.ATTENTION_OUTPUT,
        LayerRole.FEED_FORWARD_IN,
        LayerRole.FEED_FORWARD_OUT,
    }


def test_until_truncates_the_model_and_later_blocks_need_no_weights(checkpoints, tmp_path):
    folder = checkpoints["vit"]
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if ".2." not in name},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    short, batch = build(tmp_path, until="block.1"), build(folder).processor.prepare(images((32, 32))).batch

    assert [part.name for part in short.description.parts] == ["block.0", "block.1"]
    assert not any(".2." in name for name, _ in short.named_parameters())
    assert short(batch, Layout.VECTOR).value.equal(build(folder, until="block.1")(batch, Layout.VECTOR).value)
    with pytest.raises(MissingTensors):
        build(tmp_path)


@pytest.mark.parametrize("strategy", ["linear-probe", {"name": "partial", "learn": 1}, "full"])
def test_predictions_are_the_same_bits_after_saving_and_loading(checkpoints, tmp_path, strategy):
    rows = {"image": encoded_images(8), "label": ["cat", "dog"] * 4}
    model = tg.compose(f"hf-vision:{checkpoints['dinov2']}", "classification", strategy)
    model.fit(rows, target="label", training={"epochs": 1, "batch_size": 4, "workers": 0}, quiet=True)

    loaded = tg.load(model.save(tmp_path / "artifact"))

    assert loaded.predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)


def test_only_loaded_weights_have_a_fingerprint(checkpoints):
    assert build(checkpoints["vit"], weights="random").fingerprint() is None
    assert len(build(checkpoints["vit"]).fingerprint()) == 64


def test_an_unknown_part_is_an_error(checkpoints):
    with pytest.raises(UnknownPart) as caught:
        build(checkpoints["vit"], until="block.9")
    assert str(caught.value) == (
        "The setting 'until' names no part of the backbone: 'block.9'. Parts: block.0, block.1, block.2."
    )


def copy_with(folder, target, name, **entries):
    """Copy a checkpoint with other entries in one of its files."""
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    path = target / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return target


def test_a_checkpoint_without_preprocessing_settings_is_an_error(checkpoints, tmp_path):
    folder = copy_with(checkpoints["vit"], tmp_path, "config.json")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidCheckpoint) as caught:
        build(folder)
    assert str(caught.value) == (
        f"The checkpoint '{folder}' cannot be used: it has no preprocessor_config.json, so its preprocessing is unknown."
    )


def test_another_pixel_range_is_an_error(checkpoints, tmp_path):
    folder = copy_with(checkpoints["vit"], tmp_path, "preprocessor_config.json", rescale_factor=1 / 127.5)
    with pytest.raises(InvalidCheckpoint) as caught:
        build(folder)
    assert str(caught.value) == (
        f"The checkpoint '{folder}' cannot be used: it rescales pixels to another range than 0 to 1, which is not supported."
    )


def test_without_the_extra_the_error_names_its_distribution(monkeypatch):
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    with pytest.raises(VisionError) as caught:
        HF_VISION.describe(HfVisionConfig(model="some/model"))
    assert str(caught.value) == (
        "'hf-vision' needs taskgraft-transformers, which is not installed: pip install 'taskgraft-vision[transformers]'."
    )


def refused(folder, **settings):
    with pytest.raises(tg.TaskgraftError) as error:
        tg.compose({"name": f"hf-vision:{folder}"} | settings, head="classification", strategy="linear-probe")
    return str(error.value).replace(str(folder), "HERE")


@pytest.mark.parametrize(("family", "channels"), [("vit", 1), ("vit", 4), ("convnext", 1)])
def test_a_model_of_another_number_of_channels_is_an_error(tmp_path, family, channels):
    config, processor, settings = FAMILIES[family]
    changed = config()
    changed.num_channels = channels
    AutoModel.from_config(changed).save_pretrained(tmp_path)
    processor(**settings).save_pretrained(tmp_path)

    assert refused(tmp_path) == (
        f"The checkpoint 'HERE' cannot be used: it reads {channels} channels, not red, green and blue; choose a model of "
        "colour images."
    )


@pytest.mark.parametrize(("size", "text"), [(64, "64 × 64"), ((32, 40), "32 × 40")])
def test_an_image_size_that_the_positions_do_not_allow_is_an_error(checkpoints, size, text):
    assert refused(checkpoints["vit"], image_size=size) == (
        f"The model 'HERE' cannot read images of {text} pixels: Input image size ({text.replace(' × ', '*')}) doesn't match "
        "model (32*32).\nChange 'image_size' in the backbone's settings; the model's own size is 32 × 32."
    )


def test_a_processor_of_its_own_code_neither_runs_nor_asks_at_the_terminal(checkpoints, tmp_path, monkeypatch):
    folder = shutil.copytree(checkpoints["vit"], tmp_path / "checkpoint")
    (folder / "evil.py").write_text("raise SystemExit('code ran')\n")
    path = folder / "preprocessor_config.json"
    changes = {"image_processor_type": "Evil", "auto_map": {"AutoImageProcessor": "evil.Evil"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    monkeypatch.setattr("builtins.input", lambda *question: pytest.fail(f"it asks {question}"))
    assert refused(folder).startswith(
        "The checkpoint 'HERE' cannot be used: preprocessor_config.json cannot be read (The repository HERE contains custom "
        "code which must be executed to correctly load the model"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"quantization_config": {"quant_method": "fp8"}},
            "its weights are quantized by 'fp8' (quantization_config in config.json), which needs code from elsewhere; choose "
            "the checkpoint without quantization",
        ),
        (
            {"model_type": "timm_wrapper", "architecture": "hf-hub:evil/model"},
            "its config.json takes a model from elsewhere (architecture = 'hf-hub:evil/model'); name that checkpoint itself",
        ),
    ],
)
def test_what_a_checkpoint_takes_from_elsewhere_is_refused(checkpoints, tmp_path, changes, problem):
    folder = shutil.copytree(checkpoints["vit"], tmp_path / "checkpoint")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert refused(folder) == f"The checkpoint 'HERE' cannot be used: {problem}."
