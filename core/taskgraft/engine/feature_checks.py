"""What is tried on the first real batch before anything is relied on: the cuts, and independence of padding."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features, GridGeometry

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""How far two ways of computing the same features may lie apart, relative to the largest of them (at least to 1)."""

EXAMPLES = 4
"""How many examples of the first batch are tried."""


@dataclass(frozen=True)
class FeatureChecks:
    """What holds for a backbone on real input.

    Attributes:
        cuts: those whose resumed features equal a whole pass.
        pads: whether features stay the same among longer companions. If not, batches must hold one length only.
    """

    cuts: tuple[int, ...]
    pads: bool


class UnreliableBackbone(UserWarning):
    """A backbone does not keep a law on real input; taskgraft works around it."""


def check_features(backbone: Backbone, batch: Batch, layout: Layout, cuts: Iterable[int]) -> FeatureChecks:
    """Compare resumed and lone examples with a whole pass, in eval mode; warn about what differs.

    Args:
        batch: real examples on the backbone's device; the shortest and longest of them are tried.
        cuts: the cuts that would be relied on.
    """
    few = batch.select(_extremes(batch))
    pads = _same(one_by_one(backbone, few, layout), _features(backbone, few, layout))
    if not pads:
        _warn(backbone, "its features depend on the padding, so batches will hold examples of one length only")
    good = tuple(cut for cut in cuts if _resumes(backbone, few if pads else few.select([0]), layout, cut))
    return FeatureChecks(good, pads)


def through_cut(backbone: Backbone, cut: int, batch: Batch, layout: Layout, longer: int = 0) -> Features:
    """Store a batch at a cut, take it apart, collate it anew to another length, and resume."""
    with torch.no_grad():
        states = backbone.forward_to_cut(cut, batch, layout).unbind()
        longest = {axis: int(length.max()) + longer for axis, length in batch.lengths.items()}
        return backbone.forward_from_cut(cut, collate(states, longest), layout)


def one_by_one(backbone: Backbone, batch: Batch, layout: Layout) -> list[Features]:
    """Compute each example alone, without padding."""
    return [_features(backbone, one, layout) for one in batch.unbind()]


def max_relative_difference(first: Features, second: Features) -> float:
    """The largest absolute difference of two features, over real elements, relative to the largest value (or to 1).

    Features in another place differ infinitely.
    """
    worst = 0.0 if _same_place(first.geometry, second.geometry) else float("inf")
    for one, other in zip(first.values, second.values, strict=True):
        one, other = _real(one, first).detach().double(), _real(other, second).detach().double()
        if one.shape != other.shape:
            return float("inf")
        if one.numel():
            scale = max(1.0, float(one.abs().max()))
            apart = float((one - other).abs().max()) / scale
            worst = max(worst, apart if apart == apart else float("inf"))
    return worst


def _same_place(first: GridGeometry | None, second: GridGeometry | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first.transform, second.transform) and torch.equal(first.sizes, second.sizes)


def _resumes(backbone: Backbone, batch: Batch, layout: Layout, cut: int) -> bool:
    whole = _features(backbone, batch, layout)
    again = through_cut(backbone, cut, batch, layout)
    good = max_relative_difference(whole, again) <= TOLERANCE[whole.value.dtype]
    if not good:
        _warn(backbone, f"features resumed from cut {cut} differ from a whole pass, so nothing will be stored there")
    return good


def _same(alone: list[Features], together: Features) -> bool:
    return all(
        max_relative_difference(one, together.select([row])) <= TOLERANCE[one.value.dtype]
        for row, one in enumerate(alone)
    )


def _features(backbone: Backbone, batch: Batch, layout: Layout) -> Features:
    with torch.no_grad():
        return backbone(batch, layout)  # type: ignore[no-any-return]


def _real(value: torch.Tensor, features: Features) -> torch.Tensor:
    if features.lengths is None:
        return value
    mask = features.mask
    return value[mask] if features.layout == Layout.SEQUENCE else value[mask[:, :, None] & mask[:, None, :]]


def _extremes(batch: Batch) -> list[int]:
    """Choose the shortest and the longest examples."""
    if not batch.lengths:
        return list(range(min(len(batch), EXAMPLES)))
    order = torch.stack(list(batch.lengths.values())).sum(0).argsort().tolist()
    half = EXAMPLES // 2
    return order if len(order) <= EXAMPLES else order[:half] + order[-half:]


def _warn(backbone: Backbone, what: str) -> None:
    warnings.warn(f"{type(backbone).__name__}: {what}.", UnreliableBackbone, stacklevel=4)
