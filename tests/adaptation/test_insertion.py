import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from backbones import Words
from block_models import Passing
from small_tasks import copied, fitted, sentences, trained, training_stage, words
from torch import Tensor, nn

from taskgraft.adaptation.insertion import (
    InvalidInsertion,
    insert_modules,
    named_modules,
    original_named_tensors,
    remove_modules,
)
from taskgraft.adaptation.trainable import resolve_trainable
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import LayerRole, Layout
from taskgraft.contract.features import Features
from taskgraft.contract.plan import Insertion, SharedWrap

BATCH = words().processor.prepare({"text": ["one two three", "four"]}).batch


class Adapter(nn.Module):
    """Adds a low-rank change, zero at first, to the output of a linear layer."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.down, self.up = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
        self.dropout = nn.Dropout(0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) + self.up(self.dropout(self.down(value)))


class Scaled(nn.Module):
    """Multiplies the output of a layer by a factor."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.factor


def adapter(*parts: str, name: str = "low-rank", wrap=Adapter, roles=(LayerRole.QUERY, LayerRole.VALUE)) -> Insertion:
    return Insertion(name, parts or ("block-1",), frozenset(roles), wrap, 1e-2)


def features(backbone: Backbone) -> Tensor:
    return backbone.eval()(BATCH, Layout.VECTOR).value


def test_layers_are_selected_by_part_and_role():
    done = insert_modules(words(), [adapter("block-0", "block-1")])
    assert [one.path for one in done] == [f"blocks.{block}.{layer}" for block in (0, 1) for layer in ("query", "value")]


def test_inserted_tensors_have_names_of_their_own_and_the_others_keep_theirs():
    backbone = words()
    before = set(named_tensors(backbone))
    done = insert_modules(backbone, [adapter(roles=[LayerRole.QUERY])])
    assert set(original_named_tensors(backbone, done)) == before | {
        "blocks.1.query:low-rank.down.weight",
        "blocks.1.query:low-rank.up.weight",
    }


def test_removing_leaves_no_trace():
    backbone = words()
    before, keys, emitted = copied(backbone), list(backbone.state_dict()), features(backbone)
    layer = backbone.blocks[1].query
    remove_modules(backbone, insert_modules(backbone, [adapter("block-0", "block-1")]))
    assert list(backbone.state_dict()) == keys
    assert all(torch.equal(tensor, before[name]) for name, tensor in named_tensors(backbone).items())
    assert backbone.blocks[1].query is layer
    assert torch.equal(features(backbone), emitted)


def test_a_layer_can_be_wrapped_twice():
    backbone = words()
    before = set(named_tensors(backbone))
    inner = insert_modules(backbone, [adapter(roles=[LayerRole.QUERY])])
    done = (*inner, *insert_modules(backbone, [adapter(name="scale", wrap=Scaled, roles=[LayerRole.QUERY])]))
    assert set(original_named_tensors(backbone, done)) - before == {
        "blocks.1.query:low-rank.down.weight",
        "blocks.1.query:low-rank.up.weight",
        "blocks.1.query:scale.factor",
    }
    assert before < set(original_named_tensors(backbone, done))


def test_two_wraps_are_removed_without_a_trace():
    backbone = words()
    emitted, keys = features(backbone), list(backbone.state_dict())
    done = insert_modules(backbone, [adapter(), adapter(name="scale", wrap=Scaled)])
    remove_modules(backbone, done)
    assert list(backbone.state_dict()) == keys
    assert torch.equal(features(backbone), emitted)


def test_what_was_removed_can_be_inserted_again():
    backbone = words()
    done = insert_modules(backbone, [adapter()])
    names = set(original_named_tensors(backbone, done))
    remove_modules(backbone, done)
    assert set(original_named_tensors(backbone, insert_modules(backbone, [adapter()]))) == names


def test_modules_are_named_as_in_the_original_backbone():
    backbone = words()
    bare = {name for name, _ in backbone.named_modules()}
    done = insert_modules(backbone, [adapter(roles=[LayerRole.QUERY])])
    names = dict(named_modules(backbone, done))
    assert bare < names.keys()
    assert isinstance(names["blocks.1.query"], nn.Linear)
    assert isinstance(names["blocks.1.query:low-rank"], Adapter)


def test_a_path_with_a_common_beginning_is_not_translated():
    backbone = words()
    done = insert_modules(backbone, [adapter(roles=[LayerRole.QUERY])])
    backbone.blocks[1].query_norm = nn.LayerNorm(16)
    backbone.blocks.extend(deepcopy(backbone.blocks[0]) for _ in range(9))
    assert {"blocks.1.query_norm.weight", "blocks.10.query.weight"} < set(original_named_tensors(backbone, done))


def test_an_insertion_trains_without_changing_the_base():
    backbone = words()
    before = copied(backbone)
    model = trained(backbone, training_stage(insertions=(adapter(),), head_learning_rate=1e-2))
    now = original_named_tensors(backbone, model.fitted.inserted)
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())
    assert now["blocks.1.query:low-rank.up.weight"].any()


def test_a_frozen_insertion_of_an_earlier_stage_runs_in_eval_mode():
    modes = []

    def note(backbone: Backbone, step: int) -> None:
        modes.append(backbone.blocks[1].query.dropout.training)

    trained(
        words(),
        training_stage(insertions=(adapter(),), on_step_end=note, epochs=1),
        training_stage(name="second", on_step_end=note, epochs=1),
    )
    assert modes == [True] * 3 + [False] * 3


def test_an_insertion_that_selects_no_layer_is_rejected():
    with pytest.raises(InvalidInsertion) as caught:
        insert_modules(words(), [adapter("embedding", roles=[LayerRole.QUERY, LayerRole.CONVOLUTION])])
    assert str(caught.value) == (
        "The insertion 'low-rank' cannot be made: no layer of embedding has one of the roles convolution, query."
    )


def test_a_module_that_does_not_contain_the_layer_is_rejected():
    with pytest.raises(InvalidInsertion) as caught:
        insert_modules(words(), [adapter(wrap=lambda layer: nn.Linear(16, 16))])
    assert str(caught.value) == (
        "The insertion 'low-rank' cannot be made: the module around blocks.1.query does not contain that layer."
    )


def failing(layer: nn.Module) -> nn.Module:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (adapter("embedding"), InvalidInsertion),
        (adapter(wrap=lambda layer: nn.Linear(16, 16)), InvalidInsertion),
        (adapter(wrap=failing), ZeroDivisionError),
    ],
    ids=["no layer", "layer not contained", "exception"],
)
def test_an_insertion_that_fails_leaves_no_trace_of_those_before_it(bad, error):
    backbone = words()
    keys = list(backbone.state_dict())
    with pytest.raises(error):
        insert_modules(backbone, [adapter("block-0"), bad])
    assert list(backbone.state_dict()) == keys


def test_predictions_use_inserted_modules():
    backbone = words()
    model = trained(backbone, training_stage(insertions=(adapter(),)))
    before = model.predict_proba(sentences()["text"])
    with torch.no_grad():
        backbone.blocks[1].query.up.weight.zero_()
        backbone.blocks[1].value.up.weight.zero_()
    assert model.predict_proba(sentences()["text"]) != before


def whole(*parts: str, wrap=Scaled) -> Insertion:
    return Insertion("scale", parts, None, wrap, 1e-2)


def test_a_whole_part_is_wrapped_if_a_single_module_has_its_output():
    backbone = Passing()
    (one,) = insert_modules(backbone, [whole("block-1")])
    assert one.path == "model.blocks.1"
    assert "model.blocks.1:scale.factor" in original_named_tensors(backbone, [one])


def test_a_part_without_a_single_output_module_is_not_wrapped():
    with pytest.raises(InvalidInsertion) as caught:
        insert_modules(Passing(), [whole("block-0")])
    assert str(caught.value) == (
        "The insertion 'scale' cannot be made: no single module has the output of the part block-0."
    )


@pytest.mark.parametrize("part_first", [True, False])
def test_a_part_and_a_layer_inside_it_can_both_be_wrapped(part_first):
    backbone = words()
    names, keys = set(named_tensors(backbone)), list(backbone.state_dict())
    both = [whole("block-0"), adapter("block-0", roles=[LayerRole.QUERY])]
    first, second = both if part_first else both[::-1]
    before = insert_modules(backbone, [first])
    done = (*before, *insert_modules(backbone, [second], before))
    assert set(original_named_tensors(backbone, done)) - names == {
        "blocks.0.query:low-rank.down.weight",
        "blocks.0.query:low-rank.up.weight",
        "blocks.0:scale.factor",
    }
    remove_modules(backbone, done)
    assert list(backbone.state_dict()) == keys


class Sheltered(nn.Module):
    """Contains the layer further below, with a frozen tensor."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.inner = nn.ModuleDict({"layer": layer})
        self.factor = nn.Parameter(torch.ones(()))
        self.size = nn.Parameter(torch.full((), 2.0), requires_grad=False)

    def forward(self, value: Tensor) -> Tensor:
        return self.inner["layer"](value) * self.factor * self.size


class Whole(nn.Module):
    """Everything below a backbone, in one module."""

    def __init__(self, inner: Words):
        super().__init__()
        self.inner = inner
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.inner(batch, layout)


class Housed(Backbone):
    """The encoder over words, which gives the path of its whole model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = words()

    @property
    def description(self):
        found = self.model.description if isinstance(self.model, Words) else self.model.inner.description
        parts = [
            replace(
                part,
                owns=tuple(f"model.{path}" for path in part.owns),
                roles={f"model.{path}": role for path, role in part.roles.items()},
            )
            for part in found.parts
        ]
        parts[0] = replace(parts[0], roles={"model": LayerRole.MODEL})
        return replace(found, parts=tuple(parts), cuts=(0,))

    @property
    def processor(self):
        return words().processor

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.model(batch, layout)


def test_a_layer_may_be_anywhere_below_the_module_around_it():
    backbone = words()
    before, emitted = set(named_tensors(backbone)), features(backbone)
    done = insert_modules(backbone, [adapter(wrap=Sheltered, name="shelter", roles=[LayerRole.QUERY])])
    assert set(original_named_tensors(backbone, done)) == before | {
        "blocks.1.query:shelter.factor",
        "blocks.1.query:shelter.size",
    }
    remove_modules(backbone, done)
    assert torch.equal(features(backbone), emitted)


def test_an_inserted_tensor_without_requires_grad_is_frozen_and_saved(tmp_path):
    backbone = words()
    model = trained(
        backbone, training_stage(insertions=(adapter(wrap=Sheltered, name="shelter", roles=[LayerRole.QUERY]),))
    )
    name = "blocks.1.query:shelter.size"
    assert float(original_named_tensors(backbone, model.fitted.inserted)[name].detach()) == 2.0
    assert name not in model.fitted.trained
    assert name in json.loads((model.save(tmp_path / "artifact") / "taskgraft.json").read_text())["tensors"]


def test_layers_with_different_learning_rates_share_a_wrap():
    calls = []

    def begin(layers):
        calls.append(list(layers))
        return Adapter

    backbone = words()
    layers = [block.query for block in backbone.blocks]
    together = SharedWrap(begin)
    insert_modules(backbone, [adapter(part, wrap=together, roles=[LayerRole.QUERY]) for part in ("block-0", "block-1")])
    assert calls == [layers]


def test_insertions_of_one_name_have_their_own_learning_rates():
    backbone = words()
    plan = tuple(replace(adapter(part), learning_rate=rate) for part, rate in (("block-0", 1e-3), ("block-1", 1e-2)))
    done = insert_modules(backbone, plan)
    groups = resolve_trainable(training_stage(insertions=plan), backbone, Layout.VECTOR, nn.Linear(1, 1), done).groups
    rates = {name.partition(":")[0]: group.learning_rate for group in groups for name in group.tensors if ":" in name}
    assert rates == {
        f"blocks.{block}.{layer}": rate for block, rate in ((0, 1e-3), (1, 1e-2)) for layer in ("query", "value")
    }


@pytest.mark.parametrize("model_first", [True, False])
def test_a_whole_model_and_layers_in_it_can_both_be_wrapped(model_first):
    backbone = Housed().eval()
    before, keys, emitted = set(named_tensors(backbone)), list(backbone.state_dict()), features(backbone)
    around = Insertion("whole", ("embedding",), frozenset({LayerRole.MODEL}), Whole, 1e-2)
    inside = adapter(roles=[LayerRole.QUERY])
    first, second = (around, inside) if model_first else (inside, around)
    done = insert_modules(backbone, [first])
    done = (*done, *insert_modules(backbone, [second], done))
    assert set(original_named_tensors(backbone, done)) == before | {
        "model:whole.factor",
        "model.blocks.1.query:low-rank.down.weight",
        "model.blocks.1.query:low-rank.up.weight",
    }
    assert "model:whole" in dict(named_modules(backbone, done))
    remove_modules(backbone, done)
    assert list(backbone.state_dict()) == keys
    assert torch.equal(features(backbone), emitted)


def test_an_insertion_around_the_whole_model_begins_with_the_first_part():
    backbone = Housed()
    around = Insertion("whole", ("embedding",), frozenset({LayerRole.MODEL}), Whole, 1e-2)
    done = insert_modules(backbone, [around])
    trainable = resolve_trainable(training_stage(insertions=(around,)), backbone, Layout.VECTOR, nn.Linear(1, 1), done)
    assert trainable.first_part() == 0


def test_a_regularizer_is_added_to_the_mean_loss_and_the_number_of_steps_is_passed_at_the_start():
    steps_passed = []
    wanted = adapter(roles=[LayerRole.QUERY])

    def far(backbone: Backbone) -> Tensor:
        return 1000.0 * (backbone.blocks[1].query.up.weight - 1.0).square().mean()

    def note(backbone: Backbone, steps: int) -> None:
        steps_passed.append(steps)

    stage = training_stage(insertions=(wanted,), regularizer=far, on_stage_start=note, epochs=40)
    backbone = words()
    _, run = fitted(backbone, stage)
    pulled = backbone.blocks[1].query.up.weight
    assert float((pulled.detach() - 1.0).abs().max()) < 0.7
    assert run.stages[0].losses[0] > 500
    assert steps_passed == [40 * 3]
