"""The resume law: what lies at a cut can be stored, taken apart, mixed and padded anew, and gives the same features."""

from collections.abc import Sequence
from copy import deepcopy

import torch

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import Layout, Part
from taskgraft.contract.features import Features
from taskgraft.testing.check import (
    BackboneUnderTest,
    Check,
    alike,
    distance,
    law_of,
    same_bits,
    same_values,
    trial,
)


def check_resuming_equals_a_full_pass(backbone: Backbone, inputs: Columns) -> None:
    """At every cut that holds for a layout: directly, and split, stripped, mixed with other examples and padded longer.

    What was stored is resumed by a copy that never saw the batch, as after loading.
    """
    law = _law(backbone)
    tried = trial(backbone, inputs)
    fresh = BackboneUnderTest(deepcopy(tried.backbone), tried.batch)
    order = list(reversed(range(len(tried.batch))))
    for cut, layout in _ways(tried):
        state = _state(law, tried, cut, layout)
        stored = state.unbind()
        whole = tried.features(layout)
        with law.runs(f"resuming {layout} features from cut {cut}"), torch.no_grad():
            direct = fresh.backbone.forward_from_cut(cut, state, layout)
            mixed = fresh.backbone.forward_from_cut(
                cut, collate([stored[row] for row in order], tried.longer if state.axes else None), layout
            )
            alone = [fresh.backbone.forward_from_cut(cut, one, layout) for one in stored]
        if not alike(whole, direct):
            raise law.broken(f"{layout} features resumed from cut {cut} differ by {distance(whole, direct):.1e}")
        for place, row in enumerate(order):
            for what, again in (("in other company", mixed.select([place])), ("alone", alone[row])):
                if not alike(whole.select([row]), again):
                    far = distance(whole.select([row]), again)
                    raise law.broken(
                        f"{layout} features of row {row}, resumed {what} from cut {cut}, differ by {far:.1e}"
                    )


def check_states_name_their_padded_axes(backbone: Backbone, inputs: Columns) -> None:
    """A state has one row per example, and no tensor whose shape depends on companions, but for the axes it names."""
    law = _law(backbone)
    tried = trial(backbone, inputs)
    for cut, layout in _ways(tried):
        state = _state(law, tried, cut, layout)
        if len(state) != len(tried.batch):
            raise law.broken(f"the state at cut {cut} has {len(state)} rows for {len(tried.batch)} examples")
        for row, one in enumerate(tried.batch.unbind()):
            alone, taken = _state(law, tried, cut, layout, one), state.select([row])
            if alone.tensors.keys() != state.tensors.keys() or dict(alone.axes) != dict(state.axes):
                raise law.broken(f"the state at cut {cut} holds other tensors for one example than for several")
            for name, tensor in taken.tensors.items():
                if tensor.shape != alone[name].shape:
                    raise law.broken(
                        f"at cut {cut}, '{name}' of row {row} has the shape {tuple(tensor.shape)} among others and "
                        f"{tuple(alone[name].shape)} alone",
                        "Name its padded axes in the 'axes' of the state, each with its lengths.",
                    )


def check_states_hold_no_raw_input(backbone: Backbone, inputs: Columns) -> None:
    """Behind cut 0 a state does not carry what the processor made; masks, positions, segments and a place may be carried."""
    law = _law(backbone, "Keep the hidden values, and of the inputs only what later parts read (masks, positions).")
    tried = trial(backbone, inputs)
    raw = {name: tensor for name, tensor in tried.batch.tensors.items() if _tells_examples_apart(tried.batch, name)}
    for cut, layout in _ways(tried):
        place = tried.features(layout).geometry
        allowed = [] if place is None else [place.transform, place.sizes]
        for name, tensor in _state(law, tried, cut, layout).tensors.items() if cut else ():
            for source, original in raw.items():
                if _equal(tensor, original) and not any(_equal(tensor, one) for one in allowed):
                    raise law.broken(f"the state at cut {cut} carries the raw input '{source}' as '{name}'")


def check_states_do_not_depend_on_later_parts(backbone: Backbone, inputs: Columns) -> None:
    """What lies at a cut does not depend on the parts behind it, which may learn while the state stays stored."""
    law = _law(backbone, "Let forward_to_cut stop before that part, or let an earlier part own what it uses.")
    tried = trial(backbone, inputs)
    for cut in tried.description.cuts:
        behind = tried.description.parts[cut:]
        moved = BackboneUnderTest(_moved(tried, behind), tried.batch)
        for layout in _layouts(tried, cut):
            before = _state(law, tried, cut, layout)
            if changed := _changed(before, _state(law, moved, cut, layout)):
                alone = (BackboneUnderTest(_moved(tried, [part]), tried.batch) for part in behind)
                culprits = zip(behind, alone, strict=False)
                name = next(part.name for part, one in culprits if _changed(before, _state(law, one, cut, layout)))
                raise law.broken(f"'{changed}' at cut {cut} changes with the weights of part '{name}', behind it")


def _moved(tried: BackboneUnderTest, parts: Sequence[Part]) -> Backbone:
    """Give a copy in which all weights of some parts are others."""
    moved = deepcopy(tried.backbone)
    with torch.no_grad():
        for name, tensor in named_tensors(moved).items():
            if tried.description.part_of(name) in parts and tensor.is_floating_point():
                tensor.add_(1).mul_(1.5)
    return moved


def _changed(before: Batch, after: Batch) -> str | None:
    """Name a tensor of a state that is another in a second one."""
    return next((name for name, tensor in before.tensors.items() if not same_bits(tensor, after[name])), None)


def check_batches_can_be_interleaved(backbone: Backbone, inputs: Columns) -> None:
    """Two batches run to a cut one after the other, then resumed in that order, as a store does."""
    law = _law(backbone, "Put all that resume needs into the state; keep nothing on the module.")
    tried = trial(backbone, inputs)
    last = len(tried.batch) - 1
    first, second = tried.batch.select(range(last)), tried.batch.select([last, 0])
    for cut, layout in _ways(tried):
        alone = [_resumed(law, tried, cut, batch, layout) for batch in (first, second)]
        states = [_state(law, tried, cut, layout, batch) for batch in (first, second)]
        with law.runs(f"resuming two batches from cut {cut}"), torch.no_grad():
            together = [tried.backbone.forward_from_cut(cut, state, layout) for state in states]
        for one, other in zip(alone, together, strict=True):
            if not same_values(one, other):
                raise law.broken(f"{layout} features from cut {cut} differ when another batch ran in between")


def _law(backbone: Backbone, advice: str | None = None) -> Check:
    return law_of(
        backbone,
        "what lies at a cut gives the features of a whole pass",
        advice
        or "Put all that later parts need into the state, recompute what depends on length, or offer no such cut.",
    )


def _ways(tried: BackboneUnderTest) -> list[tuple[int, Layout]]:
    """Every cut, for every layout that it holds for."""
    return [(cut, layout) for cut in tried.description.cuts for layout in _layouts(tried, cut)]


def _layouts(tried: BackboneUnderTest, cut: int) -> list[Layout]:
    return [layout for layout in tried.layouts if cut in tried.description.cuts_for(layout)]


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first.double(), second.double())


def _state(law: Check, tried: BackboneUnderTest, cut: int, layout: Layout, batch: Batch | None = None) -> Batch:
    with law.runs(f"running to cut {cut}"), torch.no_grad():
        return tried.backbone.forward_to_cut(cut, tried.batch if batch is None else batch, layout)


def _resumed(law: Check, tried: BackboneUnderTest, cut: int, batch: Batch, layout: Layout) -> Features:
    state = _state(law, tried, cut, layout, batch)
    with law.runs(f"resuming {layout} features from cut {cut}"), torch.no_grad():
        return tried.backbone.forward_from_cut(cut, state, layout)


def _tells_examples_apart(batch: Batch, name: str) -> bool:
    """Whether a prepared tensor is input proper: more than two different values, and not the same for every example."""
    values = [one[name].reshape(-1) for one in batch.unbind()]
    if torch.cat(values).unique().numel() <= 2:
        return False
    shared = min(len(one) for one in values)
    return any(not torch.equal(one[:shared], values[0][:shared]) for one in values)
