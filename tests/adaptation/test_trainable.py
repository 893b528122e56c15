from dataclasses import replace

import pytest
import torch
from backbones import TABLE, Pictures
from small_tasks import PARTS, classification, pictures, words
from torch import nn

from taskgraft.adaptation.insertion import insert_modules
from taskgraft.adaptation.trainable import InvalidStage, TrainableTensors, resolve_trainable
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.descriptions import LayerRole, Layout
from taskgraft.contract.head import HeadModule
from taskgraft.contract.plan import HeadSolver, Insertion, Stage, Unfreeze


def head_for(backbone: Backbone) -> HeadModule:
    head = classification()
    return head.build_module(backbone.description.features[0], head.fit_targets({"label": ["a", "b"]}))


def resolved(
    backbone: Backbone,
    *learn: Unfreeze,
    head_learning_rate: float | None = None,
    layout: Layout = Layout.VECTOR,
    **settings,
) -> TrainableTensors:
    stage = Stage("first", learn, head_learning_rate=head_learning_rate, **settings)
    return resolve_trainable(stage, backbone, layout, head_for(backbone), insert_modules(backbone, stage.insertions))


def problem(*learn: Unfreeze, backbone: Backbone | None = None, **settings) -> str:
    with pytest.raises(InvalidStage) as caught:
        resolved(backbone or words(), *learn, **settings)
    return str(caught.value)


class Wrapper(nn.Module):
    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped, self.dropout, self.more = wrapped, nn.Dropout(0.5), nn.Linear(16, 16)

    def forward(self, value):
        return self.wrapped(value) + self.more(self.dropout(value))


def wrapping(*parts: str) -> Insertion:
    return Insertion("more", parts, frozenset({LayerRole.QUERY}), Wrapper, 3e-3)


def test_a_whole_part_learns_with_its_buffers():
    learning = resolved(pictures(), Unfreeze(("last",), 1e-3))
    assert learning.declared == {name for name in named_tensors(pictures()) if name.startswith("last.")}
    assert "last.norm.running_mean" in learning.declared


def test_a_group_has_the_rate_of_its_choice():
    learning = resolved(words(), Unfreeze(("block-0",), 1e-3), Unfreeze(("block-1",), 1e-4), head_learning_rate=1e-2)
    assert [(group.name, group.rate) for group in learning.groups] == [
        ("block-0", 1e-3),
        ("block-1", 1e-4),
        ("head", 1e-2),
    ]


def test_the_head_learns_with_all_its_tensors():
    learning = resolved(words(), head_learning_rate=1e-2)
    assert learning.declared == {f"head.{name}" for name in named_tensors(learning.head)}


def test_layers_are_chosen_by_role():
    learning = resolved(words(), Unfreeze(PARTS, 1e-3, roles=frozenset({LayerRole.QUERY, LayerRole.FEED_FORWARD_IN})))
    assert learning.declared == {
        f"blocks.{block}.{layer}.{own}"
        for block in (0, 1)
        for layer in ("query", "feed_forward_in")
        for own in ("weight", "bias")
    }


def test_tensors_are_chosen_by_the_type_of_their_module():
    learning = resolved(words(), Unfreeze(PARTS, 1e-3, modules=(nn.LayerNorm,)))
    assert learning.declared == {
        name for name in named_tensors(words()) if "norm" in name and name.rpartition(".")[2] in ("weight", "bias")
    }


def test_tensors_are_chosen_by_their_own_name():
    learning = resolved(words(), Unfreeze(PARTS, 1e-3, tensors=frozenset({"bias"})))
    assert learning.declared == {name for name in named_tensors(words()) if name.endswith(".bias")}


def test_all_that_a_choice_says_must_fit():
    choice = Unfreeze(("block-1",), 1e-3, frozenset({LayerRole.QUERY}), (nn.Linear,), frozenset({"bias"}))
    assert resolved(words(), choice).declared == {"blocks.1.query.bias"}


def test_a_parameter_without_a_module_of_its_own_belongs_to_its_part():
    learning = resolved(TABLE.build(), Unfreeze(("ensemble",), 1e-3))
    assert learning.declared == {"scale", "shift", "shared.weight", "shared.bias"}


def test_a_choice_of_some_tensors_does_not_take_buffers():
    learning = resolved(pictures(), Unfreeze(("last",), 1e-3, modules=(nn.BatchNorm2d,)))
    assert learning.declared == {"last.norm.weight", "last.norm.bias"}


def test_inserted_modules_learn_as_a_group_of_their_own():
    learning = resolved(words(), insertions=(wrapping("block-1"),))
    (group,) = learning.groups
    assert (group.name, group.rate) == ("inserted more", 3e-3)
    assert learning.declared == {"blocks.1.query:more.more.weight", "blocks.1.query:more.more.bias"}


def test_only_what_was_declared_asks_for_gradients():
    learning = resolved(words(), Unfreeze(("block-1",), 1e-3), head_learning_rate=1e-2)
    learning.set_train_modes()
    for name, tensor in learning.tensors().items():
        assert tensor.requires_grad == (name in learning.declared and isinstance(tensor, nn.Parameter)), name


def test_parts_that_do_not_learn_run_in_eval_mode():
    learning = resolved(words(), Unfreeze(("block-1",), 1e-3), head_learning_rate=1e-2)
    learning.backbone.train()
    frozen = dict(learning.set_train_modes())
    assert learning.backbone.blocks[1].dropout.training
    assert not learning.backbone.blocks[0].dropout.training
    assert not learning.backbone.embedding_norm.training
    assert "blocks.0.dropout" in frozen
    assert "blocks.1.dropout" not in frozen
    assert learning.head.training


def test_a_head_that_does_not_learn_runs_in_eval_mode():
    learning = resolved(words(), Unfreeze(("block-1",), 1e-3))
    learning.head.train()
    learning.set_train_modes()
    assert not learning.head.training
    assert not any(parameter.requires_grad for parameter in learning.head.parameters())


def test_everything_runs_in_training_mode_when_everything_learns():
    learning = resolved(words(), Unfreeze(PARTS, 1e-3), head_learning_rate=1e-2)
    assert learning.set_train_modes() == []
    assert all(module.training for module in (*learning.backbone.modules(), *learning.head.modules()))


def test_a_frozen_part_runs_in_eval_mode_under_an_insertion_that_learns():
    learning = resolved(words(), insertions=(wrapping("block-1"),))
    learning.backbone.train()
    learning.set_train_modes()
    block = learning.backbone.blocks[1]
    assert block.query.training
    assert block.query.dropout.training
    assert not block.query.wrapped.training
    assert not block.dropout.training


def test_batchnorm_of_a_frozen_part_keeps_its_statistics():
    learning = resolved(pictures(), Unfreeze(("last",), 1e-3))
    learning.backbone.train()
    learning.set_train_modes()
    before = learning.backbone.stem.norm.running_mean.clone()
    learning.backbone.stem(torch.randn(4, 1, 8, 8))
    assert torch.equal(learning.backbone.stem.norm.running_mean, before)
    assert learning.backbone.last.norm.training


def test_batchnorm_whose_statistics_are_not_declared_keeps_them():
    learning = resolved(pictures(), Unfreeze(("last",), 1e-3, tensors=frozenset({"weight"})))
    learning.set_train_modes()
    assert not learning.backbone.last.norm.training
    assert learning.backbone.last.convolution.training


@pytest.mark.parametrize(
    ("learn", "first"),
    [((), 3), ((Unfreeze(("block-1",), 1e-3),), 2), ((Unfreeze(("block-1", "embedding"), 1e-3),), 0)],
)
def test_the_first_part_that_learns_is_found(learn, first):
    assert resolved(words(), *learn, head_learning_rate=1e-2).first_part() == first


def test_an_insertion_makes_its_part_the_first_that_learns():
    assert resolved(words(), insertions=(wrapping("block-1"),)).first_part() == 2


def test_a_part_that_does_not_exist_is_refused():
    assert problem(Unfreeze(("block-7",), 1e-3)) == (
        "The stage 'first' cannot run: there is no part 'block-7'; the parts are embedding, block-0, block-1."
    )


def test_a_choice_that_fits_nothing_is_refused():
    assert problem(
        Unfreeze(("block-0",), 1e-3), Unfreeze(("embedding",), 1e-3, roles=frozenset({LayerRole.QUERY}))
    ) == ("The stage 'first' cannot run: its choice 2 fits no tensor of embedding.")


def test_two_choices_of_one_tensor_are_refused():
    assert problem(Unfreeze(("block-0",), 1e-3, tensors=frozenset({"bias"})), Unfreeze(PARTS[1:2], 1e-4)) == (
        "The stage 'first' cannot run: both 'block-0' and 'block-0' claim the tensor blocks.0.attention_norm.bias."
    )


def test_a_stage_in_which_nothing_learns_is_refused():
    assert problem() == "The stage 'first' cannot run: nothing learns in it."


@pytest.mark.parametrize("settings", [{"head_learning_rate": 1e-3, "learn": ("block-1",)}, {"learn": ("block-1",)}])
def test_a_solver_finds_the_head_and_nothing_else(settings):
    learn = Unfreeze(settings["learn"], 1e-3)
    assert problem(learn, head_learning_rate=settings.get("head_learning_rate"), solve=HeadSolver.CONVEX) == (
        "The stage 'first' cannot run: a solver finds the head, so the head must learn in it and nothing else."
    )


class Narrow(Pictures):
    """Says that its grid needs no norm of the last part."""

    @property
    def description(self):
        whole = super().description
        features = (replace(one, unused=("last.norm",) if one.layout == Layout.GRID else ()) for one in whole.features)
        return replace(whole, features=tuple(features))


def test_what_the_features_of_the_head_do_not_depend_on_keeps_still():
    choice = Unfreeze(("last",), 1e-3)
    grid, vector = (resolved(Narrow(), choice, layout=layout).declared for layout in (Layout.GRID, Layout.VECTOR))

    assert vector - grid == {f"last.norm.{name}" for name in BATCH_NORM}
    assert grid == {"last.convolution.weight"}


BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
