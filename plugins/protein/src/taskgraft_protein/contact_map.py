"""The contact-map head: for each pair of residues the probability that they touch, by logistic regression."""

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
    LARGEST_SCALED,
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
"""No contact, and contact."""

UNKNOWN = -1
"""The truth of pairs with an unknown position, and of pairs too close along the sequence."""


class ContactMapTarget(TargetDescription):
    """What counts as a contact.

    Attributes:
        share: share of contacts among the known pairs of the training rows, from 0 to 1; the head's initial probability.
    """

    column: str
    distance: float
    separation: int
    share: float


class ContactMap(Head[ContactMapTarget]):
    """Predicts contacts between residues, from the positions of their atoms (Cβ, by convention)."""

    target = ContactMapTarget

    def __init__(self, config: ContactMapConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_contact_map(self._config)

    def fit_targets(self, targets: Columns) -> ContactMapTarget:
        """Compute the share of contacts.

        Raises:
            InvalidTargets: naming each row whose positions are empty or cannot be read.
        """
        ((column, values),) = targets.items()
        distance, separation = self._config.distance, self._config.separation
        contact_count = known_count = 0
        for positions in _parse_positions(column, values):
            contacts = _contacts(*_split_known(positions), distance, separation)
            contact_count += int((contacts == 1).sum())
            known_count += int((contacts != UNKNOWN).sum())
        share = (contact_count + 1) / (known_count + 2)
        return ContactMapTarget(column=column, distance=distance, separation=separation, share=share)

    def encode(self, targets: Columns, target: ContactMapTarget) -> Batch:
        """Encode as ``position``: ``(batch, element, 3)`` float32, in Ångström from the first known one of a row.

        And ``known``: ``(batch, element)`` bool.
        """
        ((column, values),) = targets.items()
        rows = _parse_positions(column, values)
        counts = [len(row) for row in rows]
        position = torch.zeros(len(rows), max(counts, default=0), 3)
        known = torch.zeros(position.shape[:2], dtype=torch.bool)
        for index, row in enumerate(rows):
            position[index, : len(row)], known[index, : len(row)] = _split_known(row)
        tensors = {"position": position, "known": known}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.tensor(counts)})

    def decode_targets(self, encoded: Batch, target: ContactMapTarget) -> list[Any]:
        """Give arrays ``(element, element)`` int8: 1 contact, 0 no contact, -1 unknown or too close along the sequence."""
        rows = zip(
            encoded["position"].cpu(), encoded["known"].cpu(), encoded.lengths[ELEMENT_AXIS].tolist(), strict=True
        )
        return [
            _contacts(position[:count], known[:count], target.distance, target.separation).numpy()
            for position, known, count in rows
        ]

    def build_module(self, features: FeatureDescription, target: ContactMapTarget) -> HeadModule:
        if features.layout == Layout.PAIR:
            return _PairContacts(features.feature_size, target)
        return _SequenceContacts(features.feature_size, target, self._config.rank)


class _Contacts(HeadModule):
    """The loss and predictions of a map of logits, ``(batch, element, element)``, for both feature layouts."""

    def __init__(self, target: ContactMapTarget):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(math.log(target.share / (1 - target.share))))
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))
        self._target = target

    def fit_feature_scale(self, features: Features) -> None:
        """Set the scale to the root mean square of the weighted features, or to 1 if they are all zero."""
        weighted = self.weighted_features(features).detach().float()
        real = features.mask if features.layout == Layout.SEQUENCE else _pair_mask(features.mask)
        self.scale.copy_(weighted[real].square().mean().sqrt())
        self.scale.masked_fill_(self.scale == 0, 1.0)

    def weighted_features(self, features: Features) -> Tensor:
        """The features that the weights are applied to."""
        return features.value

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Sum the cross-entropy, in nats, over known pairs. Pairs of elements that were truncated do not count."""
        shared = min(output.shape[1], targets["position"].shape[1])
        position, known = (targets[name][:, :shared] for name in ("position", "known"))
        known = known & length_mask(targets.lengths[ELEMENT_AXIS], shared) & features.mask[:, :shared]
        contacts = _contacts(position, known, self._target.distance, self._target.separation)
        counted = (contacts != UNKNOWN).triu()  # each pair once
        logits = output[:, :shared, :shared][counted].float()
        total = binary_cross_entropy_with_logits(logits, contacts[counted].float(), reduction="sum")
        return LossSum(total, counted.sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Give arrays ``(element, element)`` int8, 1 for contact, with probabilities ``(element, element, class)``.

        Pairs that are too close along the sequence have contact probability 0.
        """
        assert features.lengths is not None
        values: list[Any] = []
        probabilities: list[NDArray[np.float32]] = []
        for row, count in zip(output, features.lengths.tolist(), strict=True):
            separated = _separated(count, self._target.separation, row.device)
            contact = row[:count, :count].float().sigmoid() * separated
            values.append((contact > 0.5).to(torch.int8).cpu().numpy())
            probabilities.append(torch.stack([1 - contact, contact], -1).cpu().numpy())
        return Predictions(values, probabilities, CLASSES)


class _PairContacts(_Contacts):
    """Logistic regression over symmetric, corrected maps (Rao and others, 2021, Transformer protein language models are
    unsupervised structure learners, section 3.2), without their penalty on weights.
    """

    def __init__(self, feature_size: int, target: ContactMapTarget):
        super().__init__(target)
        self.weight = nn.Parameter(torch.zeros(feature_size))

    def weighted_features(self, features: Features) -> Tensor:
        """Correct symmetric maps by the product of the means of row and column (Dunn and others, 2008, Mutual information
        without the influence of phylogeny or entropy dramatically improves residue contact prediction).
        """
        maps = torch.where(_pair_mask(features.mask)[..., None], features.value, 0.0).float()
        maps = maps + maps.transpose(1, 2)
        columns, rows, total = maps.sum(1, keepdim=True), maps.sum(2, keepdim=True), maps.sum((1, 2), keepdim=True)
        return maps - columns * rows / torch.where(total == 0, 1.0, total)

    def forward(self, features: Features) -> Tensor:
        return self.weighted_features(features).to(self.weight.dtype) @ (self.weight / self.scale) + self.bias


class _SequenceContacts(_Contacts):
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


def _parse_positions(column: str, values: Sequence[Any]) -> list[NDArray[np.float32]]:
    """Parse positions: ``(element, 3)`` float32 per row, from the first known one; NaN for unknown positions.

    Distances stay as they are. In float32, positions far from 0 would be rounded to more than the distance of a contact.
    """
    rows: list[NDArray[np.float32]] = []
    reasons: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            rows.append(_parse_row(column, value))
        except ValueError as error:
            reasons[index] = str(error)
    if reasons:
        raise InvalidTargets(reasons)
    return rows


def _parse_row(column: str, value: Any) -> NDArray[np.float32]:
    if value is None or (isinstance(value, str) and not value):
        raise ValueError(f"the target column '{column}' is empty")
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__len__"):
        raise ValueError(f"the target column '{column}' is {value!r:.60}, not a list with [x, y, z] per element")
    positions = np.full((len(value), 3), np.nan, np.float64)
    for element, position in enumerate(value):
        if is_missing(position):
            continue
        numbers = position if isinstance(position, list | tuple | np.ndarray) and len(position) == 3 else (None,)
        try:
            positions[element] = [math.nan if is_missing(number) else float(number) for number in numbers]
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != 3:
            raise ValueError(f"the position of element {element} in '{column}' is {position!r:.60}, not three numbers")
    known = ~np.isnan(positions).any(1)
    if not known.any():
        return positions.astype(np.float32)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        centred = positions - positions[known][0]
    if (far := known & ~(np.abs(centred) <= LARGEST_SCALED).all(1)).any():
        element = int(far.argmax())
        problem = f"more than {LARGEST_SCALED:g} from the first position, so no distance can be computed"
        raise ValueError(f"the position of element {element} in '{column}' is {value[element]!r:.60}, {problem}")
    return np.asarray(centred, np.float32)


def _split_known(positions: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Give positions, ``(element, 3)``, with 0 for unknown ones, and which are known, ``(element,)`` bool."""
    tensor = torch.from_numpy(positions)
    return tensor.nan_to_num(), ~tensor.isnan().any(-1)


def _contacts(position: Tensor, known: Tensor, distance: float, separation: int) -> Tensor:
    """Compute which elements are in contact.

    Args:
        position: ``(…, element, 3)``.
        known: ``(…, element)`` bool.

    Returns:
        ``(…, element, element)`` int8: 1 contact, 0 no contact, -1 unknown or too close along the sequence.
    """
    distances = torch.cdist(position, position, compute_mode="donot_use_mm_for_euclid_dist")
    contacts = (distances < distance).to(torch.int8)
    counted = _separated(position.shape[-2], separation, position.device) & _pair_mask(known)
    return torch.where(counted, contacts, UNKNOWN).to(torch.int8)


def _separated(count: int, separation: int, device: torch.device) -> Tensor:
    """``(element, element)`` bool, True for elements at least the separation apart along the sequence."""
    index = torch.arange(count, device=device)
    return (index[:, None] - index[None]).abs() >= separation


def _pair_mask(mask: Tensor) -> Tensor:
    """Combine a mask of elements, ``(…, element)``, to one of pairs, ``(…, element, element)``."""
    return mask[..., :, None] & mask[..., None, :]
