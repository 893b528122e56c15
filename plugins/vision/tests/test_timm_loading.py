"""Weights of timm models: their sources, that every tensor is accounted for, and the errors if one is not."""

import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from sample_images import encoded_images
from timm_files import SIZE, edit_tensors, random_model, save_folder, save_weights

from taskgraft.plugin import Layout, MissingTensors, TaskgraftError
from taskgraft_vision.settings import TimmConfig
from taskgraft_vision.timm_backbone import build, describe

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def config(model="test_resnet", **settings):
    return TimmConfig(model=str(model), **({"image_size": SIZE} | settings))


def load(path, model="test_resnet", **settings):
    return build(config(model, weights=str(path), **settings))


def error_message(model, path="", **settings):
    """The error about a model, or about weights for it; HERE stands for the path of the folder or file."""
    with pytest.raises(TaskgraftError) as error:
        build(config(model, **({"weights": str(path)} if path else {}), **settings))
    here = path or model
    return str(error.value).replace(str(here), "HERE") if isinstance(here, Path) else str(error.value)


@pytest.fixture
def resnet(tmp_path):
    return save_weights(random_model("test_resnet"), tmp_path / "resnet.safetensors")


@pytest.fixture
def vit(tmp_path):
    return save_weights(random_model("test_vit", img_size=SIZE), tmp_path / "vit.safetensors")


def normalized(backbone, own):
    """A batch for the backbone, and pixels for timm's own model."""
    batch = backbone.processor.prepare({"image": encoded_images()}).batch
    mean, std = (torch.tensor(own.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    return batch, (batch["pixels"] / 255 - mean) / std


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


# --- features


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"])
def test_the_vector_equals_the_input_of_timms_classifier(tmp_path, name):
    own = random_model(name, **({"img_size": SIZE} if name == "test_vit" else {}))
    backbone = load(save_weights(own, tmp_path / "weights.safetensors"), name)
    batch, pixels = normalized(backbone, own)

    with torch.no_grad():
        expected = own.forward_head(own.forward_features(pixels), pre_logits=True)
        assert_close(backbone(batch, Layout.VECTOR).value, expected)


def test_the_grid_equals_the_input_of_timms_pooling(resnet):
    own, backbone = random_model(), load(resnet)
    batch, pixels = normalized(backbone, own)

    with torch.no_grad():
        assert_close(backbone(batch, Layout.GRID).value, own.forward_features(pixels))


def test_the_pyramid_equals_timms_intermediate_grids(resnet):
    own, backbone = random_model(), load(resnet)
    batch, pixels = normalized(backbone, own)

    with torch.no_grad():
        levels = backbone(batch, Layout.PYRAMID).values
        expected = own.forward_intermediates(pixels, intermediates_only=True)

    assert [tuple(level.shape[2:]) for level in levels] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    for level, expected_level in zip(levels, expected, strict=True):
        assert_close(level, expected_level)


def test_the_sequence_equals_timms_patch_tokens_and_the_grid_is_the_same_in_rows(vit):
    own, backbone = random_model("test_vit", img_size=SIZE), load(vit, "test_vit")
    batch, pixels = normalized(backbone, own)

    with torch.no_grad():
        tokens = own.forward_features(pixels)[:, own.num_prefix_tokens :]
        sequence, grid = backbone(batch, Layout.SEQUENCE), backbone(batch, Layout.GRID).value

    assert_close(sequence.value, tokens)
    assert sequence.lengths.tolist() == [16, 16, 16, 16]
    assert_close(grid, tokens.transpose(1, 2).unflatten(2, (4, 4)))


# --- sources of weights


def features(backbone):
    with torch.no_grad():
        return backbone(backbone.processor.prepare({"image": encoded_images()}).batch, Layout.VECTOR).value


@pytest.fixture
def expected(resnet):
    return features(load(resnet))


def test_a_pickle_of_tensors_is_loaded(tmp_path, expected):
    torch.save(random_model().state_dict(), tmp_path / "weights.pth")

    assert torch.equal(features(load(tmp_path / "weights.pth")), expected)


def test_a_training_checkpoint_is_loaded(tmp_path, expected):
    state = {f"module.{name}": tensor for name, tensor in random_model().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "last.pth.tar")

    assert torch.equal(features(load(tmp_path / "last.pth.tar")), expected)


def test_averaged_weights_are_preferred_as_in_timm(tmp_path, expected):
    both = {"state_dict": random_model(seed=1).state_dict(), "state_dict_ema": random_model().state_dict()}
    torch.save(both, tmp_path / "last.pth.tar")

    assert torch.equal(features(load(tmp_path / "last.pth.tar")), expected)


def test_a_folder_saved_by_timm_is_loaded(tmp_path, expected):
    folder = save_folder(random_model(), tmp_path / "saved")

    assert torch.equal(features(build(config(folder))), expected)


def test_the_configuration_in_a_folder_determines_the_model(tmp_path):
    folder = save_folder(random_model(num_classes=3), tmp_path / "saved", layers=[1, 1, 1, 1])
    folder_config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(folder_config | {"num_classes": 3}))

    assert features(build(config(folder))).shape == (4, 96)


def test_a_folder_in_the_working_directory_takes_precedence_over_a_model_name(tmp_path, monkeypatch, expected):
    save_folder(random_model(), tmp_path / "resnet18")
    monkeypatch.chdir(tmp_path)

    assert torch.equal(features(build(config("./resnet18"))), expected)
    assert torch.equal(features(build(config("resnet18"))), expected)


def test_a_pickle_in_a_folder_is_loaded_if_there_is_no_safetensors_file(tmp_path, expected):
    folder = save_folder(random_model(), tmp_path / "saved")
    torch.save(random_model().state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    assert torch.equal(features(build(config(folder))), expected)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A local hub cache with two revisions of one model."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    for seed, (revision, commit) in enumerate({"main": "1" * 40, "older": "2" * 40}.items()):
        (repository / "refs" / revision).write_text(commit)
        (repository / "snapshots" / commit).mkdir(parents=True)
        save_folder(random_model(seed=seed), repository / "snapshots" / commit)


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_resnet", "hf-hub:timm/test_resnet.r160_in1k"])
def test_weights_of_the_hub_are_loaded_by_name_with_or_without_a_tag(hub, expected, name):
    assert torch.equal(features(build(config(name))), expected)


def test_a_revision_can_be_pinned(hub):
    newest, older = (build(config("test_resnet.r160_in1k", revision=revision)) for revision in (None, "older"))

    assert torch.equal(older.model.layer1[0].conv1.weight, random_model(seed=1).layer1[0].conv1.weight)
    assert not torch.equal(older.model.layer1[0].conv1.weight, newest.model.layer1[0].conv1.weight)


# --- every tensor is accounted for


def remove(*starts):
    def edit(tensors):
        for name in [name for name in tensors if name.startswith(starts)]:
            del tensors[name]

    return edit


def without(path, *starts):
    edit_tensors(path, remove(*starts))
    return path


def test_a_missing_block_is_an_error(resnet):
    assert error_message("test_resnet", without(resnet, "layer3.")) == (
        "The checkpoint 'HERE' lacks 20 tensors that the features use: layer3.0.bn1.bias, layer3.0.bn1.running_mean, "
        "layer3.0.bn1.running_var and 17 more.\n"
        "They would be initialized at random, so choose a complete checkpoint."
    )


def test_a_missing_norm_is_an_error(vit):
    assert error_message("test_vit", without(vit, "norm.", "fc_norm.")) == (
        "The checkpoint 'HERE' lacks 2 tensors that the features use: norm.bias, norm.weight.\n"
        "They would be initialized at random, so choose a complete checkpoint."
    )


def test_a_missing_statistic_of_a_batch_norm_is_an_error(resnet):
    assert error_message("test_resnet", without(resnet, "bn1.running_var")) == (
        "The checkpoint 'HERE' lacks 1 tensors that the features use: bn1.running_var.\n"
        "They would be initialized at random, so choose a complete checkpoint."
    )


def test_an_unexpected_tensor_is_an_error(resnet):
    edit_tensors(resnet, lambda tensors: tensors.update({"adapter.down.weight": torch.zeros(3)}))

    assert error_message("test_resnet", resnet) == (
        "The weights 'HERE' have 1 tensors that the model 'test_resnet' does not have: adapter.down.weight.\n"
        "So they belong to another model, and nothing is loaded. Choose that model, or set the arguments that it was built "
        "with."
    )


def test_a_tensor_of_another_shape_is_an_error(resnet):
    edit_tensors(resnet, lambda tensors: tensors.update({"layer1.0.conv1.weight": torch.zeros(8, 32, 3, 3)}))

    assert error_message("test_resnet", resnet) == (
        "The checkpoint 'HERE' cannot be used: its tensor layer1.0.conv1.weight is (8, 32, 3, 3), but the model 'test_resnet' "
        "needs (32, 32, 3, 3); choose the model that it belongs to, or set the arguments that it was built with."
    )


def test_weights_of_another_architecture_are_an_error(vit):
    assert error_message("test_resnet", vit) == (
        "The weights 'HERE' have 80 tensors that the model 'test_resnet' does not have: blocks.0.attn.proj.bias, "
        "blocks.0.attn.proj.weight, blocks.0.attn.qkv.bias and 77 more.\n"
        "So they belong to another model, and nothing is loaded. Choose that model, or set the arguments that it was built "
        "with."
    )


def test_weights_of_a_larger_model_are_an_error(tmp_path):
    larger = save_weights(random_model("test_resnet", layers=[1, 1, 2, 1]), tmp_path / "larger.safetensors")

    assert error_message("test_resnet", larger) == (
        "The weights 'HERE' have 18 tensors that the model 'test_resnet' does not have: layer3.1.bn1.bias, "
        "layer3.1.bn1.num_batches_tracked, layer3.1.bn1.running_mean and 15 more.\n"
        "So they belong to another model, and nothing is loaded. Choose that model, or set the arguments that it was built "
        "with."
    )


@pytest.mark.parametrize("classes", [0, 1, 7, 21_843])
def test_a_classifier_of_any_size_is_ignored(tmp_path, expected, classes):
    own = random_model()
    own.reset_classifier(classes)

    assert torch.equal(features(load(save_weights(own, tmp_path / "other.safetensors"))), expected)


def test_batch_counters_may_be_missing(resnet, expected):
    counted = [name for name in random_model().state_dict() if name.endswith("num_batches_tracked")]

    assert counted
    assert torch.equal(features(load(without(resnet, *counted))), expected)


@pytest.mark.parametrize("side", [64, 160])
def test_position_embeddings_are_resized_for_a_model_without_classifier(tmp_path, side):
    path = save_weights(random_model("test_vit", num_classes=0), tmp_path / "headless.safetensors")

    assert features(load(path, "test_vit", image_size=side)).shape == (4, 64)


def test_a_truncated_file_is_an_error(resnet):
    resnet.write_bytes(resnet.read_bytes()[: resnet.stat().st_size // 2])

    assert error_message("test_resnet", resnet) == (
        "The checkpoint 'HERE' cannot be used: its weights cannot be read (Error while deserializing header: incomplete "
        "metadata, file not fully covered); download them again, or save only the tensors (model.state_dict())."
    )


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "last.pth.tar"])
def test_a_pickle_with_more_than_tensors_is_an_error_and_not_run(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({"state_dict": {"conv1.weight": Trap(tmp_path / "ran")}}))

    assert error_message("test_resnet", tmp_path / name) == (
        "The checkpoint 'HERE' cannot be used: its weights cannot be read (a file contains more than tensors, so it was not "
        "loaded); download them again, or save only the tensors (model.state_dict())."
    )
    assert not (tmp_path / "ran").exists()


def test_a_zipped_pickle_with_more_than_tensors_is_an_error_and_not_run(tmp_path):
    torch.save({"conv1.weight": Trap(tmp_path / "ran")}, tmp_path / "weights.pth")

    assert error_message("test_resnet", tmp_path / "weights.pth") == (
        "The checkpoint 'HERE' cannot be used: its weights cannot be read (a file contains more than tensors, so it was not "
        "loaded); download them again, or save only the tensors (model.state_dict())."
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": 5}, {"conv1.weight": "text"}])
def test_a_pickle_without_named_tensors_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")

    assert error_message("test_resnet", tmp_path / "weights.pth") == (
        "The checkpoint 'HERE' cannot be used: its weights cannot be read (they are not named tensors); "
        "download them again, or save only the tensors (model.state_dict())."
    )


def test_a_folder_instead_of_a_weight_file_is_an_error(tmp_path):
    assert error_message("test_resnet", tmp_path) == (
        "The checkpoint 'HERE' cannot be used: it is a folder; name a file in it, or use the folder as the model."
    )


def test_a_missing_file_is_an_error():
    assert error_message("test_resnet", "gone.safetensors") == (
        "The checkpoint 'gone.safetensors' cannot be used: there is no such weight file (other values: pretrained, random)."
    )


# --- truncated models


def test_a_truncated_model_needs_no_later_weights(resnet, tmp_path):
    whole = load(resnet, until="layer2.0")
    short = load(without(resnet, "layer3.", "layer4.", "fc."), until="layer2.0")

    assert torch.equal(features(whole), features(short))
    assert whole.fingerprint() == short.fingerprint()


def test_a_truncated_model_has_no_later_parameters(resnet):
    names = [name for name, _ in load(resnet, until="layer2.0").named_parameters()]

    assert {name.split(".")[1] for name in names} == {"conv1", "bn1", "layer1", "layer2"}


def test_a_truncated_vision_transformer_has_no_final_norm(vit):
    names = [name for name, _ in load(vit, "test_vit", until="blocks.1").named_parameters()]

    assert {".".join(name.split(".")[1:3]) for name in names} == {
        "blocks.0", "blocks.1", "cls_token", "patch_embed.proj", "pos_embed",
    }  # fmt: skip


def test_a_real_truncated_checkpoint_is_loaded():
    weights = DATA / "weights/mobilenetv1_imagenet_trunc/mobilenetv1_100_to_block4_0.safetensors"
    if not weights.is_file():
        pytest.skip("TASKGRAFT_DATA names no folder with these weights")
    mobilenet = {"model": "mobilenetv1_100", "arguments": {"pad_type": "same", "bn_eps": 1e-3}}

    backbone = load(weights, until="blocks.4.0", **mobilenet)

    state = backbone.model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in load_file(weights).items())
    assert features(backbone).shape == (4, 1024)
    with pytest.raises(MissingTensors) as error:
        load(weights, **mobilenet)
    assert all(name.startswith("blocks.4.1.") for name in error.value.missing)


# --- image size


@pytest.mark.parametrize("classes", [1000, 7, 0])
def test_position_embeddings_are_resized_as_in_timm(tmp_path, classes):
    path = save_weights(random_model("test_vit", num_classes=classes), tmp_path / "large.safetensors")
    overlay = {"file": str(path), "num_classes": classes}
    own = timm.create_model(
        "test_vit", pretrained=True, img_size=SIZE, num_classes=classes, pretrained_cfg_overlay=overlay
    )
    backbone = load(path, "test_vit")

    assert torch.equal(backbone.model.pos_embed, own.pos_embed)
    assert tuple(own.pos_embed.shape) == (1, 17, 64)


def test_image_size_and_the_argument_img_size_are_equivalent(tmp_path):
    path = save_weights(random_model("test_vit"), tmp_path / "large.safetensors")
    settings = {"image_size": None, "arguments": {"img_size": SIZE}}

    assert torch.equal(features(load(path, "test_vit")), features(load(path, "test_vit", **settings)))


@pytest.mark.parametrize("classes", [1000, 7, 0])
def test_a_missing_tensor_is_an_error_at_another_size_too(tmp_path, classes):
    """timm itself ignores it if the number of classes differs."""
    path = without(
        save_weights(random_model("test_vit", num_classes=classes), tmp_path / "large.safetensors"),
        "blocks.3.attn.proj",
    )

    assert error_message("test_vit", path) == (
        "The checkpoint 'HERE' lacks 2 tensors that the features use: blocks.3.attn.proj.bias, blocks.3.attn.proj.weight.\n"
        "They would be initialized at random, so choose a complete checkpoint."
    )


def test_an_unexpected_tensor_is_an_error_at_another_size_too(tmp_path):
    path = save_weights(random_model("test_vit"), tmp_path / "large.safetensors")
    edit_tensors(path, lambda tensors: tensors.update({"adapter.down.weight": torch.zeros(3)}))

    assert error_message("test_vit", path) == (
        "The weights 'HERE' have 1 tensors that the model 'test_vit' does not have: adapter.down.weight.\n"
        "So they belong to another model, and nothing is loaded. Choose that model, or set the arguments that it was built "
        "with."
    )


# --- arguments and names


def test_an_unknown_argument_is_an_error():
    assert error_message("test_resnet", weights="random", arguments={"layer": [1, 1, 1, 1]}) == (
        "The model 'test_resnet' has no argument 'layer'. Did you mean 'layers'? Arguments: block, layers, output_stride, "
        "global_pool, cardinality, base_width, stem_width, stem_type, replace_stem_pool, block_reduce_first, down_kernel_size, "
        "avg_down and 11 more."
    )


@pytest.mark.parametrize("name", ["num_classes", "in_chans", "pretrained", "checkpoint_path", "features_only"])
def test_an_argument_that_taskgraft_sets_is_an_error(name):
    assert error_message("test_resnet", weights="random", arguments={name: 1}) == (
        f"The argument '{name}' of the model 'test_resnet' is set by taskgraft. Leave it out."
    )


def test_an_argument_of_the_wrong_type_is_an_error():
    assert error_message("test_resnet", weights="random", arguments={"layers": "many"}) == (
        "The model 'test_resnet' cannot be built with layers='many': unsupported operand type(s) for +: 'int' and 'str'.\n"
        "Change or remove the backbone's settings 'arguments' and 'image_size'."
    )


def test_an_argument_with_a_wrong_value_is_an_error():
    assert error_message("test_vit", weights="random", arguments={"embed_dim": 63}) == (
        "The model 'test_vit' cannot be built with embed_dim=63, img_size=64: dim should be divisible by num_heads.\n"
        "Change or remove the backbone's settings 'arguments' and 'image_size'."
    )


def test_an_image_size_that_the_patches_do_not_divide_is_an_error():
    assert error_message("test_vit", weights="random", image_size=65) == (
        "The model 'test_vit' cannot read images of 65 × 65 pixels: Input height (65) should be divisible by patch size (16).\n"
        "Change 'image_size' in the backbone's settings; the model's own size is 160 × 160."
    )


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (0, "Expected a positive image size (H, W), got (0, 0)"),
        ("many", "unsupported operand type(s) for //: 'str' and 'int'"),
        ([64], "tuple index out of range"),
        ([64, 64, 64], "Expected a positive image size (H, W), got (64, 64, 64)"),
    ],
)
def test_an_argument_that_is_not_a_size_is_an_error(size, reason):
    assert error_message("test_vit", weights="random", arguments={"img_size": size}) == (
        f"The model 'test_vit' cannot be built with img_size={size!r}: {reason}.\n"
        "Change or remove the backbone's settings 'arguments' and 'image_size'."
    )


def test_an_unknown_model_is_an_error():
    assert error_message("tests_resnet") == (
        "timm has no model 'tests_resnet'. Did you mean 'test_resnet'? timm.list_models() lists all; a folder saved by timm, "
        "or hf-hub:OWNER/NAME, works as well."
    )


def test_an_unknown_tag_is_an_error():
    assert error_message("test_resnet.a1_in1k") == (
        "timm has no weights 'a1_in1k' for the model 'test_resnet'. It has r160_in1k. Without a tag, timm chooses."
    )


def test_an_unknown_part_is_an_error():
    assert error_message("test_resnet", weights="random", until="layer5") == (
        "The setting 'until' names no part of the backbone: 'layer5'. Parts: layer1.0, layer2.0, layer3.0, layer4.0."
    )


def test_a_model_without_weights_in_timm_is_an_error():
    assert error_message("coatnet_0_224") == (
        "The checkpoint 'coatnet_0_224' cannot be used: timm has no weights for it; name a weight file, or use random."
    )


def test_weights_of_the_hub_without_a_network_are_an_error():
    assert error_message("test_resnet") == (
        "No checkpoint 'timm/test_resnet.r160_in1k': it is not a local folder, it is not in the local hub cache, and the "
        "hub cannot be reached.\nCheck the spelling, give the path of a folder with config.json in it, or download the "
        "checkpoint on a machine with network access."
    )


def test_a_folder_that_timm_did_not_save_is_an_error(tmp_path):
    assert (
        error_message(tmp_path)
        == "The checkpoint 'HERE' cannot be used: it has no config.json, so timm did not save it."
    )


@pytest.mark.parametrize("content", ['{"model_type": "vit"}', "[]", '{"architecture": null}'])
def test_a_folder_of_another_library_is_an_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)

    assert error_message(tmp_path) == (
        "The checkpoint 'HERE' cannot be used: its config.json has no 'architecture', so timm did not save it."
    )


@pytest.mark.parametrize("architecture", ["nosuch", 5])
def test_a_folder_with_an_unknown_architecture_is_an_error(tmp_path, architecture):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture}))

    assert error_message(tmp_path) == (
        f"The checkpoint 'HERE' cannot be used: its config.json has the architecture {architecture!r}, which timm "
        f"{timm.__version__} does not have."
    )


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained", "pretrained_cfg_overlay", "cache_dir"])
def test_a_folder_that_makes_timm_read_other_files_is_an_error(tmp_path, key):
    folder = save_folder(random_model(), tmp_path / "saved")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_args": {key: "hf-hub:evil/model"}}))

    assert error_message(folder) == (
        f"The checkpoint 'HERE' cannot be used: its config.json sets what only taskgraft may set (model_args.{key}); remove "
        "that."
    )


def test_a_folder_with_a_damaged_configuration_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{")

    assert error_message(tmp_path) == (
        "The checkpoint 'HERE' cannot be used: its configuration cannot be read (Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1))."
    )


def test_a_folder_without_weights_is_an_error(tmp_path):
    folder = save_folder(random_model(), tmp_path / "saved")
    (folder / "model.safetensors").unlink()

    assert (
        error_message(folder)
        == "The checkpoint 'HERE' cannot be used: it has no weights (model.safetensors or pytorch_model.bin)."
    )


def test_a_model_that_reads_one_channel_is_an_error(tmp_path):
    folder = save_folder(random_model(in_chans=1), tmp_path / "saved", in_chans=1)

    assert error_message(folder) == (
        "The checkpoint 'HERE' cannot be used: it reads 1 channels, not red, green and blue; choose a model of colour images."
    )


# --- fingerprints


def test_a_fingerprint_is_the_same_for_the_same_tensors(resnet):
    assert load(resnet).fingerprint() == load(resnet).fingerprint()


def test_a_fingerprint_changes_with_a_tensor_that_is_used(resnet):
    before = load(resnet).fingerprint()
    edit_tensors(resnet, lambda tensors: tensors["layer4.0.bn1.running_mean"][0].add_(1e-6))

    assert load(resnet).fingerprint() != before


@pytest.mark.parametrize("size", [SIZE, 160])
@pytest.mark.parametrize(("name", "classifier"), [("test_resnet", "fc.weight"), ("test_vit", "head.weight")])
def test_a_fingerprint_stays_when_the_classifier_changes(tmp_path, name, classifier, size):
    path = save_weights(random_model(name), tmp_path / "weights.safetensors")
    before = load(path, name, image_size=size).fingerprint()
    edit_tensors(path, lambda tensors: tensors[classifier].add_(1))

    assert load(path, name, image_size=size).fingerprint() == before


def test_random_weights_have_no_fingerprint():
    assert build(config(weights="random")).fingerprint() is None


# --- descriptions


def test_a_description_needs_no_weights(tmp_path):
    (tmp_path / "damaged.safetensors").write_bytes(b"no weights")
    damaged = save_folder(random_model(), tmp_path / "saved")
    (damaged / "model.safetensors").write_bytes(b"no weights")

    whole = describe(config())
    of_file = describe(config(weights=str(tmp_path / "damaged.safetensors")))
    assert describe(config(damaged)) == whole
    assert replace(of_file, licence=whole.licence) == whole


def test_the_licence_is_that_of_pretrained_weights(resnet):
    assert describe(config()).licence == "apache-2.0"
    assert describe(config(weights=str(resnet))).licence is None
    assert describe(config(weights="random")).licence is None


def test_a_folder_that_changed_is_described_again(tmp_path):
    folder = save_folder(random_model(), tmp_path / "saved")
    describe(config(folder))
    save_folder(random_model("test_vit"), folder)

    assert describe(config(folder)).parts[0].name == "blocks.0"


@pytest.mark.parametrize("name", ["vit_large_patch16_224", "convnext_large"])
def test_a_large_model_is_described_quickly(name):
    start = time.perf_counter()
    describe(TimmConfig(model=name))
    seconds = time.perf_counter() - start
    print(f"{name}: described in {seconds:.1f} seconds")

    assert seconds < 60
