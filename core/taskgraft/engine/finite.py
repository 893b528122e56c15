"""Find NaN and infinity in predictions, features, soft labels and baselines, row by row, and in stored weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.contract.predictions import Predictions
from taskgraft.engine.precision import is_finite
from taskgraft.errors import TaskgraftError


@dataclass(eq=False)
class NotFinite(TaskgraftError):
    """Rows without finite features: row → why. Code that knows the rows turns it into :class:`InvalidRows`."""

    reasons: Mapping[int, str]

    def __str__(self) -> str:
        return "\n".join(f"row {row:,}: {reason}" for row, reason in sorted(self.reasons.items())[:5])


def features_not_finite(features: Features) -> dict[int, str]:
    """Find the rows of which a feature is not finite, padding aside: row → why it is invalid."""
    wrong = torch.zeros(len(features), dtype=torch.bool, device=features.value.device)
    for value in features.values:
        wrong |= (~torch.isfinite(_without_padding(value, features))).flatten(1).any(1)
    return _reasons(wrong, "its features are", features)


def output_not_finite(output: Tensor, features: Features) -> dict[int, str]:
    """Find the rows for which the output of a head is not finite: row → why it is invalid.

    Minus infinity beside other values is not wrong: it is the logit of what is impossible.
    """
    if not (output.is_floating_point() and output.numel()):
        return {}
    some = _without_padding(output, features)
    largest = some.amax(-1) if some.dim() > 1 else some
    return _reasons((~torch.isfinite(largest)).reshape(len(largest), -1).any(1), "its prediction is", features)


def predictions_not_finite(predictions: Predictions) -> list[int]:
    """Find the rows whose prediction, or whose probability of any class, is not finite."""
    values, shares = predictions.values, predictions.probabilities or []
    wrong = np.zeros(len(values), np.bool_)
    if not all(type(value) in (str, int, bool) for value in values):
        wrong |= [not _is_finite(value) for value in values]
    if len({row.shape for row in shares}) == 1:
        wrong |= ~np.isfinite(np.stack(shares)).reshape(len(shares), -1).all(1)
    elif shares:
        wrong |= [not np.isfinite(row).all() for row in shares]
    return np.flatnonzero(wrong).tolist()


def finite_predictions(
    predictions: Predictions, output: Tensor, features: Features
) -> tuple[Predictions, dict[int, str]]:
    """Return the predictions of the rows where they are finite, in order; and of the others why they are invalid."""
    own = torch.zeros(len(output), dtype=torch.bool)
    own[predictions_not_finite(predictions)] = True
    reasons = _reasons(own, "its prediction is", features) | output_not_finite(output, features)
    return without_rows(predictions, reasons), reasons


def without_rows(predictions: Predictions, rows: Mapping[int, str]) -> Predictions:
    """Leave out the predictions of some rows."""
    if not rows:
        return predictions
    kept = [row for row in range(len(predictions.values)) if row not in rows]
    probabilities = predictions.probabilities
    return replace(
        predictions,
        values=[predictions.values[row] for row in kept],
        probabilities=None if probabilities is None else [probabilities[row] for row in kept],
    )


def weight_fault(tensor: Tensor) -> str | None:
    """Say what is not finite in a stored weight, after its name; None if all of it may be used.

    A buffer may be a mask that is added to logits: zeros, and minus infinity.
    """
    if is_finite(tensor):
        return None
    wrong = tensor[~torch.isfinite(tensor)]
    rest = tensor[torch.isfinite(tensor)]
    if not isinstance(tensor, nn.Parameter) and rest.numel() and not rest.any() and bool((wrong == -math.inf).all()):
        return None
    kind = "NaN" if wrong.isnan().any() else "infinity"
    return f"contains values that are not finite ({kind} in {wrong.numel():,} of {tensor.numel():,} places)"


def _reasons(wrong: Tensor, what: str, features: Features) -> dict[int, str]:
    """Write the reason for each row that is wrong, ``(batch,)`` bool."""
    dtype = str(features.value.dtype).removeprefix("torch.")
    wider = "; float32 has a wider range" if dtype in ("float16", "bfloat16") else ""
    reason = f"{what} not finite: the values of the row are too large to compute with in {dtype}{wider}"
    return dict.fromkeys(torch.nonzero(wrong).flatten().tolist(), reason)


def _without_padding(value: Tensor, features: Features) -> Tensor:
    """Replace padding by 0, in a tensor whose axes begin with those of the features."""
    if features.lengths is None:
        return value
    mask = features.mask
    if features.layout == Layout.PAIR:
        mask = mask[:, :, None] & mask[:, None, :]
    if value.shape[: mask.dim()] != mask.shape:
        return value
    return value.masked_fill(~mask.reshape(*mask.shape, *[1] * (value.dim() - mask.dim())), 0.0)


def _is_finite(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind != "f" or bool(np.isfinite(value).all())
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, float | np.floating) or math.isfinite(value)
