"""Masked-element pretraining: mask some elements of each row and predict their values. Needs no target column.

A masked element never shows its value, not even one time in ten as in BERT (Devlin et al., 2019). Other elements are scored
without being masked, so that features also encode the values of visible elements.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from taskgraft.builtin.heads.configs import MASKED_ELEMENTS, MaskedElementsConfig
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import FeatureDescription
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema, maskable
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription
from taskgraft.engine.linear_readout import LinearReadout


class MaskedElementsTarget(TargetDescription):
    """The schema of the backbone's elements."""

    contents: ElementSchema


class MaskedElements(Head[MaskedElementsTarget]):
    """Predicts the value of each element: the name of a category (its index, if it has no name), a number, or several.

    A row's values are a list; where kinds are by position, a dict from the name of each kind.
    """

    target = MaskedElementsTarget
    description = MASKED_ELEMENTS

    def __init__(self, config: MaskedElementsConfig):
        self._config = config

    def fit_element_schema(self, contents: ElementSchema) -> MaskedElementsTarget:
        return MaskedElementsTarget(contents=contents)

    def choose_masked(self, held: Batch, seeds: Sequence[int]) -> Tensor:
        """Choose the configured share of each row's maskable elements, rounded up or down at random, but at least one."""
        return _sample(held, seeds, self._config.share)

    def choose_scored(self, held: Batch, seeds: Sequence[int]) -> Tensor:
        """Choose the masked elements, and the share that is scored without being masked."""
        return _sample(held, seeds, self._config.share + self._config.shown)

    def decode_targets(self, encoded: Batch, target: MaskedElementsTarget) -> list[Any]:
        schema = target.contents
        category, number = encoded[CATEGORY], encoded[NUMBER]
        if schema.by_position:
            columns = [_decode_target(kind, category[:, i], number[:, i]) for i, kind in enumerate(schema.kinds)]
            return _rows_by_kind(schema, columns)
        lengths = encoded.lengths[ELEMENT_AXIS].tolist()
        return [_decode_target(schema.kinds[0], category[i, :n], number[i, :n]) for i, n in enumerate(lengths)]

    def build_module(self, features: FeatureDescription, target: MaskedElementsTarget) -> HeadModule:
        return _ElementPredictor(features, target.contents)


class _ElementPredictor(HeadModule):
    """Predicts each kind with its own weights. All are in one tensor, so a kind that does not occur still has a gradient."""

    def __init__(self, features: FeatureDescription, schema: ElementSchema):
        super().__init__()
        self.readout = LinearReadout(features, sum(kind.outputs for kind in schema.kinds))
        self._schema = schema

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        """Return the features, ``(batch, element, feature)``: the loss computes outputs only for the scored elements."""
        return features.value

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Sum over scored elements: softmax cross-entropy, in nats, of a category; the mean squared error of numbers."""
        shared = min(output.shape[1], targets[CATEGORY].shape[1])
        scored = maskable(targets)[:, :shared]
        value = output[:, :shared][scored]  # once for all kinds: the gradient of indexing is as large as the tensor
        category, number = (targets[name][:, :shared][scored] for name in (CATEGORY, NUMBER))
        position = scored.nonzero()[:, 1] if self._schema.by_position else torch.zeros_like(category)
        totals = []
        for index, (kind, outputs) in enumerate(self._kinds()):
            of_kind = position == index
            predicted = self._read(value[of_kind], outputs)
            if kind.numbers:
                totals.append(_squared_errors(predicted, number[of_kind, : kind.numbers]).sum())
            elif kind.outputs:
                totals.append(cross_entropy(predicted, category[of_kind], reduction="sum"))
        return LossSum(torch.stack(totals).sum(), scored.sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Predict the value of each element. That of a visible element may be copied from the input."""
        if self._schema.by_position:
            columns = [
                _decode_output(kind, self._read(output[:, position], outputs))
                for position, (kind, outputs) in enumerate(self._kinds())
            ]
            return Predictions(_rows_by_kind(self._schema, columns))
        ((kind, outputs),) = self._kinds()
        pairs = zip(output, features.mask.sum(1).tolist(), strict=True)
        return Predictions([_decode_output(kind, self._read(row[:length], outputs)) for row, length in pairs])

    def _kinds(self) -> Iterator[tuple[ElementKind, slice]]:
        """Iterate over the kinds, each with the slice of its outputs."""
        start = 0
        for kind in self._schema.kinds:
            yield kind, slice(start, start := start + kind.outputs)

    def _read(self, value: Tensor, outputs: slice) -> Tensor:
        """Compute a slice of the outputs, ``(…, feature)`` → ``(…, output)`` float32."""
        readout = self.readout
        value = value.to(readout.weight.dtype) / readout.scale
        return linear(value, readout.weight[outputs], readout.bias[outputs]).float()


def _sample(held: Batch, seeds: Sequence[int], share: float) -> Tensor:
    """Sample maskable elements of each row. With the same seeds, a larger share includes all elements of a smaller one."""
    candidates = maskable(held)
    random = torch.from_numpy(_uniform(seeds, 1 + candidates.shape[1]))
    counts = (share * candidates.sum(1) + random[:, 0]).floor().clamp(min=1)
    rank = random[:, 1:].masked_fill(~candidates, 1.0).argsort(1).argsort(1)
    return candidates & (rank < counts[:, None])


def _squared_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """Average squared errors over the known numbers of each element, ``(element, number)`` → ``(element,)``."""
    known = ~target.isnan()
    return torch.where(known, predicted - target.nan_to_num(), 0.0).square().sum(-1) / known.sum(-1)


def _decode_output(kind: ElementKind, outputs: Tensor) -> list[Any]:
    """Decode outputs, ``(element, output)``: the most likely category, or numbers."""
    if kind.numbers:  # as they are: a prediction that is not finite is no missing value
        return outputs[:, 0].tolist() if kind.numbers == 1 else outputs.tolist()
    return _categories(kind, outputs.argmax(-1).tolist()) if kind.outputs else [None] * len(outputs)


def _decode_target(kind: ElementKind, category: Tensor, number: Tensor) -> list[Any]:
    """Decode targets, ``(element,)`` and ``(element, number)``; None where an element is not scored."""
    return _numbers(kind, number[:, : kind.numbers]) if kind.numbers else _categories(kind, category.tolist())


def _categories(kind: ElementKind, indices: list[int]) -> list[Any]:
    names = range(kind.categories) if isinstance(kind.categories, int) else kind.categories
    return [None if index < 0 else names[index] for index in indices]


def _numbers(kind: ElementKind, numbers: Tensor) -> list[Any]:
    rows = [[None if number != number else number for number in row] for row in numbers.tolist()]
    if kind.numbers == 1:
        return [row[0] for row in rows]
    return [None if all(number is None for number in row) else row for row in rows]


def _rows_by_kind(schema: ElementSchema, columns: Sequence[list[Any]]) -> list[dict[str, Any]]:
    names = [kind.name for kind in schema.kinds]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _uniform(seeds: Sequence[int], count: int) -> NDArray[np.float64]:
    """Draw numbers from 0 to 1 for each seed, ``(seed, count)``; a larger count continues the same sequence.

    The output function of SplitMix64 (Steele, Lea and Flood, 2014, Fast splittable pseudorandom number generators) of seed and
    position, for all rows at once.
    """
    state: Any = (np.array(seeds, dtype=np.uint64)[:, None] << np.uint64(32)) + np.arange(1, count + 1, dtype=np.uint64)
    state *= np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return np.asarray(state >> np.uint64(11), dtype=np.float64) * 2.0**-53
