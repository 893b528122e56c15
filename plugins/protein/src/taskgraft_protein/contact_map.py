"""Contacts: for each two residues the probability that they touch, by logistic regression."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from taskgraft.plugin import (
    ELEMENT_AXIS,
    Batch,
    Columns,
    FeatureDescription,
    Features,
    Head,
    HeadDescription,
    HeadModule,
    InvalidTargets,
    Layout,
    LossSum,
    Predictions,
    TargetDescription,
    is_missing,
    length_mask,
)
from taskgraft_protein.contact_settings import ContactMapConfig, describe_contact_map

CLASSES = (0, 1)
"""Apart, and in contact."""

NOT_KNOWN = -1
"""Stands in the truth where no one knows, and for pairs that are too near along the sequence."""


class ContactMapTarget(TargetDescription):
    """What makes a contact.

    Attributes:
        share: of the known pairs of the training rows that are in contact, from 0 to 1; where the head begins.
    """

    column: str
    distance: float
    separation: int
    share: float


class ContactMap(Head[ContactMapTarget]):
    """Contacts between residues, from the positions of their atoms (Cβ, by custom)."""

    target = ContactMapTarget

    def __init__(self, config: ContactMapConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_contact_map(self._config)

    def fit_targets(self, targets: Columns) -> ContactMapTarget:
        """Count contacts.

        Raises:
            InvalidTargets: naming each row without readable positions.
        """
        ((column, values),) = targets.items()
        distance, separation = self._config.distance, self._config.separation
        touching = known = 0
        for positions in _positions(column, values):
            contacts = _contacts(*_known(positions), distance, separation)
            touching, known = touching + int((contacts == 1).sum()), known + int((contacts >= 0).sum())
        share = (touching + 1) / (known + 2)
        return ContactMapTarget(column=column, distance=distance, separation=separation, share=share)

    def encode(self, targets: Columns, target: ContactMapTarget) -> Batch:
        """Encode as ``position``: ``(batch, element, 3)`` float32, in Ångström, and ``known``: ``(batch, element)`` bool."""
        ((column, values),) = targets.items()
        rows = _positions(column, values)
        counts = [len(row) for row in rows]
        position = torch.zeros(len(rows), max(counts, default=0), 3)
        known = torch.zeros(position.shape[:2], dtype=torch.bool)
        for number, row in enumerate(rows):
            position[number, : len(row)], known[number, : len(row)] = _known(row)
        tensors = {"position": position, "known": known}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.tensor(counts)})

    def decode_targets(self, encoded: Batch, target: ContactMapTarget) -> list[Any]:
        """Give arrays ``(element, element)`` int8: 1 in contact, 0 apart, -1 where that is not known or not asked."""
        rows = zip(
            encoded["position"].cpu(), encoded["known"].cpu(), encoded.lengths[ELEMENT_AXIS].tolist(), strict=True
        )
        return [
            _contacts(position[:count], known[:count], target.distance, target.separation).numpy()
            for position, known, count in rows
        ]

    def build_module(self, features: FeatureDescription, target: ContactMapTarget) -> HeadModule:
        if features.layout == Layout.PAIR:
            return _OfPairs(features.feature_size, target)
        return _OfElements(features.feature_size, target, self._config.rank)


class _Contacts(HeadModule):
    """What both ways have in common: the loss of a map of logits, ``(batch, element, element)``, and what it predicts."""

    def __init__(self, target: ContactMapTarget):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(math.log(target.share / (1 - target.share))))
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))
        self._target = target

    def fit_feature_scale(self, features: Features) -> None:
        """Take the root mean square of what is weighted as the scale, 1 where it is all zero."""
        read = self.read(features).detach().float()
        real = features.mask if features.layout == Layout.SEQUENCE else _both(features.mask)
        self.scale.copy_(read[real].square().mean().sqrt())
        self.scale.masked_fill_(self.scale == 0, 1.0)

    def read(self, features: Features) -> Tensor:
        """Give what is weighted."""
        return features.value

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Sum the cross-entropy, in nats, over known pairs. Those of elements that were cut off do not count."""
        shared = min(output.shape[1], targets["position"].shape[1])
        position, known = (targets[name][:, :shared] for name in ("position", "known"))
        known = known & length_mask(targets.lengths[ELEMENT_AXIS], shared) & features.mask[:, :shared]
        contacts = _contacts(position, known, self._target.distance, self._target.separation)
        counts = (contacts >= 0).triu()  # each pair once
        logits = output[:, :shared, :shared][counts].float()
        total = binary_cross_entropy_with_logits(logits, contacts[counts].float(), reduction="sum")
        return LossSum(total, counts.sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Give arrays ``(element, element)`` int8, 1 in contact, with probabilities ``(element, element, class)``.

        Pairs that are too near along the sequence have the probability 0 of a contact.
        """
        assert features.lengths is not None
        values: list[Any] = []
        probabilities: list[NDArray[np.float32]] = []
        for row, count in zip(output, features.lengths.tolist(), strict=True):
            chance = row[:count, :count].float().sigmoid() * _far(count, self._target.separation, row.device)
            values.append((chance > 0.5).to(torch.int8).cpu().numpy())
            probabilities.append(torch.stack([1 - chance, chance], -1).cpu().numpy())
        return Predictions(values, probabilities, CLASSES)


class _OfPairs(_Contacts):
    """Logistic regression over symmetric, corrected maps (Rao and others, 2021, Transformer protein language models are
    unsupervised structure learners, section 3.2), without their penalty on weights.
    """

    def __init__(self, feature_size: int, target: ContactMapTarget):
        super().__init__(target)
        self.weight = nn.Parameter(torch.zeros(feature_size))

    def read(self, features: Features) -> Tensor:
        """Correct symmetric maps by the product of the means of row and column (Dunn and others, 2008, Mutual information
        without the influence of phylogeny or entropy dramatically improves residue contact prediction).
        """
        maps = torch.where(_both(features.mask)[..., None], features.value, 0.0).float()
        maps = maps + maps.transpose(1, 2)
        across, down, whole = maps.sum(1, keepdim=True), maps.sum(2, keepdim=True), maps.sum((1, 2), keepdim=True)
        return maps - across * down / torch.where(whole == 0, 1.0, whole)

    def forward(self, features: Features) -> Tensor:
        return self.read(features).to(self.weight.dtype) @ (self.weight / self.scale) + self.bias


class _OfElements(_Contacts):
    """Products of two projections, made symmetric: a map of low rank."""

    def __init__(self, feature_size: int, target: ContactMapTarget, rank: int):
        super().__init__(target)
        self.left, self.right = (nn.Parameter(torch.empty(feature_size, rank)) for _ in range(2))
        for weight in (self.left, self.right):
            nn.init.normal_(weight, std=feature_size**-0.5)

    def forward(self, features: Features) -> Tensor:
        value = features.value.to(self.left.dtype) / self.scale
        product = (value @ self.left) @ (value @ self.right).transpose(1, 2)
        return (product + product.transpose(1, 2)) / self.left.shape[1] + self.bias


# --- positions


def _positions(column: str, values: Sequence[Any]) -> list[NDArray[np.float32]]:
    """Read positions: ``(element, 3)`` float32 per row, NaN where one is not known."""
    rows: list[NDArray[np.float32]] = []
    reasons: dict[int, str] = {}
    for number, value in enumerate(values):
        try:
            rows.append(_row(column, value))
        except ValueError as error:
            reasons[number] = str(error)
    if reasons:
        raise InvalidTargets(reasons)
    return rows


def _row(column: str, value: Any) -> NDArray[np.float32]:
    if value is None or (isinstance(value, str) and not value):
        raise ValueError(f"the target column '{column}' is empty")
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__len__"):
        raise ValueError(f"the target column '{column}' is {value!r:.60}, not a list with [x, y, z] per element")
    found = np.full((len(value), 3), np.nan, np.float32)
    for place, position in enumerate(value):
        if is_missing(position):
            continue
        numbers = position if isinstance(position, list | tuple | np.ndarray) and len(position) == 3 else (None,)
        try:
            found[place] = [math.nan if is_missing(number) else float(number) for number in numbers]
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != 3:
            raise ValueError(f"the position of element {place} in '{column}' is {position!r:.60}, not three numbers")
    return found


def _known(positions: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Take positions, ``(element, 3)``, 0 where one is not known, apart from whether it is known, ``(element,)`` bool."""
    found = torch.from_numpy(positions)
    return found.nan_to_num(), ~found.isnan().any(-1)


def _contacts(position: Tensor, known: Tensor, distance: float, separation: int) -> Tensor:
    """Say which elements touch.

    Args:
        position: ``(…, element, 3)``.
        known: ``(…, element)`` bool.

    Returns:
        ``(…, element, element)`` int8: 1 in contact, 0 apart, -1 where that is not known or not asked.
    """
    between = torch.cdist(position, position, compute_mode="donot_use_mm_for_euclid_dist")
    contacts = (between < distance).to(torch.int8)
    asked = _far(position.shape[-2], separation, position.device) & _both(known)
    return torch.where(asked, contacts, NOT_KNOWN).to(torch.int8)


def _far(count: int, separation: int, device: torch.device) -> Tensor:
    """Say which elements are far enough apart along the sequence: ``(element, element)`` bool."""
    place = torch.arange(count, device=device)
    return (place[:, None] - place[None]).abs() >= separation


def _both(real: Tensor) -> Tensor:
    """Say where both elements are real: ``(…, element)`` → ``(…, element, element)``."""
    return real[..., :, None] & real[..., None, :]
