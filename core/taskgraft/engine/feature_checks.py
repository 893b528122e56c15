"""Checks on the first real batch: features resumed from a cut, and independence of padding. Nothing cached is used before."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features, GridGeometry
from taskgraft.engine.finite import features_not_finite
from taskgraft.errors import TaskgraftWarning, join_words

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""How far two computations of the same features may differ, relative to the largest value (to 1, if that is larger)."""

CHECKED_EXAMPLES = 4


@dataclass(frozen=True)
class FeatureChecks:
    """The cuts from which resumed features equal those of a whole pass, and whether padding leaves features unchanged.

    If it does not, each batch must hold examples of one length.
    """

    cuts: tuple[int, ...]
    padding_invariant: bool


class UnreliableBackbone(TaskgraftWarning):
    """A backbone breaks a law on real input; taskgraft works around it."""


def check_features(backbone: Backbone, batch: Batch, layout: Layout, cuts: Iterable[int]) -> FeatureChecks:
    """Compare features resumed from cuts, and those of single examples, with a whole pass in eval mode. Warn if they differ.

    Args:
        batch: real examples on the backbone's device; the shortest and longest are checked.
        cuts: those at which states would be cached.
    """
    few = batch.select(_shortest_and_longest(batch))
    together = _features(backbone, few, layout)
    if wrong := features_not_finite(together):  # rows that are invalid, whatever the backbone does with the others
        finite = [row for row in range(len(few)) if row not in wrong]
        if not finite:
            return FeatureChecks((), padding_invariant=True)
        few, together = few.select(finite), together.select(finite)
    alone = enumerate(one_by_one(backbone, few, layout))
    padding_invariant = all(_is_close(one, together.select([row])) for row, one in alone)
    if not padding_invariant:
        _warn(backbone, "its features depend on the padding, so each batch will hold examples of one length only")
        few = few.select([0])
    return FeatureChecks(tuple(cut for cut in cuts if _resumes(backbone, few, layout, cut)), padding_invariant)


def find_data_fault(backbone: Backbone, batch: Batch, layout: Layout) -> str | None:
    """Say what about real examples leaves nothing to learn from, in a clause; None if it is not in their features."""
    features = _features(backbone, batch, layout)
    if any(bool(_without_padding(value, features).any()) for value in features.values):
        return None
    inputs = sorted(name for name in batch.tensors if not bool(batch[name].any()))
    of_inputs = f", and so are all values of {join_words(inputs)}" if inputs else ""
    return f"the features of all {len(batch):,} examples checked are zero{of_inputs}"


def through_cut(backbone: Backbone, cut: int, batch: Batch, layout: Layout, longer: int = 0) -> Features:
    """Compute the state at a cut, split it into examples, collate them with ``longer`` more positions, and resume."""
    with torch.no_grad():
        states = backbone.forward_to_cut(cut, batch, layout).unbind()
        longest = {axis: int(length.max()) + longer for axis, length in batch.lengths.items()}
        return backbone.forward_from_cut(cut, collate(states, longest), layout)


def one_by_one(backbone: Backbone, batch: Batch, layout: Layout) -> list[Features]:
    """Compute the features of each example in a batch of its own, without padding."""
    return [_features(backbone, one, layout) for one in batch.unbind()]


def max_relative_difference(first: Features, second: Features) -> float:
    """Return the largest absolute difference of two features, without padding, relative to the largest value (or to 1).

    Infinite for another shape or grid geometry, and for NaN.
    """
    worst = 0.0 if _same_geometry(first.geometry, second.geometry) else float("inf")
    for one, other in zip(first.values, second.values, strict=True):
        one, other = _without_padding(one, first).detach().double(), _without_padding(other, second).detach().double()
        if one.shape != other.shape:
            return float("inf")
        if one.numel():
            difference = float((one - other).abs().max()) / max(1.0, float(one.abs().max()))
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def _same_geometry(first: GridGeometry | None, second: GridGeometry | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first.transform, second.transform) and torch.equal(first.sizes, second.sizes)


def _resumes(backbone: Backbone, batch: Batch, layout: Layout, cut: int) -> bool:
    close = _is_close(_features(backbone, batch, layout), through_cut(backbone, cut, batch, layout))
    if not close:
        _warn(backbone, f"features resumed from cut {cut} differ from a whole pass, so nothing will be cached there")
    return close


def _is_close(first: Features, second: Features) -> bool:
    return max_relative_difference(first, second) <= TOLERANCE[first.value.dtype]


def _features(backbone: Backbone, batch: Batch, layout: Layout) -> Features:
    with torch.no_grad():
        return backbone(batch, layout)  # type: ignore[no-any-return]


def _without_padding(value: torch.Tensor, features: Features) -> torch.Tensor:
    if features.lengths is None:
        return value
    mask = features.mask
    return value[mask] if features.layout == Layout.SEQUENCE else value[mask[:, :, None] & mask[:, None, :]]


def _shortest_and_longest(batch: Batch) -> list[int]:
    if not batch.lengths:
        return list(range(min(len(batch), CHECKED_EXAMPLES)))
    order = torch.stack(list(batch.lengths.values())).sum(0).argsort().tolist()
    half = CHECKED_EXAMPLES // 2
    return order if len(order) <= CHECKED_EXAMPLES else order[:half] + order[-half:]


def _warn(backbone: Backbone, problem: str) -> None:
    warnings.warn(f"{type(backbone).__name__}: {problem}.", UnreliableBackbone, stacklevel=4)
