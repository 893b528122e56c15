import pytest
import timm
import torch

from taskgraft.plugin import LayerRole
from taskgraft_vision.blocks import layer_groups, layer_roles, split_into_blocks
from taskgraft_vision.trace import trace


def pooled(model, pixels):
    return [model.forward_head(model.forward_features(pixels), pre_logits=True)]


def taken_apart(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0).eval()
    size = model.pretrained_cfg["input_size"]
    return model, split_into_blocks(model, trace(model, pooled, size), layer_groups(model))


def names(name):
    return [piece.name for piece in taken_apart(name)[1]]


def test_the_parts_of_a_vit_are_its_blocks_with_the_stem_in_the_first_and_the_norm_in_the_last():
    _, found = taken_apart("vit_tiny_patch16_224")

    assert [piece.name for piece in found] == [f"blocks.{number}" for number in range(12)]
    assert found[0].owns == ("cls_token", "pos_embed", "patch_embed", "blocks.0", "pos_drop")
    assert found[-1].owns == ("blocks.11", "norm", "head_drop")


def test_the_parts_of_a_resnet_are_its_blocks():
    assert names("resnet18") == [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]


def test_what_makes_an_image_smaller_belongs_to_the_block_behind_it():
    _, found = taken_apart("swin_tiny_patch4_window7_224")
    third = found[2]

    assert (third.name, third.owns, third.entry) == (
        "layers.1.blocks.0",
        ("layers.1.downsample", "layers.1.blocks.0"),
        "layers.1.downsample",
    )


def test_a_stage_of_one_block_is_named_like_the_others():
    assert names("mobilenetv3_small_050")[:3] == ["blocks.0.0", "blocks.1.0", "blocks.1.1"]


def test_layers_that_timm_groups_together_though_others_run_between_them_are_apart():
    """timm puts a block of CaiT and a later one of its class attention into one group."""
    assert names("cait_xxs24_224")[-4:] == ["blocks.22", "blocks.23", "blocks_token_only.0", "blocks_token_only.1"]


def test_a_model_without_groups_is_taken_apart_by_its_stages():
    assert names("pit_ti_224") == ["transformers.0", "transformers.1", "transformers.2"]


@pytest.mark.parametrize(
    "name", ["pit_ti_224", "hrnet_w18_small", "xcit_nano_12_p16_224", "efficientnet_b0", "coat_tiny"]
)
def test_every_tensor_belongs_to_one_part(name):
    model, found = taken_apart(name)
    tensors = [path for path, _ in [*model.named_parameters(), *model.named_buffers()]]

    owners = [
        sum(any(path == own or path.startswith(f"{own}.") for own in piece.owns) for piece in found) for path in tensors
    ]

    assert owners == [1] * len(tensors)


def test_roles_of_a_vit_know_its_fused_layer():
    model, found = taken_apart("vit_tiny_patch16_224")

    assert layer_roles(model, found[1].owns) == {
        "blocks.1.attn.qkv": LayerRole.FUSED,
        "blocks.1.attn.proj": LayerRole.ATTENTION_OUTPUT,
        "blocks.1.mlp.fc1": LayerRole.FEED_FORWARD_IN,
        "blocks.1.mlp.fc2": LayerRole.FEED_FORWARD_OUT,
    }


def test_roles_of_a_convnext_tell_depthwise_convolutions_from_others():
    model, found = taken_apart("convnext_atto")

    assert layer_roles(model, found[2].owns) == {
        "stages.1.downsample.1": LayerRole.CONVOLUTION,
        "stages.1.blocks.0.conv_dw": LayerRole.DEPTHWISE,
        "stages.1.blocks.0.mlp.fc1": LayerRole.FEED_FORWARD_IN,
        "stages.1.blocks.0.mlp.fc2": LayerRole.FEED_FORWARD_OUT,
    }


def test_a_grouped_convolution_is_a_convolution():
    model, found = taken_apart("resnext50_32x4d")

    assert layer_roles(model, found[1].owns)["layer1.1.conv2"] == LayerRole.CONVOLUTION
