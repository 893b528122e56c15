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
    """The last block reads what the first gave, too."""

    def forward(self, pixels):
        first = self.blocks[0](self.stem(pixels))
        return self.blocks[2](self.blocks[1](first) + first)


class WithTable(Chain):
    """A table that does not depend on the pixels is made by a module."""

    def __init__(self):
        super().__init__()
        self.table = nn.Linear(1, 5)

    def forward(self, pixels):
        table = self.table(pixels.new_ones(1, 1))[:, :, None, None]
        hidden = self.stem(pixels)
        for block in self.blocks:
            hidden = block(hidden + table)
        return hidden


class Lists(nn.Module):
    """Hands on a list of two tensors."""

    def __init__(self):
        super().__init__()
        self.split = nn.Conv2d(3, 4, 1)
        self.join = Joining()

    def forward(self, pixels):
        return self.join(list(self.split(pixels).chunk(2, 1)))


class Joining(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(2, 2, 1)

    def forward(self, both):
        return self.mix(both[0]) + both[1]


def run(model, pixels):
    return [model(pixels)]


def on_meta(kind):
    with torch.device("meta"):
        return kind().eval()


def test_calls_are_noted_in_their_order_with_the_shapes_they_give():
    calls = trace(on_meta(Chain), run, SIZE).calls

    assert calls["stem"] == (Call(1, 2, ((ROWS, 5, 4, 4),), many=False, tainted=True),)
    assert [calls[f"blocks.{number}"][0].start for number in range(3)] == [3, 5, 7]
    assert "idle" not in calls


def test_what_does_not_depend_on_the_pixels_is_not_tainted():
    calls = trace(on_meta(WithTable), run, SIZE).calls

    assert (calls["table"][0].tainted, calls["stem"][0].tainted) == (False, True)


def test_a_chain_can_be_cut_before_each_block():
    flow = find_cuts(on_meta(Chain), run, SIZE, ["blocks.0", "blocks.1", "blocks.2"])

    assert flow.cuts == {1, 2, 3}
    assert flow.sources == (3,)


def test_a_pass_cannot_be_cut_where_an_earlier_value_is_read_later():
    flow = find_cuts(on_meta(Skipping), run, SIZE, ["blocks.0", "blocks.1", "blocks.2"])

    assert flow.cuts == {1, 3}


def test_a_table_that_is_computed_again_hinders_no_cut():
    assert find_cuts(on_meta(WithTable), run, SIZE, ["blocks.1", "blocks.2"]).cuts == {1, 2}


def test_no_cut_is_tried_where_there_is_no_entry():
    assert find_cuts(on_meta(Chain), run, SIZE, ["blocks.0", None, "blocks.2"]).cuts == {1, 3}


def test_a_pass_can_be_cut_where_a_list_of_tensors_is_handed_on():
    assert find_cuts(on_meta(Lists), run, SIZE, ["join"]).cuts == {1}


def test_a_module_that_is_called_twice_is_no_place_to_cut():
    def twice(model, pixels):
        return [model.blocks[1](model.blocks[1](model.stem(pixels)))]

    assert find_cuts(on_meta(Chain), twice, SIZE, ["blocks.1"]).cuts == frozenset()


def test_outputs_from_before_a_cut_are_told_from_those_behind_it():
    def levels(model, pixels):
        stem = model.stem(pixels)
        first = model.blocks[0](stem)
        return [stem, first, model.blocks[2](model.blocks[1](first))]

    flow = find_cuts(on_meta(Chain), levels, SIZE, ["blocks.0", "blocks.1", "blocks.2"])

    assert flow.cuts == {1, 2, 3}
    assert flow.sources == (0, 1, 3)


def test_an_output_that_mixes_both_sides_of_a_cut_forbids_it():
    def levels(model, pixels):
        stem = model.stem(pixels)
        return [stem + model.blocks[0](stem), model.blocks[1](model.blocks[0](stem))]

    assert find_cuts(on_meta(Chain), levels, SIZE, ["blocks.0"]).cuts == frozenset()


def test_a_residual_around_a_block_forbids_a_cut_before_it():
    def residual(model, pixels):
        hidden = model.blocks[0](model.stem(pixels))
        return [model.blocks[2](hidden + model.blocks[1](hidden))]

    assert find_cuts(on_meta(Chain), residual, SIZE, ["blocks.0", "blocks.1", "blocks.2"]).cuts == {1, 3}


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_what_is_found_does_not_depend_on_gradients_being_on(without):
    entries = ["blocks.0", "blocks.1", "blocks.2"]
    model = on_meta(Skipping)
    with without():
        flow, calls, found = (
            find_cuts(model, run, SIZE, entries),
            trace(model, run, SIZE).calls,
            used_parameters(model, run, SIZE),
        )

    assert flow == find_cuts(model, run, SIZE, entries)
    assert calls == trace(model, run, SIZE).calls
    assert found == used_parameters(model, run, SIZE)


def test_parameters_that_no_output_depends_on_are_not_reached():
    model = on_meta(Chain)
    found = used_parameters(model, run, SIZE)

    assert {name for name, _ in model.named_parameters()} - found == {"idle.weight", "idle.bias"}
