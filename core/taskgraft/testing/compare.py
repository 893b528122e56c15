"""Compare the results of two computations: tensors, features, batches, predictions, descriptions, nested values."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.config import Config
from taskgraft.contract.features import Features
from taskgraft.contract.head import Head
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import BackboneSpec, HeadSpec
from taskgraft.engine.feature_checks import TOLERANCE, max_relative_difference
from taskgraft.storage.fingerprints import tensor_bytes
from taskgraft.testing.check import Law


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Say whether two tensors are equal bit for bit, NaN included."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return torch.equal(tensor_bytes(first), tensor_bytes(second))


def same_features(first: Features, second: Features) -> bool:
    """Say whether features are equal bit for bit."""
    return len(first.values) == len(second.values) and all(map(same_bits, first.values, second.values))


def feature_distance(first: Features, second: Features) -> float:
    """Return the largest difference over real elements, relative to the largest value of the first."""
    largest = max((float(value.abs().max()) for value in first.values if value.numel()), default=0.0) or 1.0
    return max_relative_difference(_scaled(first, largest), _scaled(second, largest))


def features_agree(first: Features, second: Features) -> bool:
    """Say whether two ways of computing features agree within the tolerance of their dtype."""
    return feature_distance(first, second) <= TOLERANCE[first.value.dtype]


def batch_difference(first: Batch, second: Batch) -> str | None:
    """Name the first thing in which two batches differ, compared bit for bit; None when they are the same."""
    if first.tensors.keys() != second.tensors.keys() or dict(first.axes) != dict(second.axes):
        return "set of tensors"
    for what, one, other in (("tensor", first.tensors, second.tensors), ("length", first.lengths, second.lengths)):
        for name in one:
            if name not in other or not same_bits(one[name], other[name]):
                return f"{what} '{name}'"
    return None


def same_predictions(first: Predictions, second: Predictions) -> bool:
    """Say whether values and probabilities are equal."""
    return nearly_equal(first.values, second.values, 0.0) and nearly_equal(
        list(first.probabilities or ()), list(second.probabilities or ()), 0.0
    )


def nearly_equal(first: Any, second: Any, tolerance: float) -> bool:
    """Compare nested values; floating-point numbers may differ by a tolerance, absolute and relative."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(nearly_equal(first[key], second[key], tolerance) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(nearly_equal(one, other, tolerance) for one, other in pairs)
    if isinstance(first, float) and isinstance(second, float):
        return bool(np.isclose(first, second, rtol=tolerance, atol=tolerance))
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return bool(np.array_equal(first, second))
    return bool(first == second)


def require_same_description(
    law: Law, built: Backbone | Head[Any], spec: BackboneSpec | HeadSpec, config: Config
) -> None:
    """Check that ``describe`` returns for some settings the description of what ``build`` returned for them."""
    if difference := first_difference(spec.describe(config), built.description):
        place, one, other = difference
        raise law.violation(f"'{place}' is {one!r:.200} as described by '{spec.name}', but {other!r:.200} as built")


def first_difference(described: object, built: object, path: str = "") -> tuple[str, object, object] | None:
    """Find the first place where two descriptions differ: ``features[0].strides``, and the value of each there."""
    if described == built:
        return None
    pairs: list[tuple[str, object, object]] = []
    if is_dataclass(described) and type(described) is type(built):
        names = [field.name for field in fields(described)]
        pairs = [(f"{path}.{name}".lstrip("."), getattr(described, name), getattr(built, name)) for name in names]
    elif isinstance(described, tuple) and isinstance(built, tuple) and len(described) == len(built):
        pairs = [(f"{path}[{index}]", *both) for index, both in enumerate(zip(described, built, strict=True))]
    differences = (first_difference(one, other, inside) for inside, one, other in pairs)
    return next((place for place in differences if place), (path or "description", described, built))


def _scaled(features: Features, largest: float) -> Features:
    return replace(features, values=tuple(value / largest for value in features.values))
