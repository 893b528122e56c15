"""Bottleneck adapters on different backbones of the core's tests; plugins test their own."""

import pytest
import torch
from backbones import PAIRS, PICTURES, TABLE, WORDS
from block_models import Passing
from small_tasks import classification, copied, images, pictures, sentences, weights, words
from torch import nn

import taskgraft as tg
from taskgraft.adaptation.insertion import insert_modules, original_named_tensors
from taskgraft.builtin.strategies.adapters import Adapters, AdaptersConfig
from taskgraft.builtin.strategies.bottleneck_adapter import BottleneckAdapter
from taskgraft.contract.descriptions import (
    BackboneDescription,
    FeatureDescription,
    HeadDescription,
    InputField,
    LayerRole,
    Layout,
    Part,
    TargetKind,
    sequence,
    vector,
)
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.errors import TaskgraftError
from taskgraft.testing import StrategyLaws

HEAD = HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY)
GRID = FeatureDescription(Layout.GRID, (6,), strides=(1,))


def adapters(**settings):
    return Adapters(AdaptersConfig(**settings))


def adapted_layers(backbone, **settings):
    """The paths of the adapted layers."""
    (stage,) = adapters(**settings).plan(backbone.description, HEAD)
    return [one.path for one in insert_modules(backbone, stage.insertions)]


def fitted(backbone, rows, **settings):
    model = tg.compose(backbone, classification(), adapters(**settings))
    model.fit(rows, target="label", training={"batch_size": 8, "epochs": 2}, quiet=True)
    return model


@pytest.mark.parametrize("small", [WORDS, PICTURES, TABLE, PAIRS], ids=lambda small: small.build().__class__.__name__)
class TestLaws(StrategyLaws):
    @pytest.fixture
    def strategy(self):
        return adapters(reduction=4)

    @pytest.fixture
    def backbone(self, small):
        return small.build()

    @pytest.fixture
    def inputs(self, small):
        return small.inputs

    @pytest.fixture
    def head(self):
        return classification()

    @pytest.fixture
    def targets(self, inputs):
        rows = len(next(iter(inputs.values())))
        return {"label": ["cat", "dog", "bird"] * (rows // 3) + ["cat"] * (rows % 3)}


def test_houlsby_adapts_attention_and_feed_forward_and_pfeiffer_only_the_latter():
    assert adapted_layers(words(), style="houlsby") == [
        f"blocks.{block}.{layer}" for block in (0, 1) for layer in ("attention_output", "feed_forward_out")
    ]
    assert adapted_layers(words()) == ["blocks.0.feed_forward_out", "blocks.1.feed_forward_out"]


def test_only_the_last_parts_are_adapted_on_request():
    assert adapted_layers(words(), last=1) == ["blocks.1.feed_forward_out"]


def test_adapting_more_parts_than_exist_is_rejected():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), {"name": "adapters", "last": 4})
    assert str(caught.value) == (
        "'adapters' has last = 4, but the backbone has only 3 parts: embedding, block-0, block-1. Choose last = 3 or less."
    )


def test_convolutions_are_adapted_where_there_is_no_feed_forward():
    assert adapted_layers(pictures()) == ["stem.convolution", "middle.pointwise", "last.convolution"]


def test_whole_parts_are_adapted_in_a_backbone_without_roles():
    assert adapted_layers(Passing()) == ["model.blocks.1"]  # the first and the last own more than their block


def test_a_part_declares_its_output_module():
    output = sequence(4)
    parts = (
        Part("first", ("embedding", "blocks.0"), output, output_module="blocks.0"),
        Part("middle", ("blocks.1",), output),
        Part("last", ("blocks.2", "norm"), output),
    )
    assert [part.module for part in parts] == ["blocks.0", "blocks.1", None]
    (stage,) = adapters().plan(BackboneDescription((InputField("text"),), (vector(4),), parts), HEAD)
    assert [one.parts for one in stage.insertions] == [("first",), ("middle",)]
    assert {one.roles for one in stage.insertions} == {None}


def test_a_backbone_without_a_layer_to_adapt_is_rejected():
    parts = (Part("all", ("embedding", "norm"), vector(4)),)
    with pytest.raises(TaskgraftError) as caught:
        adapters().plan(BackboneDescription((InputField("text"),), (vector(4),), parts), HEAD)
    assert str(caught.value) == (
        "'adapters' finds no layer to adapt: no layer of all has a role, and no part is a single module. Choose 'partial' "
        "or 'full', or let the backbone declare the roles of its layers."
    )


def test_layers_that_the_features_do_not_use_are_not_adapted():
    """The last feed-forward does not reach attention maps; an adapter there would have no gradient."""
    output = sequence(4)
    parts = tuple(
        Part(f"block-{number}", (f"blocks.{number}",), output, {f"blocks.{number}.out": LayerRole.FEED_FORWARD_OUT})
        for number in (0, 1)
    )
    maps = FeatureDescription(Layout.PAIR, (2,), unused=("blocks.1.out.weight", "blocks.1.out.bias"))
    described = BackboneDescription((InputField("text"),), (output, maps), parts)
    (over_pairs,) = adapters().plan(described, HeadDescription((Layout.PAIR,), TargetKind.PAIR_CATEGORIES))
    (over_sequence,) = adapters().plan(described, HeadDescription((Layout.SEQUENCE,), TargetKind.CATEGORY))
    assert [one.parts for one in over_pairs.insertions] == [("block-0",)]
    assert [one.parts for one in over_sequence.insertions] == [("block-0",), ("block-1",)]


def test_training_starts_at_the_pretrained_function():
    bare, backbone = words(), words()
    (stage,) = adapters(style="houlsby").plan(backbone.description, HEAD)
    insert_modules(backbone, stage.insertions)
    batch = bare.processor.prepare({"text": ["one two three", "four"]}).batch
    assert torch.equal(backbone.eval()(batch, Layout.VECTOR).value, bare(batch, Layout.VECTOR).value)


def test_the_base_stays_frozen_and_every_adapter_is_trained():
    backbone = words()
    base = copied(backbone)
    model = fitted(backbone, sentences(), style="houlsby", reduction=4)
    now = original_named_tensors(backbone, model.fitted.inserted)
    assert all(torch.equal(now[name], tensor) for name, tensor in base.items())
    ups = [name for name in now if name.endswith(":adapter.up.weight")]
    assert len(ups) == 4
    assert all(now[name].any() for name in ups)
    assert now[ups[0]].shape == (16, 4)


def test_an_artifact_contains_only_adapters_and_head_and_predicts_the_same_bits(tmp_path, small_plugin_installed):
    model = tg.compose("small-pictures", "classification", {"name": "adapters", "last": 2, "reduction": 2})
    model.fit(images(), target="label", training={"batch_size": 8}, quiet=True)
    model.save(tmp_path / "artifact")
    again = tg.load(tmp_path / "artifact")
    assert again.predict_proba(images()["image"]) == model.predict_proba(images()["image"])
    assert weights(again)["backbone.last.convolution.up.weight"].shape == (16, 8, 1, 1)


def test_the_output_of_parts_before_the_first_adapter_is_cached():
    model = tg.compose(words(), classification(), adapters(last=1))
    run = model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)
    assert [stage.stored_at for stage in run.stages] == [2]


def test_the_feature_size_is_that_of_the_layers_output():
    assert BottleneckAdapter(nn.Linear(4, 12), sequence(6), 3, whole=False).down.weight.shape == (4, 12)
    assert BottleneckAdapter(nn.Conv1d(4, 12, 5), sequence(6), 3, whole=False).up.weight.shape == (12, 4, 1)
    assert BottleneckAdapter(nn.Sequential(nn.Conv2d(3, 6, 3)), GRID, 3, whole=True).down.weight.shape == (2, 6, 1, 1)
    assert BottleneckAdapter(nn.Identity(), sequence(6), 12, whole=False).down.weight.shape == (1, 6)


def test_an_adapter_has_the_dtype_of_the_layer():
    layer = nn.Linear(4, 4, dtype=torch.bfloat16)
    value = torch.ones(1, 4, dtype=torch.bfloat16)
    assert BottleneckAdapter(layer, sequence(4), 2, whole=False)(value).dtype == torch.bfloat16


def test_the_first_entry_of_a_tuple_is_adapted():
    class Pair(nn.Module):
        def forward(self, value, *, scale):
            return value * scale, "kept"

    adapted = BottleneckAdapter(Pair(), sequence(4), 2, whole=True)
    nn.init.ones_(adapted.up.bias)
    first, second = adapted(torch.ones(1, 2, 4), scale=2)
    assert torch.equal(first, torch.full((1, 2, 4), 3.0))
    assert second == "kept"


def test_attributes_of_the_wrapped_layer_can_still_be_read():
    layer = nn.Linear(4, 5)
    adapted = BottleneckAdapter(layer, sequence(5), 2, whole=False)
    assert adapted.weight is layer.weight
    assert adapted.in_features == 4
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        adapted.nothing  # noqa: B018


def test_the_fast_path_of_torchs_transformer_layer_does_not_skip_the_adapter():
    """Without gradients it takes a fast path on the bare weights, unless a submodule has a hook."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    layer.linear2 = BottleneckAdapter(layer.linear2, sequence(8), 2, whole=False).eval()
    value = torch.randn(2, 3, 8)
    with torch.no_grad():
        before = layer(value)
        nn.init.ones_(layer.linear2.up.bias)
        layer.linear2.up.bias[0] = 9.0
        assert not torch.allclose(layer(value), before)
