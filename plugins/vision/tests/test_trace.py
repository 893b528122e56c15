import pytest
import torch
from torch import nn

from taskgraft_vision.trace import ROWS, Call, find_cuts, trace, used_parameters

SIZE = (3, 4, 4)


class Chain(nn.Module):
    """A stem and three blocks, one after another."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(5, 5, 1) for _ in range(3))
        self.idle = nn.Linear(2, 2)

    def forward(self, pixels):
        hidden = self.stem(pixels)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


class Skipping(Chain):
    """The last block also reads the output of the first."""

    def forward(self, pixels):
        first = self.blocks[0](self.stem(pixels))
        return self.blocks[2](self.blocks[1](first) + first)


class WithTable(Chain):
    """One module computes a table that does not depend on the pixels."""

    def __init__(self):
        super().__init__()
        self.table = nn.Linear(1, 5)

    def forward(self, pixels):
        table = self.table(pixels.new_ones(1, 1))[:, :, None, None]
        hidden = self.stem(pixels)
        for block in self.blocks:
            hidden = block(hidden + table)
        return hidden


class TensorLists(nn.Module):
    """Passes a list of two tensors from module to module."""

    def __init__(self):
        super().__init__()
        self.split = nn.Conv2d(3, 4, 1)
        self.join = Join()

    def forward(self, pixels):
        return self.join(list(self.split(pixels).chunk(2, 1)))


class Join(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(2, 2, 1)

    def forward(self, both):
        return self.mix(both[0]) + both[1]


def forward(model, pixels):
    return [model(pixels)]


def on_meta(kind):
    with torch.device("meta"):
        return kind().eval()


def test_calls_are_recorded_in_order_with_their_output_shapes():
    calls = trace(on_meta(Chain), forward, SIZE).calls

    assert calls["stem"] == (Call(1, 2, ((ROWS, 5, 4, 4),), is_list=False, depends_on_pixels=True),)
    assert [calls[f"blocks.{number}"][0].start for number in range(3)] == [3, 5, 7]
    assert "idle" not in calls


def test_the_trace_says_which_outputs_depend_on_the_pixels():
    calls = trace(on_meta(WithTable), forward, SIZE).calls

    assert (calls["table"][0].depends_on_pixels, calls["stem"][0].depends_on_pixels) == (False, True)


def test_a_chain_can_be_cut_before_each_block():
    flow = find_cuts(on_meta(Chain), forward, SIZE, ["blocks.0", "blocks.1", "blocks.2"])

    assert flow.cuts == {1, 2, 3}
    assert flow.sources == (3,)


def test_there_is_no_cut_where_an_earlier_value_is_read_later():
    flow = find_cuts(on_meta(Skipping), forward, SIZE, ["blocks.0", "blocks.1", "blocks.2"])

    assert flow.cuts == {1, 3}


def test_a_table_that_is_recomputed_prevents_no_cut():
    assert find_cuts(on_meta(WithTable), forward, SIZE, ["blocks.1", "blocks.2"]).cuts == {1, 2}


def test_there_is_no_cut_without_an_entry():
    assert find_cuts(on_meta(Chain), forward, SIZE, ["blocks.0", None, "blocks.2"]).cuts == {1, 3}


def test_there_can_be_a_cut_at_a_list_of_tensors():
    assert find_cuts(on_meta(TensorLists), forward, SIZE, ["join"]).cuts == {1}


def test_there_is_no_cut_at_a_module_that_is_called_twice():
    def twice(model, pixels):
        return [model.blocks[1](model.blocks[1](model.stem(pixels)))]

    assert find_cuts(on_meta(Chain), twice, SIZE, ["blocks.1"]).cuts == frozenset()


def test_sources_separate_outputs_before_and_after_a_cut():
    def levels(model, pixels):
        stem = model.stem(pixels)
        first = model.blocks[0](stem)
        return [stem, first, model.blocks[2](model.blocks[1](first))]

    flow = find_cuts(on_meta(Chain), levels, SIZE, ["blocks.0", "blocks.1", "blocks.2"])

    assert flow.cuts == {1, 2, 3}
    assert flow.sources == (0, 1, 3)


def test_an_output_that_uses_both_sides_prevents_a_cut():
    def levels(model, pixels):
        stem = model.stem(pixels)
        return [stem + model.blocks[0](stem), model.blocks[1](model.blocks[0](stem))]

    assert find_cuts(on_meta(Chain), levels, SIZE, ["blocks.0"]).cuts == frozenset()


def test_a_residual_around_a_block_prevents_a_cut_before_it():
    def residual(model, pixels):
        hidden = model.blocks[0](model.stem(pixels))
        return [model.blocks[2](hidden + model.blocks[1](hidden))]

    assert find_cuts(on_meta(Chain), residual, SIZE, ["blocks.0", "blocks.1", "blocks.2"]).cuts == {1, 3}


@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.inference_mode])
def test_results_do_not_depend_on_the_grad_mode(grad_mode):
    entries = ["blocks.0", "blocks.1", "blocks.2"]
    model = on_meta(Skipping)
    with grad_mode():
        flow, calls, used = (
            find_cuts(model, forward, SIZE, entries),
            trace(model, forward, SIZE).calls,
            used_parameters(model, forward, SIZE),
        )

    assert flow == find_cuts(model, forward, SIZE, entries)
    assert calls == trace(model, forward, SIZE).calls
    assert used == used_parameters(model, forward, SIZE)


def test_used_parameters_are_those_that_an_output_depends_on():
    model = on_meta(Chain)
    used = used_parameters(model, forward, SIZE)

    assert {name for name, _ in model.named_parameters()} - used == {"idle.weight", "idle.bias"}
