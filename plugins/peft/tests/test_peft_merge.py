"""A merged layer computes the same as the layer with its adapter."""

from copy import deepcopy

import pytest
import torch
from tiny_bases import fitted
from torch import nn

import taskgraft as tg
from taskgraft.plugin import (
    BackboneDescription,
    HeadDescription,
    Insertion,
    LayerRole,
    Layout,
    Part,
    TargetKind,
    vector,
)
from taskgraft_peft.layers import PeftError
from taskgraft_peft.low_rank import LowRank
from taskgraft_peft.settings import LowRankConfig

pytestmark = pytest.mark.slow

MERGED = [
    *[("bert", strategy) for strategy in ("lora:4", "dora:4", "rslora:4", "ia3", "adalora:2", "vera:8")],
    ("gpt2", "lora:4"),
    ("resnet", "lora:4"),
    ("resnet", "ia3"),
]


@pytest.mark.parametrize(("kind", "strategy"), MERGED)
def test_merged_and_unmerged_features_are_equal(base, kind, strategy):
    reference, rows = base(kind)
    model = fitted(reference, rows, {"name": strategy.partition(":")[0], "learning_rate": 0.05})
    task = model.fitted.task
    batch = task.backbone.processor.prepare({name: rows[name] for name in rows if name != "label"}).batch
    with torch.no_grad():
        before, changed = task.features(0, batch).value, 0
        for one in model.fitted.inserted:
            adapter = task.backbone.get_submodule(one.path)
            layer = adapter.get_submodule(one.inside)
            weight = layer.weight.clone()
            merged = one.insertion.merge(deepcopy(adapter))
            assert type(merged) is type(layer)
            assert torch.equal(layer.weight, weight)
            changed += not torch.equal(merged.weight, weight)
            task.backbone.set_submodule(one.path, merged)
        after = task.features(0, batch).value
    assert changed > 0
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["lora:4", "dora:4", "ia3", "vera:8"])
def test_blocks_that_share_their_layers_are_merged_and_loaded_with_the_same_probabilities(base, tmp_path, strategy):
    reference, rows = base("albert")
    name, _, rank = strategy.partition(":")
    model = fitted(reference, rows, {"name": name, "learning_rate": 0.05} | ({"rank": int(rank)} if rank else {}))
    before = model.predict_proba(rows, quiet=True)
    model.merge()
    after = tg.load(model.save(tmp_path / "merged")).predict_proba(rows, quiet=True)

    assert max(abs(one[label] - other[label]) for one, other in zip(before, after, strict=True) for label in one) < 1e-5


def test_a_layer_whose_weight_another_layer_has_too_is_not_merged(base):
    reference, rows = base("bert")
    chosen = tg.compose(reference, "classification", "linear-probe").composition.backbone
    backbone = chosen.spec.build(chosen.config)
    blocks = backbone.model.encoder.layer
    blocks[2].attention.self.value.weight = blocks[0].attention.self.value.weight
    model = fitted(backbone, rows, {"name": "lora", "learning_rate": 0.05})
    before = model.predict_proba(rows, quiet=True)

    with pytest.raises(tg.TaskgraftError) as caught:
        model.merge()
    assert str(caught.value) == (
        "The insertion 'lora' cannot be merged: model.encoder.layer.0.attention.self.value shares its weight with "
        "model.encoder.layer.2.attention.self.value.weight, which would change too. The model is unchanged; it can be saved "
        "and used with its insertions."
    )
    assert model.predict_proba(rows, quiet=True) == before


@pytest.mark.parametrize("strategy", ["prompt-tuning:3", "prefix-tuning:3"])
def test_virtual_tokens_cannot_be_merged(base, strategy):
    reference, rows = base("bert")
    (one,) = fitted(reference, rows, strategy).fitted.inserted
    assert one.insertion.merge is None


def test_a_convolution_in_groups_cannot_be_merged_and_says_so():
    insertion = insertion_of(LowRank("lora", LowRankConfig(rank=4, roles=(LayerRole.DEPTHWISE,))))
    adapter = insertion.wrap(nn.Conv2d(4, 4, 3, groups=4))
    with pytest.raises(PeftError) as caught:
        insertion.merge(adapter)
    assert str(caught.value).startswith("peft cannot merge the adapter of a Conv2d layer: ")


def insertion_of(strategy) -> Insertion:
    part = Part("all", ("all",), vector(4), {"all.layer": LayerRole.DEPTHWISE})
    backbone = BackboneDescription((), (vector(4),), (part,))
    (stage,) = strategy.plan(backbone, HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY))
    return stage.insertions[0]
