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


def pooled(model, pixels):
    return [model.forward_head(model.forward_features(pixels), pre_logits=True)]


def levels(model, pixels):
    return model.forward_intermediates(pixels, output_fmt="NCHW", intermediates_only=True)


def built(name):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0, **SMALL[name]).eval()


def stretch(name, run):
    with torch.device("meta"):
        skeleton = built(name)
    found = split_into_blocks(skeleton, trace(skeleton, pooled, SIZE), layer_groups(skeleton))
    flow = find_cuts(skeleton, run, SIZE, [piece.entry for piece in found[1:]])
    return TracedForward(run, trace(skeleton, run, SIZE), {cut: found[cut].entry for cut in flow.cuts}, flow.sources)


@pytest.fixture(params=sorted(SMALL))
def name(request):
    return request.param


@pytest.mark.parametrize("run", [pooled, levels])
def test_resuming_equals_a_whole_pass_bit_for_bit(name, run):
    found, model, pixels = stretch(name, run), built(name), torch.randn(3, *SIZE)

    assert found.entries
    with torch.no_grad():
        whole = found.whole(model, pixels)
        for cut in found.entries:
            hidden, early = found.run_to(model, cut, pixels)
            again = found.resume(model, cut, hidden, early, SIZE)
            assert [one.equal(other) for one, other in zip(whole, again, strict=True)] == [True] * len(whole)


def test_a_resumed_pass_does_not_run_what_lies_before_the_cut():
    found, model = stretch("resnet18", pooled), built("resnet18")
    ran = []
    model.layer1[0].conv1.register_forward_hook(lambda *_: ran.append("before"))
    model.layer4[1].conv1.register_forward_hook(lambda *_: ran.append("behind"))
    last = max(found.entries)
    with torch.no_grad():
        hidden, _ = found.run_to(model, last, torch.randn(1, *SIZE))
        assert ran == ["before"]
        found.resume(model, last, hidden, {}, SIZE)

    assert ran == ["before", "behind"]


def test_a_state_with_levels_does_not_run_what_lies_behind_the_cut():
    found, model = stretch("resnet18", levels), built("resnet18")
    ran = []
    model.layer4[1].conv1.register_forward_hook(lambda *_: ran.append("behind"))
    with torch.no_grad():
        _, early = found.run_to(model, max(found.entries), torch.randn(1, *SIZE))

    assert ran == []
    assert sorted(early) == [0, 1, 2, 3]


def test_a_pass_leaves_the_model_as_it_was():
    found, model = stretch("resnet18", pooled), built("resnet18")
    pixels = torch.randn(1, *SIZE)
    with torch.no_grad():
        before = model(pixels)
        hidden, _ = found.run_to(model, 2, pixels)
        found.resume(model, 2, hidden, {}, SIZE)

    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert before.equal(model(pixels))


def test_gradients_reach_what_lies_behind_the_cut_and_nothing_before_it():
    found, model = stretch("resnet18", pooled), built("resnet18")
    with torch.no_grad():
        hidden, _ = found.run_to(model, 4, torch.randn(2, *SIZE))
    found.resume(model, 4, hidden, {}, SIZE)[0].sum().backward()

    assert [name for name, weight in model.named_parameters() if weight.grad is not None and "conv1" in name] == [
        "layer3.0.conv1.weight",
        "layer3.1.conv1.weight",
        "layer4.0.conv1.weight",
        "layer4.1.conv1.weight",
    ]
