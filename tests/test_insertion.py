import pytest
import torch
from torch import Tensor, nn

from small_tasks import copied, learns, sentences, trained, words
from taskgraft.backbone import Backbone, tensors
from taskgraft.description import Layout, Role
from taskgraft.insertion import BadInsertion, bare_name, insert, named_modules, named_tensors, remove
from taskgraft.plan import Insertion

BATCH = words().processor.prepare({"text": ["one two three", "four"]}).batch


class Adapter(nn.Module):
    """Adds a low-rank change, at first zero, to what a linear layer gives."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.down, self.up = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
        self.dropout = nn.Dropout(0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) + self.up(self.dropout(self.down(value)))


class Scaled(nn.Module):
    """Multiplies what a layer gives by a number."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.factor


def adapter(*parts: str, name: str = "low-rank", wrap=Adapter, roles=(Role.QUERY, Role.VALUE)) -> Insertion:
    return Insertion(name, parts or ("block-1",), frozenset(roles), wrap, 1e-2)


def features(backbone: Backbone) -> Tensor:
    return backbone.eval()(BATCH, Layout.VECTOR).value


def test_layers_are_chosen_by_part_and_role():
    done = insert(words(), [adapter("block-0", "block-1")])
    assert [one.path for one in done] == [f"blocks.{block}.{layer}" for block in (0, 1) for layer in ("query", "value")]


def test_inserted_tensors_have_names_of_their_own_and_the_others_keep_theirs():
    backbone = words()
    before = set(tensors(backbone))
    done = insert(backbone, [adapter(roles=[Role.QUERY])])
    assert set(named_tensors(backbone, done)) == before | {
        "blocks.1.query:low-rank.down.weight",
        "blocks.1.query:low-rank.up.weight",
    }


def test_removing_leaves_no_trace():
    backbone = words()
    before, keys, emitted = copied(backbone), list(backbone.state_dict()), features(backbone)
    layer = backbone.blocks[1].query
    remove(backbone, insert(backbone, [adapter("block-0", "block-1")]))
    assert list(backbone.state_dict()) == keys
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(backbone).items())
    assert backbone.blocks[1].query is layer
    assert torch.equal(features(backbone), emitted)


def test_a_layer_can_be_wrapped_twice():
    backbone = words()
    before = set(tensors(backbone))
    inner = insert(backbone, [adapter(roles=[Role.QUERY])])
    done = (*inner, *insert(backbone, [adapter(name="scale", wrap=Scaled, roles=[Role.QUERY])]))
    assert set(named_tensors(backbone, done)) - before == {
        "blocks.1.query:low-rank.down.weight",
        "blocks.1.query:low-rank.up.weight",
        "blocks.1.query:scale.factor",
    }
    assert before < set(named_tensors(backbone, done))


def test_two_wraps_are_removed_without_a_trace():
    backbone = words()
    emitted, keys = features(backbone), list(backbone.state_dict())
    done = insert(backbone, [adapter(), adapter(name="scale", wrap=Scaled)])
    remove(backbone, done)
    assert list(backbone.state_dict()) == keys
    assert torch.equal(features(backbone), emitted)


def test_what_was_removed_can_be_inserted_again():
    backbone = words()
    done = insert(backbone, [adapter()])
    names = set(named_tensors(backbone, done))
    remove(backbone, done)
    assert set(named_tensors(backbone, insert(backbone, [adapter()]))) == names


def test_modules_are_named_as_in_the_bare_backbone():
    backbone = words()
    bare = {name for name, _ in backbone.named_modules()}
    done = insert(backbone, [adapter(roles=[Role.QUERY])])
    names = dict(named_modules(backbone, done))
    assert bare < names.keys()
    assert isinstance(names["blocks.1.query"], nn.Linear)
    assert isinstance(names["blocks.1.query:low-rank"], Adapter)


def test_a_path_that_only_begins_alike_is_left_alone():
    done = insert(words(), [adapter(roles=[Role.QUERY])])
    assert bare_name("blocks.1.query_norm.weight", done) == "blocks.1.query_norm.weight"
    assert bare_name("blocks.10.query.weight", done) == "blocks.10.query.weight"


def test_an_insertion_trains_without_changing_the_base():
    backbone = words()
    before = copied(backbone)
    model = trained(backbone, learns(insert=(adapter(),), head_rate=1e-2))
    now = named_tensors(backbone, model.fitted.inserted)
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())
    assert now["blocks.1.query:low-rank.up.weight"].any()


def test_an_insertion_of_an_earlier_stage_runs_in_eval_mode_when_it_does_not_learn():
    modes = []

    def note(backbone: Backbone, step: int) -> None:
        modes.append(backbone.blocks[1].query.dropout.training)

    trained(
        words(),
        learns(insert=(adapter(),), after_step=note, epochs=1),
        learns(name="second", after_step=note, epochs=1),
    )
    assert modes == [True] * 3 + [False] * 3


def test_an_insertion_that_no_layer_fits_is_refused():
    with pytest.raises(BadInsertion) as caught:
        insert(words(), [adapter("embedding", roles=[Role.QUERY, Role.CONVOLUTION])])
    assert str(caught.value) == (
        "The insertion 'low-rank' cannot be made: no layer of embedding has one of the roles convolution, query."
    )


def test_a_module_that_does_not_hold_the_layer_is_refused():
    with pytest.raises(BadInsertion) as caught:
        insert(words(), [adapter(wrap=lambda layer: nn.Linear(16, 16))])
    assert str(caught.value) == (
        "The insertion 'low-rank' cannot be made: the module around blocks.1.query does not hold that layer."
    )


def failing(layer: nn.Module) -> nn.Module:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (adapter("embedding"), BadInsertion),
        (adapter(wrap=lambda layer: nn.Linear(16, 16)), BadInsertion),
        (adapter(wrap=failing), ZeroDivisionError),
    ],
    ids=["no layer", "layer not held", "exception"],
)
def test_an_insertion_that_fails_leaves_no_trace_of_those_before_it(bad, error):
    backbone = words()
    keys = list(backbone.state_dict())
    with pytest.raises(error):
        insert(backbone, [adapter("block-0"), bad])
    assert list(backbone.state_dict()) == keys


def test_predictions_use_what_was_inserted():
    backbone = words()
    model = trained(backbone, learns(insert=(adapter(),)))
    before = model.predict_proba(sentences()["text"])
    with torch.no_grad():
        backbone.blocks[1].query.up.weight.zero_()
        backbone.blocks[1].value.up.weight.zero_()
    assert model.predict_proba(sentences()["text"]) != before
