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
    *unfreeze: Unfreeze,
    head_learning_rate: float | None = None,
    layout: Layout = Layout.VECTOR,
    **settings,
) -> TrainableTensors:
    stage = Stage("first", unfreeze, head_learning_rate=head_learning_rate, **settings)
    return resolve_trainable(stage, backbone, layout, head_for(backbone), insert_modules(backbone, stage.insertions))


def problem(*unfreeze: Unfreeze, backbone: Backbone | None = None, **settings) -> str:
    with pytest.raises(InvalidStage) as caught:
        resolved(backbone or words(), *unfreeze, **settings)
    return str(caught.value)


class Wrapper(nn.Module):
    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped, self.dropout, self.more = wrapped, nn.Dropout(0.5), nn.Linear(16, 16)

    def forward(self, value):
        return self.wrapped(value) + self.more(self.dropout(value))


def wrapping(*parts: str) -> Insertion:
    return Insertion("more", parts, frozenset({LayerRole.QUERY}), Wrapper, 3e-3)


def test_a_whole_part_is_trained_with_its_buffers():
    trainable = resolved(pictures(), Unfreeze(("last",), 1e-3))
    assert trainable.declared == {name for name in named_tensors(pictures()) if name.startswith("last.")}
    assert "last.norm.running_mean" in trainable.declared


def test_a_group_has_the_learning_rate_of_its_selection():
    trainable = resolved(words(), Unfreeze(("block-0",), 1e-3), Unfreeze(("block-1",), 1e-4), head_learning_rate=1e-2)
    assert [(group.name, group.learning_rate) for group in trainable.groups] == [
        ("block-0", 1e-3),
        ("block-1", 1e-4),
        ("head", 1e-2),
    ]


def test_all_tensors_of_the_head_are_trained():
    trainable = resolved(words(), head_learning_rate=1e-2)
    assert trainable.declared == {f"head.{name}" for name in named_tensors(trainable.head)}


def test_layers_are_selected_by_role():
    trainable = resolved(words(), Unfreeze(PARTS, 1e-3, roles=frozenset({LayerRole.QUERY, LayerRole.FEED_FORWARD_IN})))
    assert trainable.declared == {
        f"blocks.{block}.{layer}.{own}"
        for block in (0, 1)
        for layer in ("query", "feed_forward_in")
        for own in ("weight", "bias")
    }


def test_tensors_are_selected_by_the_type_of_their_module():
    trainable = resolved(words(), Unfreeze(PARTS, 1e-3, modules=(nn.LayerNorm,)))
    assert trainable.declared == {
        name for name in named_tensors(words()) if "norm" in name and name.rpartition(".")[2] in ("weight", "bias")
    }


def test_tensors_are_selected_by_their_own_name():
    trainable = resolved(words(), Unfreeze(PARTS, 1e-3, tensors=frozenset({"bias"})))
    assert trainable.declared == {name for name in named_tensors(words()) if name.endswith(".bias")}


def test_all_criteria_of_a_selection_must_match():
    choice = Unfreeze(("block-1",), 1e-3, frozenset({LayerRole.QUERY}), (nn.Linear,), frozenset({"bias"}))
    assert resolved(words(), choice).declared == {"blocks.1.query.bias"}


def test_a_parameter_without_a_module_of_its_own_belongs_to_its_part():
    trainable = resolved(TABLE.build(), Unfreeze(("ensemble",), 1e-3))
    assert trainable.declared == {"scale", "shift", "shared.weight", "shared.bias"}


def test_a_selection_of_some_tensors_does_not_include_buffers():
    trainable = resolved(pictures(), Unfreeze(("last",), 1e-3, modules=(nn.BatchNorm2d,)))
    assert trainable.declared == {"last.norm.weight", "last.norm.bias"}


def test_inserted_modules_are_a_group_of_their_own():
    trainable = resolved(words(), insertions=(wrapping("block-1"),))
    (group,) = trainable.groups
    assert (group.name, group.learning_rate) == ("inserted more", 3e-3)
    assert trainable.declared == {"blocks.1.query:more.more.weight", "blocks.1.query:more.more.bias"}


def test_only_declared_tensors_require_gradients():
    trainable = resolved(words(), Unfreeze(("block-1",), 1e-3), head_learning_rate=1e-2)
    trainable.set_train_modes()
    for name, tensor in trainable.tensors().items():
        assert tensor.requires_grad == (name in trainable.declared and isinstance(tensor, nn.Parameter)), name


def test_frozen_parts_run_in_eval_mode():
    trainable = resolved(words(), Unfreeze(("block-1",), 1e-3), head_learning_rate=1e-2)
    trainable.backbone.train()
    frozen = dict(trainable.set_train_modes())
    assert trainable.backbone.blocks[1].dropout.training
    assert not trainable.backbone.blocks[0].dropout.training
    assert not trainable.backbone.embedding_norm.training
    assert "blocks.0.dropout" in frozen
    assert "blocks.1.dropout" not in frozen
    assert trainable.head.training


def test_a_frozen_head_runs_in_eval_mode():
    trainable = resolved(words(), Unfreeze(("block-1",), 1e-3))
    trainable.head.train()
    trainable.set_train_modes()
    assert not trainable.head.training
    assert not any(parameter.requires_grad for parameter in trainable.head.parameters())


def test_everything_runs_in_training_mode_if_everything_is_trained():
    trainable = resolved(words(), Unfreeze(PARTS, 1e-3), head_learning_rate=1e-2)
    assert trainable.set_train_modes() == []
    assert all(module.training for module in (*trainable.backbone.modules(), *trainable.head.modules()))


def test_a_frozen_part_runs_in_eval_mode_inside_a_trained_insertion():
    trainable = resolved(words(), insertions=(wrapping("block-1"),))
    trainable.backbone.train()
    trainable.set_train_modes()
    block = trainable.backbone.blocks[1]
    assert block.query.training
    assert block.query.dropout.training
    assert not block.query.wrapped.training
    assert not block.dropout.training


def test_batchnorm_of_a_frozen_part_keeps_its_statistics():
    trainable = resolved(pictures(), Unfreeze(("last",), 1e-3))
    trainable.backbone.train()
    trainable.set_train_modes()
    before = trainable.backbone.stem.norm.running_mean.clone()
    trainable.backbone.stem(torch.randn(4, 1, 8, 8))
    assert torch.equal(trainable.backbone.stem.norm.running_mean, before)
    assert trainable.backbone.last.norm.training


def test_batchnorm_whose_statistics_are_not_declared_keeps_them():
    trainable = resolved(pictures(), Unfreeze(("last",), 1e-3, tensors=frozenset({"weight"})))
    trainable.set_train_modes()
    assert not trainable.backbone.last.norm.training
    assert trainable.backbone.last.convolution.training


@pytest.mark.parametrize(
    ("unfreeze", "first"),
    [((), 3), ((Unfreeze(("block-1",), 1e-3),), 2), ((Unfreeze(("block-1", "embedding"), 1e-3),), 0)],
)
def test_the_first_trained_part_is_found(unfreeze, first):
    assert resolved(words(), *unfreeze, head_learning_rate=1e-2).first_part() == first


def test_an_insertion_makes_its_part_the_first_trained_one():
    assert resolved(words(), insertions=(wrapping("block-1"),)).first_part() == 2


def test_a_part_that_does_not_exist_is_rejected():
    assert problem(Unfreeze(("block-7",), 1e-3)) == (
        "The stage 'first' cannot run: there is no part 'block-7'; the parts are embedding, block-0, block-1."
    )


def test_an_empty_selection_is_rejected():
    assert problem(
        Unfreeze(("block-0",), 1e-3), Unfreeze(("embedding",), 1e-3, roles=frozenset({LayerRole.QUERY}))
    ) == ("The stage 'first' cannot run: its selection 2 matches no tensor of embedding.")


def test_two_selections_of_one_tensor_are_rejected():
    assert problem(Unfreeze(("block-0",), 1e-3, tensors=frozenset({"bias"})), Unfreeze(PARTS[1:2], 1e-4)) == (
        "The stage 'first' cannot run: both 'block-0' and 'block-0' select the tensor blocks.0.attention_norm.bias."
    )


def test_a_stage_that_trains_nothing_is_rejected():
    assert problem() == "The stage 'first' cannot run: it trains nothing."


@pytest.mark.parametrize(
    "settings", [{"head_learning_rate": 1e-3, "unfreeze": ("block-1",)}, {"unfreeze": ("block-1",)}]
)
def test_a_solver_finds_the_head_and_nothing_else(settings):
    unfreeze = Unfreeze(settings["unfreeze"], 1e-3)
    assert problem(unfreeze, head_learning_rate=settings.get("head_learning_rate"), solve=HeadSolver.CONVEX) == (
        "The stage 'first' cannot run: a solver finds the head, so the stage must train the head and nothing else."
    )


class Narrow(Pictures):
    """Its grid features do not use the norm of the last part."""

    @property
    def description(self):
        whole = super().description
        features = (replace(one, unused=("last.norm",) if one.layout == Layout.GRID else ()) for one in whole.features)
        return replace(whole, features=tuple(features))


def test_parameters_that_the_head_s_features_do_not_use_stay_frozen():
    choice = Unfreeze(("last",), 1e-3)
    grid, vector = (resolved(Narrow(), choice, layout=layout).declared for layout in (Layout.GRID, Layout.VECTOR))

    assert vector - grid == {f"last.norm.{name}" for name in BATCH_NORM}
    assert grid == {"last.convolution.weight"}


BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
