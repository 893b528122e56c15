from functools import partial

import pytest
import torch
from block_models import BLOCKS, BiasBlock, Block, HandingBlock, Model, Passing, TupleBlock, some_words
from cut_checks import max_relative_difference, through_cut

from taskgraft.plugin import Layout
from taskgraft_transformers.block_skipping import BlockSkipper

BATCH = some_words()


def run(model: Model) -> torch.Tensor:
    return model(BATCH["words"], BATCH.mask("element"))


@pytest.mark.parametrize("kind", [Block, TupleBlock])
@pytest.mark.parametrize("block", range(1, BLOCKS))
def test_resuming_where_a_pass_was_stopped_equals_a_whole_pass(kind, block):
    model = Model(kind)
    skipper = BlockSkipper(list(model.blocks))
    hidden = skipper.stop_before(block, lambda: run(model))
    assert torch.equal(skipper.pass_through(block, hidden, lambda: run(model)), run(model))


@pytest.mark.parametrize("kind", [Block, TupleBlock])
def test_a_pass_can_be_resumed_before_any_pass_was_stopped(kind):
    model = Model(kind)
    hidden = BlockSkipper(list(model.blocks)).stop_before(2, lambda: run(model))
    assert torch.equal(BlockSkipper(list(model.blocks)).pass_through(2, hidden, lambda: run(model)), run(model))


def test_blocks_before_the_cut_are_skipped():
    model = Model()
    skipper = BlockSkipper(list(model.blocks))
    hidden, whole = skipper.stop_before(2, lambda: run(model)), run(model)
    with torch.no_grad():
        for parameter in [*model.blocks[0].parameters(), *model.blocks[1].parameters(), model.embedding.weight]:
            parameter.fill_(float("nan"))
    assert torch.equal(skipper.pass_through(2, hidden, lambda: run(model)), whole)


def test_stopping_at_a_cut_does_not_run_the_blocks_after_it():
    model = Model()
    calls = []
    model.blocks[2].register_forward_hook(lambda *_: calls.append(2))
    model.blocks[1].register_forward_hook(lambda *_: calls.append(1))
    BlockSkipper(list(model.blocks)).stop_before(2, lambda: run(model))
    assert calls == [1]


def test_a_block_called_with_named_inputs_is_stopped_too():
    model = Model()

    def by_name() -> torch.Tensor:
        hidden = model.embedding(BATCH["words"])
        for block in model.blocks:
            hidden = block(hidden=hidden, mask=BATCH.mask("element"))
        return hidden

    skipper = BlockSkipper(list(model.blocks))
    hidden = skipper.stop_before(1, by_name)
    assert torch.equal(skipper.pass_through(1, hidden, by_name), by_name())


def test_the_model_is_unchanged_afterwards():
    model = Model()
    whole = run(model)
    skipper = BlockSkipper(list(model.blocks))
    hidden = skipper.stop_before(1, lambda: run(model))
    skipper.pass_through(1, hidden, lambda: run(model))
    assert torch.equal(run(model), whole)
    assert all("forward" not in vars(block) for block in model.blocks)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.blocks)


def test_the_model_is_unchanged_after_an_error():
    model = Model()
    skipper = BlockSkipper(list(model.blocks))
    hidden = skipper.stop_before(1, lambda: run(model))
    with pytest.raises(RuntimeError):
        skipper.pass_through(1, hidden[:, :, :2], lambda: run(model))
    assert all("forward" not in vars(block) for block in model.blocks)


def test_gradients_flow_through_the_blocks_that_run():
    model = Model()
    skipper = BlockSkipper(list(model.blocks))
    hidden = skipper.stop_before(2, lambda: run(model)).detach()
    skipper.pass_through(2, hidden, lambda: run(model)).sum().backward()
    assert model.blocks[1].own.weight.grad is None
    assert model.blocks[2].own.weight.grad is not None


def test_a_model_that_never_calls_the_block_is_an_error():
    model = Model()
    with pytest.raises(RuntimeError, match="the model finished without calling the block"):
        BlockSkipper([model.blocks[0], torch.nn.Linear(2, 2)]).stop_before(1, lambda: run(model))


@pytest.mark.parametrize("kind", [Block, TupleBlock, BiasBlock])
@pytest.mark.parametrize("cut", range(BLOCKS))
def test_a_backbone_cut_this_way_obeys_the_cut_law(kind, cut):
    backbone = Passing(kind)
    for layout in (Layout.VECTOR, Layout.SEQUENCE):
        whole = backbone(BATCH, layout)
        again = through_cut(backbone, cut, BATCH, layout, longer=3)
        if layout == Layout.SEQUENCE:
            again = type(again)(layout, (again.value[:, : whole.value.shape[1]],), again.lengths)
        assert max_relative_difference(whole, again) < 1e-5


def test_further_outputs_of_the_first_block_are_recomputed_for_each_length():
    model = Model(BiasBlock)
    skipper = BlockSkipper(list(model.blocks))
    for batch in (BATCH, some_words(("a b c d e f g h", "one")), BATCH):
        mask = batch.mask("element")
        hidden = skipper.stop_before(2, partial(model, batch["words"], mask))
        again = skipper.pass_through(2, hidden, partial(model, torch.zeros_like(batch["words"]), mask))
        assert torch.allclose(again, model(batch["words"], mask), atol=1e-6)


def test_a_model_whose_blocks_pass_on_a_second_tensor_is_resumed_wrongly():
    backbone = Passing(HandingBlock)
    whole = backbone(BATCH, Layout.VECTOR)
    assert max_relative_difference(whole, through_cut(backbone, 2, BATCH, Layout.VECTOR)) > 0.01
