import pytest
import timm
import torch

from taskgraft_vision.blocks import layer_groups, split_into_blocks
from taskgraft_vision.trace import find_cuts, trace
from taskgraft_vision.traced_forward import TracedForward

SIZE = (3, 64, 64)
SMALL = {
    "cait_xxs24_224": {"img_size": 64, "depth": 2, "embed_dim": 16, "num_heads": 2},
    "convnext_atto": {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 24)},
    "deit_tiny_patch16_224": {"img_size": 64, "depth": 3, "embed_dim": 24, "num_heads": 2},
    "hrnet_w18_small": {},
    "mobilenetv3_small_050": {},
    "resnet18": {},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 2, "embed_dim": 12, "depths": (1, 1, 2, 1)},
    "tinynet_e": {},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 3, "embed_dim": 24, "num_heads": 2},
    "xcit_nano_12_p16_224": {"img_size": 64, "depth": 2, "embed_dim": 16, "num_heads": 2},
}


def vector(model, pixels):
    return [model.forward_head(model.forward_features(pixels), pre_logits=True)]


def pyramid(model, pixels):
    return model.forward_intermediates(pixels, output_fmt="NCHW", intermediates_only=True)


def build(name):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0, **SMALL[name]).eval()


def traced(name, function):
    with torch.device("meta"):
        skeleton = build(name)
    blocks = split_into_blocks(skeleton, trace(skeleton, vector, SIZE), layer_groups(skeleton))
    flow = find_cuts(skeleton, function, SIZE, [block.entry for block in blocks[1:]])
    entries = {cut: blocks[cut].entry for cut in flow.cuts}
    return TracedForward(function, trace(skeleton, function, SIZE), entries, flow.sources)


@pytest.fixture(params=sorted(SMALL))
def name(request):
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("function", [vector, pyramid])
def test_resuming_from_a_cut_gives_the_same_bits_as_a_whole_pass(name, function):
    forward, model, pixels = traced(name, function), build(name), torch.randn(3, *SIZE)

    assert forward.entries
    with torch.no_grad():
        whole = forward.forward(model, pixels)
        for cut in forward.entries:
            hidden, early = forward.forward_to_cut(model, cut, pixels)
            resumed = forward.forward_from_cut(model, cut, hidden, early, SIZE)
            assert [output.equal(other) for output, other in zip(whole, resumed, strict=True)] == [True] * len(whole)


def test_a_resumed_pass_does_not_run_modules_before_the_cut():
    forward, model = traced("resnet18", vector), build("resnet18")
    ran = []
    model.layer1[0].conv1.register_forward_hook(lambda *_: ran.append("before"))
    model.layer4[1].conv1.register_forward_hook(lambda *_: ran.append("after"))
    last = max(forward.entries)
    with torch.no_grad():
        hidden, _ = forward.forward_to_cut(model, last, torch.randn(1, *SIZE))
        assert ran == ["before"]
        forward.forward_from_cut(model, last, hidden, {}, SIZE)

    assert ran == ["before", "after"]


def test_a_pass_to_a_cut_does_not_run_modules_after_it():
    forward, model = traced("resnet18", pyramid), build("resnet18")
    ran = []
    model.layer4[1].conv1.register_forward_hook(lambda *_: ran.append("after"))
    with torch.no_grad():
        _, early = forward.forward_to_cut(model, max(forward.entries), torch.randn(1, *SIZE))

    assert ran == []
    assert sorted(early) == [0, 1, 2, 3]


def test_the_model_is_unchanged_afterwards():
    forward, model = traced("resnet18", vector), build("resnet18")
    pixels = torch.randn(1, *SIZE)
    with torch.no_grad():
        before = model(pixels)
        hidden, _ = forward.forward_to_cut(model, 2, pixels)
        forward.forward_from_cut(model, 2, hidden, {}, SIZE)

    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert before.equal(model(pixels))


def test_gradients_reach_only_parameters_after_the_cut():
    forward, model = traced("resnet18", vector), build("resnet18")
    with torch.no_grad():
        hidden, _ = forward.forward_to_cut(model, 4, torch.randn(2, *SIZE))
    forward.forward_from_cut(model, 4, hidden, {}, SIZE)[0].sum().backward()

    assert [name for name, weight in model.named_parameters() if weight.grad is not None and "conv1" in name] == [
        "layer3.0.conv1.weight",
        "layer3.1.conv1.weight",
        "layer4.0.conv1.weight",
        "layer4.1.conv1.weight",
    ]
