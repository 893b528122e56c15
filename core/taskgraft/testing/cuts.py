"""Laws of cuts: the state at a cut can be cached, split, collated with other examples, and gives the same features."""

from collections.abc import Sequence
from copy import deepcopy

import torch

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import Layout, Part
from taskgraft.contract.features import Features
from taskgraft.testing.backbone_fixture import BackboneUnderTest, prepare_backbone
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import feature_distance, features_agree, same_bits, same_features

_ADVICE = "Put everything that later parts need into the state, recompute what depends on length, or offer no such cut."


@law_check(_ADVICE)
def check_resuming_equals_a_full_pass(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """At every cut of a layout: directly, and split, stripped of padding, collated with other examples and padded longer.

    The cached state is resumed by a copy that never saw the batch, as after loading.
    """
    tested = prepare_backbone(backbone, inputs)
    copy = deepcopy(tested.backbone)
    order = list(reversed(range(len(tested.batch))))
    for cut, layout in _cuts_and_layouts(tested):
        state = _state(law, tested, cut, layout)
        cached = state.unbind()
        full = tested.features(layout)
        with law.must_succeed(f"resuming {layout} features from cut {cut}"), torch.no_grad():
            direct = copy.forward_from_cut(cut, state, layout)
            reordered = copy.forward_from_cut(
                cut, collate([cached[row] for row in order], tested.padded_lengths if state.axes else None), layout
            )
            alone = [copy.forward_from_cut(cut, one, layout) for one in cached]
        if not features_agree(full, direct):
            far = feature_distance(full, direct)
            raise law.violation(f"{layout} features resumed from cut {cut} differ by {far:.1e}")
        for place, row in enumerate(order):
            for how, resumed in (("in another batch", reordered.select([place])), ("alone", alone[row])):
                if not features_agree(full.select([row]), resumed):
                    far = feature_distance(full.select([row]), resumed)
                    raise law.violation(
                        f"{layout} features of row {row}, resumed {how} from cut {cut}, differ by {far:.1e}"
                    )


@law_check(_ADVICE)
def check_states_name_their_padded_axes(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """A state has one row per example, and no tensor whose shape depends on the batch, except along the axes it names."""
    tested = prepare_backbone(backbone, inputs)
    for cut, layout in _cuts_and_layouts(tested):
        state = _state(law, tested, cut, layout)
        if len(state) != len(tested.batch):
            raise law.violation(f"the state at cut {cut} has {len(state)} rows for {len(tested.batch)} examples")
        for row, one in enumerate(tested.batch.unbind()):
            alone, selected = _state(law, tested, cut, layout, one), state.select([row])
            if alone.tensors.keys() != state.tensors.keys() or dict(alone.axes) != dict(state.axes):
                raise law.violation(f"the state at cut {cut} holds other tensors for one example than for several")
            for name, tensor in selected.tensors.items():
                if tensor.shape != alone[name].shape:
                    raise law.violation(
                        f"at cut {cut}, '{name}' of row {row} has the shape {tuple(tensor.shape)} in a batch and "
                        f"{tuple(alone[name].shape)} alone",
                        "Name its padded axes in the 'axes' of the state, each with its lengths.",
                    )


@law_check("Keep the hidden values, and of the inputs only what later parts read (masks, positions).")
def check_states_hold_no_raw_input(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """After cut 0 a state holds nothing that the processor made, except masks, positions, segments and a grid geometry."""
    tested = prepare_backbone(backbone, inputs)
    raw = {name: tensor for name, tensor in tested.batch.tensors.items() if _differs_by_example(tested.batch, name)}
    for cut, layout in _cuts_and_layouts(tested):
        geometry = tested.features(layout).geometry
        allowed = [] if geometry is None else [geometry.transform, geometry.sizes]
        for name, tensor in _state(law, tested, cut, layout).tensors.items() if cut else ():
            for source, original in raw.items():
                if _equal_in_any_dtype(tensor, original) and not any(
                    _equal_in_any_dtype(tensor, one) for one in allowed
                ):
                    raise law.violation(f"the state at cut {cut} holds the raw input '{source}' as '{name}'")


@law_check("Let forward_to_cut stop before that part, or let an earlier part own what it uses.")
def check_states_do_not_depend_on_later_parts(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """The state at a cut does not depend on the parts after it, which may be trained while the state stays cached."""
    tested = prepare_backbone(backbone, inputs)
    for cut in tested.description.cuts:
        later = tested.description.parts[cut:]
        changed = _with_other_weights(tested, later)
        for layout in _layouts(tested, cut):
            state = _state(law, tested, cut, layout)
            if tensor := _changed_tensor(state, _state(law, changed, cut, layout)):
                each = ((part, _with_other_weights(tested, [part])) for part in later)
                name = next(p.name for p, one in each if _changed_tensor(state, _state(law, one, cut, layout)))
                raise law.violation(f"'{tensor}' at cut {cut} changes with the weights of part '{name}', after it")


@law_check("Put everything that resuming needs into the state; keep nothing on the module.")
def check_batches_can_be_interleaved(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Two batches run to a cut one after the other, then resume in that order, as with a cache."""
    tested = prepare_backbone(backbone, inputs)
    last = len(tested.batch) - 1
    batches = tested.batch.select(range(last)), tested.batch.select([last, 0])
    for cut, layout in _cuts_and_layouts(tested):
        one_by_one = [_resume(law, tested, cut, _state(law, tested, cut, layout, batch), layout) for batch in batches]
        states = [_state(law, tested, cut, layout, batch) for batch in batches]
        interleaved = [_resume(law, tested, cut, state, layout) for state in states]
        if not all(map(same_features, one_by_one, interleaved)):
            raise law.violation(f"{layout} features from cut {cut} differ when another batch ran in between")


def _with_other_weights(tested: BackboneUnderTest, parts: Sequence[Part]) -> BackboneUnderTest:
    """Return a copy in which all weights of some parts have other values."""
    changed = deepcopy(tested.backbone)
    with torch.no_grad():
        for name, tensor in named_tensors(changed).items():
            if tested.description.part_of(name) in parts and tensor.is_floating_point():
                tensor.add_(1).mul_(1.5)
    return BackboneUnderTest(changed, tested.batch)


def _changed_tensor(before: Batch, after: Batch) -> str | None:
    """Name a tensor that differs between two states."""
    return next((name for name, tensor in before.tensors.items() if not same_bits(tensor, after[name])), None)


def _cuts_and_layouts(tested: BackboneUnderTest) -> list[tuple[int, Layout]]:
    """List every cut with every layout that it holds for."""
    return [(cut, layout) for cut in tested.description.cuts for layout in _layouts(tested, cut)]


def _layouts(tested: BackboneUnderTest, cut: int) -> list[Layout]:
    return [layout for layout in tested.layouts if cut in tested.description.cuts_for(layout)]


def _equal_in_any_dtype(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first.double(), second.double())


def _state(law: Law, tested: BackboneUnderTest, cut: int, layout: Layout, batch: Batch | None = None) -> Batch:
    with law.must_succeed(f"running to cut {cut}"), torch.no_grad():
        return tested.backbone.forward_to_cut(cut, tested.batch if batch is None else batch, layout)


def _resume(law: Law, tested: BackboneUnderTest, cut: int, state: Batch, layout: Layout) -> Features:
    with law.must_succeed(f"resuming {layout} features from cut {cut}"), torch.no_grad():
        return tested.backbone.forward_from_cut(cut, state, layout)


def _differs_by_example(batch: Batch, name: str) -> bool:
    """Say whether a tensor is raw input: it has more than two values, and they are not the same for every example."""
    values = [one[name].reshape(-1) for one in batch.unbind()]
    if torch.cat(values).unique().numel() <= 2:
        return False
    shared = min(len(one) for one in values)
    return any(not torch.equal(one[:shared], values[0][:shared]) for one in values)
