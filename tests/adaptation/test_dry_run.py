"""Insertions get a dry run before training, and those that do not work are rejected with the reason."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from backbones import Words
from small_plugin import WordsConfig, describe_words
from small_tasks import Planned, classification, copied, sentences, training_stage, words
from torch import Tensor, nn

import taskgraft as tg
from taskgraft.adaptation.dry_run import InsertionFailed, dry_run_composition
from taskgraft.composition.compose import compose_components
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import LayerRole, Layout
from taskgraft.contract.features import Features
from taskgraft.contract.plan import Insertion
from taskgraft.contract.specs import BackboneSpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.loader import CatalogEntry


class Around(nn.Module):
    """Wraps a layer and has a factor of its own, which a subclass uses or not."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.layer(value) * (1 + self.factor)


class BehindAGate(Around):
    """As LoRA: one tensor gets a gradient of zero as long as the other is zero."""

    def __init__(self, layer: nn.Module):
        super().__init__(layer)
        self.gated = nn.Parameter(torch.ones(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.layer(value) * (1 + self.gated * self.factor)


class Idle(Around):
    def forward(self, value: Tensor) -> Tensor:
        return self.layer(value)


class Detached(Around):
    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value).detach()


class Narrow(Around):
    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value)[..., :-1]


class Failing(Around):
    def forward(self, value: Tensor) -> Tensor:
        raise KeyError("no such thing.")


class Longer(Around):
    """Adds an element in front of all, each second time that it is called, and leaves it there."""

    calls = 0

    def forward(self, value: Tensor) -> Tensor:
        self.calls += 1
        found = super().forward(value)
        return found if self.calls % 2 else torch.cat([found[:, :1], found], 1)


class Shown(Words):
    """Has an example of its own."""

    def example_batch(self) -> Batch:
        return self.processor.prepare({"text": ["one two three", "four"]}).batch


class Again(Shown):
    """Words whose elements go through the last query once more."""

    def forward(self, batch: Batch, layout: Layout) -> Features:
        features = super().forward(batch, layout)
        return replace(features, values=(self.blocks[1].query(features.value),))


def plan(wrap: Callable[[nn.Module], nn.Module], role: LayerRole = LayerRole.QUERY) -> Planned:
    return Planned(
        training_stage(insertions=(Insertion("extra", ("block-1",), frozenset({role}), wrap, 1e-2),), epochs=1)
    )


def refusal(backbone: Words, wrap: Callable[[nn.Module], nn.Module], head: str = "classification") -> str:
    with pytest.raises(InsertionFailed) as caught:
        tg.compose(backbone, head, plan(wrap))
    return str(caught.value)


ADVICE = "\nChoose another strategy, or other layers for this one."


@pytest.mark.parametrize("wrap", [Around, BehindAGate])
def test_insertions_that_work_are_composed_and_leave_no_trace(wrap):
    backbone = Shown().train()
    backbone.norm.weight.requires_grad_(False)
    before, keys, state = copied(backbone), list(backbone.state_dict()), torch.random.get_rng_state()

    model = tg.compose(backbone, "classification", plan(wrap))

    assert model.composition.dry_run_done
    assert list(backbone.state_dict()) == keys
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.named_parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in backbone.modules())
    assert [name for name, tensor in backbone.named_parameters() if not tensor.requires_grad] == ["norm.weight"]
    assert all(tensor.grad is None for tensor in backbone.parameters())


def test_an_unused_tensor_is_rejected():
    assert refusal(Shown(), Idle) == (
        "'Planned' does not work in 'Shown', as a dry run showed: the features do not depend on "
        f"blocks.1.query:extra.factor, so it would never be trained.{ADVICE}"
    )


def test_an_exception_is_reported():
    assert refusal(Shown(), Failing) == (
        f"'Planned' does not work in 'Shown', as a dry run showed: KeyError: 'no such thing.'.{ADVICE}"
    )


def test_a_shape_that_breaks_on_the_way_is_reported():
    assert refusal(Shown(), Narrow).startswith(
        "'Planned' does not work in 'Shown', as a dry run showed: RuntimeError: "
    )


def test_elements_that_no_longer_line_up_are_rejected():
    assert refusal(Again(), Longer, "element-classification") == (
        "'Planned' does not work in 'Again', as a dry run showed: the features have 4 elements instead of 3, so "
        f"they no longer line up with the inputs.{ADVICE}"
    )


def test_a_backbone_without_example_is_tried_on_the_first_rows_before_training():
    backbone = words()
    model = tg.compose(backbone, classification(), plan(Detached))
    before = copied(backbone)
    with pytest.raises(InsertionFailed) as caught:
        model.fit(sentences(), target="label", quiet=True)
    assert str(caught.value) == (
        "'Planned' does not work in 'Words', as a dry run showed: the features do not depend on "
        f"blocks.1.query:extra.factor, so it would never be trained.{ADVICE}"
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.named_parameters())


def spec(**settings: object) -> BackboneSpec:
    def build(config: WordsConfig) -> Words:
        raise AssertionError("the backbone was built with weights")

    return BackboneSpec(
        name="words", summary="words", config=WordsConfig, describe=describe_words, build=build, **settings
    )


def catalog(one: BackboneSpec) -> Catalog:
    return Catalog((*tg.catalog().entries, CatalogEntry(one, PluginSource("acme", "1.0", "acme", "acme"))), ())


def sketch(config: WordsConfig) -> Words:
    return Shown(config).to("meta")


def test_a_named_backbone_is_tried_without_weights():
    composition = compose_components(catalog(spec(build_on_meta=sketch)), "words", "classification", plan(Around))
    assert dry_run_composition(composition).dry_run_done
    with pytest.raises(
        InsertionFailed, match=r"'Planned' does not work in 'words', as a dry run showed: .* would never be trained"
    ):
        dry_run_composition(
            compose_components(catalog(spec(build_on_meta=sketch)), "words", "classification", plan(Idle))
        )


class Looking(Shown):
    """Reads values, which meta tensors do not have: they count as True, and as 1."""

    def forward(self, batch: Batch, layout: Layout) -> Features:
        assert bool(batch["words"].bool().any())
        assert int(batch["words"].min()) <= 1
        return super().forward(batch, layout)


class Stubborn(Shown):
    """Needs values that meta tensors cannot give."""

    def forward(self, batch: Batch, layout: Layout) -> Features:
        batch["words"].nonzero()
        return super().forward(batch, layout)


@pytest.mark.parametrize(("kind", "could"), [(Looking, True), (Stubborn, False)])
def test_a_backbone_that_cannot_run_without_weights_is_tried_on_the_first_rows(kind, could):
    composition = compose_components(
        catalog(spec(build_on_meta=lambda config: kind(config).to("meta"))), "words", "classification", plan(Around)
    )
    assert dry_run_composition(composition).dry_run_done is could


@pytest.mark.parametrize("strategy", ["linear-probe", "full", "partial:1"])
def test_where_nothing_is_inserted_nothing_is_tried(strategy):
    def refuse(config: WordsConfig) -> Words:
        raise AssertionError("tried")

    assert dry_run_composition(
        compose_components(catalog(spec(build_on_meta=refuse)), "words", "classification", strategy)
    ).dry_run_done
