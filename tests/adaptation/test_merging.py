import json
from dataclasses import replace

import pytest
import torch
from grafts import Factors, Grafts, LowRank, insertion
from small_tasks import (
    assert_same_bits,
    classification,
    copied,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)
from torch import Tensor, nn

import taskgraft as tg
from taskgraft.adaptation.insertion import insert_modules
from taskgraft.adaptation.merging import AdapterMerge
from taskgraft.contract.descriptions import LayerRole, Layout
from taskgraft.errors import TaskgraftError
from taskgraft.storage.manifest import MANIFEST

TEXTS = sentences()["text"]
ROLES = (LayerRole.QUERY, LayerRole.VALUE)


def grafted(backbone=None, strategy=None):
    """A model that trained insertions which can be merged."""
    backbone = backbone or words()
    rows = sentences() if hasattr(backbone, "blocks") else images()
    model = tg.compose(backbone, classification(), strategy or Grafts(*ROLES))
    model.fit(rows, target="label", training={"batch_size": 8}, quiet=True)
    return model


def refusal(model, **settings):
    before = weights(model)
    with pytest.raises(TaskgraftError) as caught:
        model.merge(**settings)
    assert_same_bits(before, weights(model))
    return str(caught.value)


def test_merged_and_unmerged_predictions_are_equal():
    model = grafted()
    before = model.predict_proba(TEXTS)
    inserted = set(weights(model))
    model.merge(check=TEXTS)
    after = model.predict_proba(TEXTS)
    assert max(abs(one[label] - other[label]) for one, other in zip(before, after, strict=True) for label in one) < 1e-5
    assert inserted - set(weights(model)) == {
        f"backbone.blocks.{block}.{layer}.{own}"
        for block in (0, 1)
        for layer in ("query", "value")
        for own in ("down", "up", "wrapped.weight", "wrapped.bias")
    }


def test_merging_changes_the_wrapped_layers_alone():
    backbone = words()
    base = copied(backbone)
    model = grafted(backbone)
    model.merge()
    now = copied(backbone)
    assert {name for name in base if not torch.equal(base[name], now[name])} == {
        f"blocks.{block}.{layer}.weight" for block in (0, 1) for layer in ("query", "value")
    }


def test_convolutions_are_merged():
    model = grafted(pictures(), Grafts(LayerRole.CONVOLUTION))
    before = model.predict_proba(images()["image"])
    model.merge(check=images()["image"])
    after = model.predict_proba(images()["image"])
    assert max(abs(one[label] - other[label]) for one, other in zip(before, after, strict=True) for label in one) < 1e-5


def test_an_insertion_around_another_is_merged():
    backbone = words()
    inner = insert_modules(backbone, [insertion([LayerRole.QUERY], ["block-1"])])
    outer = insert_modules(backbone, [replace(insertion([LayerRole.QUERY], ["block-1"], Outer), name="outer")], inner)
    for name, tensor in backbone.named_parameters():
        if name.endswith((".up", ".down")):
            tensor.data.normal_(std=0.3)
    batch = backbone.processor.prepare({"text": ["one two three", "four"]}).batch
    merging = AdapterMerge(backbone, (*inner, *outer), lambda: backbone(batch, Layout.VECTOR))
    with torch.no_grad():
        before = backbone.eval()(batch, Layout.VECTOR).value
        merging.merge()
        after = backbone(batch, Layout.VECTOR).value
    assert isinstance(backbone.blocks[1].query, nn.Linear)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


class Outer(LowRank):
    """Low rank around low rank: reads the sizes of the layer below both."""

    def __init__(self, wrapped: nn.Module):
        super().__init__(wrapped.wrapped)
        self.wrapped = wrapped


def test_a_merged_model_is_saved_with_the_layers_that_changed_and_loads_to_the_same_bits(tmp_path):
    model = grafted()
    model.merge()
    model.save(tmp_path / "merged")
    manifest = json.loads((tmp_path / "merged" / MANIFEST).read_text())
    assert manifest["merged"] is True
    assert {record["owner"] for record in manifest["tensors"].values()} == {"block-0", "block-1", "embedding", "head"}
    again = tg.load(tmp_path / "merged", backbone=words(), head=classification(), strategy=Grafts(*ROLES))
    assert again.predict_proba(TEXTS) == model.predict_proba(TEXTS)
    assert again.fitted.inserted == ()
    assert_same_bits(weights(again), weights(model))


def test_over_a_checkpoint_a_merged_artifact_contains_the_changed_layers_and_the_head_alone(tmp_path):
    class Stored(type(words())):
        def fingerprint(self):
            return "stored"

    model = grafted(Stored().eval())
    model.merge()
    model.save(tmp_path / "merged")
    names = json.loads((tmp_path / "merged" / MANIFEST).read_text())["tensors"]
    assert {name for name in names if not name.startswith("head.")} == {
        f"blocks.{block}.{layer}.{own}"
        for block in (0, 1)
        for layer in ("query", "value")
        for own in ("weight", "bias")
    }
    again = tg.load(tmp_path / "merged", backbone=Stored().eval(), head=classification(), strategy=Grafts(*ROLES))
    assert again.predict_proba(TEXTS) == model.predict_proba(TEXTS)


def test_a_merged_artifact_is_the_base_of_another_model(tmp_path, small_plugin_installed):
    model = tg.compose("small-words", "classification", Grafts(*ROLES))
    model.fit(sentences(), target="label", quiet=True)
    model.merge()
    model.save(tmp_path / "merged")
    probe = tg.compose(f"small-words:{tmp_path / 'merged'}", "classification", "linear-probe")
    probe.fit(sentences(), target="label", quiet=True)
    query = "backbone.blocks.1.query.weight"
    assert torch.equal(weights(probe)[query], weights(model)[query])


def test_merging_twice_and_merging_nothing_change_nothing():
    model = grafted()
    model.merge()
    once = weights(model)
    model.merge()
    assert_same_bits(once, weights(model))
    plain = trained(words(), training_stage("block-1"))
    before = weights(plain)
    plain.merge()
    assert_same_bits(before, weights(plain))
    assert not plain.fitted.merged


def test_a_merged_model_can_be_fitted_again():
    model = grafted()
    model.merge()
    model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)
    assert len(model.fitted.inserted) == 4
    assert not model.fitted.merged


def test_an_insertion_that_cannot_be_merged_is_rejected_by_name():
    assert refusal(grafted(strategy=Grafts(*ROLES, merge=None))) == (
        "The insertion 'graft' cannot be merged: what it adds to blocks.0.query is not a change of that layer's weights. "
        "The model is unchanged; it can be saved and used with its insertions."
    )


def test_an_insertion_whose_merged_layer_computes_something_else_is_rejected():
    message = refusal(grafted(strategy=Grafts(*ROLES, merge=lambda around: around.wrapped)))
    head, _, tail = message.partition(" differs by ")
    assert head == "The insertion 'graft' cannot be merged: the merged blocks.0.query"
    assert tail.endswith(" of the largest value. The model is unchanged; it can be saved and used with its insertions.")


def test_if_the_last_merge_fails_the_others_are_undone():
    calls = []

    def merge(around):
        calls.append(around)
        return around.merge() if len(calls) < 4 else around.wrapped

    assert "the merged blocks.1.value differs by" in refusal(grafted(strategy=Grafts(*ROLES, merge=merge)))


def test_a_merged_layer_with_other_tensors_is_rejected():
    assert refusal(grafted(strategy=Grafts(*ROLES, merge=lambda around: nn.Linear(16, 16, bias=False)))) == (
        "The insertion 'graft' cannot be merged: the merged blocks.0.query does not have the tensors of that layer. "
        "The model is unchanged; it can be saved and used with its insertions."
    )


class Odd(nn.Linear):
    """Rejects the shapes of random input."""

    def forward(self, value: Tensor) -> Tensor:
        if value.shape[-2:] == (3, 16):
            raise ValueError("not three elements")
        return super().forward(value)


def test_a_layer_of_unknown_input_shape_needs_rows_to_compare():
    backbone = words()
    for block in backbone.blocks:
        block.query.__class__ = Odd
    model = grafted(backbone, Grafts(LayerRole.QUERY))
    assert refusal(model) == (
        "The insertion 'graft' cannot be merged: the input shape of blocks.0.query is unknown, so it cannot be compared; "
        "pass some rows as check=…. The model is unchanged; it can be saved and used with its insertions."
    )
    model.merge(check=["one two three four", "five"])


def test_rows_show_a_difference_that_single_layers_do_not():
    """Features that are wrong from the second call on, though each merged layer is right."""
    model = grafted()
    fitted, calls = model.fitted, []
    real = fitted.task.backbone.forward

    def forward(batch, layout):
        calls.append(layout)
        features = real(batch, layout)
        return features if len(calls) == 1 else type(features)(layout, (features.value + 1e-3,), features.lengths)

    fitted.task.backbone.forward = forward
    message = refusal(model, check=["one two"])
    assert message.startswith("The insertion 'graft' cannot be merged: features before and after differ by ")


def tied_weight(backbone):
    backbone.blocks[1].query.weight = backbone.blocks[0].query.weight
    return "blocks.0.query shares its weight with blocks.1.query.weight"


def tied_inside_a_block(backbone):
    backbone.blocks[0].key.weight = backbone.blocks[0].query.weight
    return "blocks.0.query shares its weight with blocks.0.key.weight"


def tied_layer(backbone):
    backbone.blocks[1].query = backbone.blocks[0].query
    return "blocks.0.query shares its weight with blocks.1.query.weight"


def tied_bias(backbone):
    backbone.blocks[1].key.bias = backbone.blocks[1].value.bias
    return "blocks.1.value shares its bias with blocks.1.key.bias"


def tied_embedding(backbone):
    backbone.blocks[1].value.weight = nn.Parameter(backbone.embedding.weight.data[8:24].t())
    return "blocks.1.value shares its weight with embedding.weight"


@pytest.mark.parametrize("tie", [tied_weight, tied_inside_a_block, tied_layer, tied_bias, tied_embedding])
def test_a_layer_that_shares_a_tensor_with_another_module_is_not_merged(tie):
    backbone = words()
    shared = tie(backbone)
    model = grafted(backbone)
    before = model.predict_proba(TEXTS)

    assert refusal(model) == (
        f"The insertion 'graft' cannot be merged: {shared}, which would change too. "
        "The model is unchanged; it can be saved and used with its insertions."
    )
    assert model.predict_proba(TEXTS) == before


def test_a_block_that_is_used_twice_is_wrapped_once_and_merged():
    backbone = words()
    backbone.blocks[1] = backbone.blocks[0]
    model = grafted(backbone)
    before = model.predict_proba(TEXTS)

    assert [one.path for one in model.fitted.inserted] == ["blocks.0.query", "blocks.0.value"]
    model.merge()
    after = model.predict_proba(TEXTS)
    assert max(abs(one[label] - other[label]) for one, other in zip(before, after, strict=True) for label in one) < 1e-5


class HiddenTie(type(words())):
    """Uses a weight that another layer has, too, without owning it as a parameter or buffer."""

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        again = features.value @ self.blocks[0].query.__dict__.get("stored", torch.eye(16))
        return type(features)(layout, (again,), features.lengths)

    def example_batch(self):
        return self.processor.prepare({"text": ["two words", "one"]}).batch


def test_features_of_the_backbones_example_batch_show_what_the_layers_do_not():
    model = grafted(HiddenTie().eval(), Grafts(LayerRole.QUERY))
    wrapped = model.fitted.task.backbone.blocks[0].query.wrapped
    wrapped.__dict__["stored"] = wrapped.weight.detach()

    message = refusal(model)
    assert message.startswith("The insertion 'graft' cannot be merged: features before and after differ by ")


def test_a_model_without_a_head_is_not_merged():
    with pytest.raises(TaskgraftError) as caught:
        tg.compose(words(), classification(), Grafts(*ROLES)).merge()
    assert str(caught.value) == (
        "This model is not fitted, so it cannot be merged. Call fit first, or load an artifact."
    )


def test_factors_start_at_the_function_of_the_layer():
    convolution = nn.Conv2d(2, 3, 3)
    value = torch.randn(1, 2, 5, 5)
    assert torch.equal(Factors(convolution)(value), convolution(value))
