import pytest
import timm
import torch

from taskgraft.plugin import LayerRole
from taskgraft_vision.blocks import layer_groups, layer_roles, split_into_blocks
from taskgraft_vision.trace import trace

pytestmark = pytest.mark.slow


def forward(model, pixels):
    return [model.forward_head(model.forward_features(pixels), pre_logits=True)]


def split(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0).eval()
    size = model.pretrained_cfg["input_size"]
    return model, split_into_blocks(model, trace(model, forward, size), layer_groups(model))


def names(name):
    return [block.name for block in split(name)[1]]


def test_the_stem_of_a_vit_is_in_its_first_block_and_the_norm_in_its_last():
    _, blocks = split("vit_tiny_patch16_224")

    assert [block.name for block in blocks] == [f"blocks.{number}" for number in range(12)]
    assert blocks[0].owns == ("cls_token", "pos_embed", "patch_embed", "blocks.0", "pos_drop")
    assert blocks[-1].owns == ("blocks.11", "norm", "head_drop")


def test_the_blocks_of_a_resnet():
    assert names("resnet18") == [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]


def test_downsampling_belongs_to_the_block_after_it():
    _, blocks = split("swin_tiny_patch4_window7_224")
    third = blocks[2]

    assert (third.name, third.owns, third.entry) == (
        "layers.1.blocks.0",
        ("layers.1.downsample", "layers.1.blocks.0"),
        "layers.1.downsample",
    )


def test_the_block_of_a_stage_with_one_block_is_named_like_the_others():
    assert names("mobilenetv3_small_050")[:3] == ["blocks.0.0", "blocks.1.0", "blocks.1.1"]


def test_layers_of_one_group_are_split_if_others_run_between_them():
    """timm puts a block of CaiT and a later block of its class attention into one group."""
    assert names("cait_xxs24_224")[-4:] == ["blocks.22", "blocks.23", "blocks_token_only.0", "blocks_token_only.1"]


def test_a_model_without_groups_is_split_by_its_stages():
    assert names("pit_ti_224") == ["transformers.0", "transformers.1", "transformers.2"]


@pytest.mark.parametrize(
    "name", ["pit_ti_224", "hrnet_w18_small", "xcit_nano_12_p16_224", "efficientnet_b0", "coat_tiny"]
)
def test_every_tensor_belongs_to_one_block(name):
    model, blocks = split(name)
    tensors = [path for path, _ in [*model.named_parameters(), *model.named_buffers()]]

    owners = [
        sum(any(path == own or path.startswith(f"{own}.") for own in block.owns) for block in blocks)
        for path in tensors
    ]

    assert owners == [1] * len(tensors)


def test_the_roles_of_a_vit_include_its_fused_layer():
    model, blocks = split("vit_tiny_patch16_224")

    assert layer_roles(model, blocks[1].owns) == {
        "blocks.1.attn.qkv": LayerRole.FUSED,
        "blocks.1.attn.proj": LayerRole.ATTENTION_OUTPUT,
        "blocks.1.mlp.fc1": LayerRole.FEED_FORWARD_IN,
        "blocks.1.mlp.fc2": LayerRole.FEED_FORWARD_OUT,
    }


def test_the_roles_of_a_convnext_distinguish_depthwise_convolutions():
    model, blocks = split("convnext_atto")

    assert layer_roles(model, blocks[2].owns) == {
        "stages.1.downsample.1": LayerRole.CONVOLUTION,
        "stages.1.blocks.0.conv_dw": LayerRole.DEPTHWISE,
        "stages.1.blocks.0.mlp.fc1": LayerRole.FEED_FORWARD_IN,
        "stages.1.blocks.0.mlp.fc2": LayerRole.FEED_FORWARD_OUT,
    }


def test_a_grouped_convolution_is_a_convolution():
    model, blocks = split("resnext50_32x4d")

    assert layer_roles(model, blocks[1].owns)["layer1.1.conv2"] == LayerRole.CONVOLUTION
