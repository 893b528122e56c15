"""Masked elements: some elements of each row are hidden, and what they held is recovered. Needs no target column.

What is hidden never shows what it held, not even one time in ten as in BERT (Devlin et al., 2019); that features should also
tell what elements hold that nobody hides is asked of other elements, which are shown as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from taskgraft.builtin.heads.configs import MaskedElementsConfig, describe_masked_elements
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import FeatureDescription, HeadDescription
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema, maskable
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription
from taskgraft.engine.linear_readout import LinearReadout


class MaskedElementsTarget(TargetDescription):
    """What the elements of the backbone hold."""

    contents: ElementSchema


class MaskedElements(Head[MaskedElementsTarget]):
    """The content of each element: the name of a category (its number, where there are no names), a number, or several.

    A row's are a list; where kinds stand by position, a dict with the name of each kind.
    """

    target = MaskedElementsTarget

    def __init__(self, config: MaskedElementsConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_masked_elements(self._config)

    def fit_element_schema(self, contents: ElementSchema) -> MaskedElementsTarget:
        return MaskedElementsTarget(contents=contents)

    def choose_masked(self, held: Batch, seeds: Sequence[int]) -> Tensor:
        """Hide the share of each row's elements that hold something, rounded up or down at random, but one at least."""
        return _chosen(held, seeds, self._config.share)

    def choose_scored(self, held: Batch, seeds: Sequence[int]) -> Tensor:
        """Ask for what is hidden, and for the share that is shown."""
        return _chosen(held, seeds, self._config.share + self._config.shown)

    def decode_targets(self, encoded: Batch, target: MaskedElementsTarget) -> list[Any]:
        contents = target.contents
        category, number = encoded[CATEGORY], encoded[NUMBER]
        if contents.by_position:
            columns = [_truth(kind, category[:, i], number[:, i]) for i, kind in enumerate(contents.kinds)]
            return _by_name(contents, columns)
        lengths = encoded.lengths[ELEMENT_AXIS].tolist()
        return [_truth(contents.kinds[0], category[i, :n], number[i, :n]) for i, n in enumerate(lengths)]

    def build_module(self, features: FeatureDescription, target: MaskedElementsTarget) -> HeadModule:
        return _Recovering(features, target.contents)


class _Recovering(HeadModule):
    """Reads each kind of content by weights of its own; all stand in one tensor, so that a kind without content is no fault."""

    def __init__(self, features: FeatureDescription, contents: ElementSchema):
        super().__init__()
        self.readout = LinearReadout(features, sum(kind.outputs for kind in contents.kinds))
        self._contents = contents

    def fit_feature_scale(self, features: Features) -> None:
        self.readout.calibrate(features)

    def forward(self, features: Features) -> Tensor:
        """Give the features, ``(batch, element, feature)``: a loss reads what it needs of them, which is little."""
        return features.value

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Sum over hidden elements: softmax cross-entropy, in nats, of a category; the mean squared error of numbers."""
        shared = min(output.shape[1], targets[CATEGORY].shape[1])
        hidden = maskable(targets)[:, :shared]
        value = output[:, :shared][hidden]  # once, for the gradient of a choice is as large as what it chooses from
        category, number = (targets[name][:, :shared][hidden] for name in (CATEGORY, NUMBER))
        position = hidden.nonzero()[:, 1] if self._contents.by_position else torch.zeros_like(category)
        totals = []
        for index, (kind, outputs) in enumerate(self._kinds()):
            mine = position == index
            found = self._read(value[mine], outputs)
            if kind.numbers:
                totals.append(_squared_errors(found, number[mine, : kind.numbers]).sum())
            elif kind.outputs:
                totals.append(cross_entropy(found, category[mine], reduction="sum"))
        return LossSum(torch.stack(totals).sum(), hidden.sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Say what each element holds. One that was not hidden may be copied."""
        if self._contents.by_position:
            columns = [
                _said(kind, self._read(output[:, position], outputs))
                for position, (kind, outputs) in enumerate(self._kinds())
            ]
            return Predictions(_by_name(self._contents, columns))
        ((kind, outputs),) = self._kinds()
        lengths = [output.shape[1]] * len(output) if features.lengths is None else features.lengths.tolist()
        pairs = zip(output, lengths, strict=True)
        return Predictions([_said(kind, self._read(row[:length], outputs)) for row, length in pairs])

    def _kinds(self) -> Iterator[tuple[ElementKind, slice]]:
        """Give each kind, and which outputs are its own."""
        start = 0
        for kind in self._contents.kinds:
            yield kind, slice(start, start := start + kind.outputs)

    def _read(self, value: Tensor, outputs: slice) -> Tensor:
        """Compute some outputs, ``(…, feature)`` → ``(…, output)`` float32."""
        readout = self.readout
        value = value.to(readout.weight.dtype) / readout.scale
        return linear(value, readout.weight[outputs], readout.bias[outputs]).float()


def _chosen(held: Batch, seeds: Sequence[int], share: float) -> Tensor:
    """Choose some elements of each row that hold something; a larger share has all those of a smaller one by the same seeds."""
    can = maskable(held)
    drawn = torch.from_numpy(_uniform(seeds, 1 + can.shape[1]))
    counts = (share * can.sum(1) + drawn[:, 0]).floor().clamp(min=1)
    rank = drawn[:, 1:].masked_fill(~can, 1.0).argsort(1).argsort(1)
    return can & (rank < counts[:, None])


def _squared_errors(found: Tensor, goal: Tensor) -> Tensor:
    """Average squared errors over the known numbers of each element, ``(element, number)`` → ``(element,)``."""
    known = ~goal.isnan()
    return torch.where(known, found - goal.nan_to_num(), 0.0).square().sum(-1) / known.sum(-1)


def _said(kind: ElementKind, outputs: Tensor) -> list[Any]:
    """Say what was read out, ``(element, output)``: the likeliest category, or numbers."""
    if kind.numbers:
        return _numbers(kind, outputs)
    return _categories(kind, outputs.argmax(-1).tolist()) if kind.outputs else [None] * len(outputs)


def _truth(kind: ElementKind, category: Tensor, number: Tensor) -> list[Any]:
    """Say what elements held, ``(element,)`` and ``(element, number)``; None where nothing was hidden."""
    return _numbers(kind, number[:, : kind.numbers]) if kind.numbers else _categories(kind, category.tolist())


def _categories(kind: ElementKind, indices: list[int]) -> list[Any]:
    names = range(kind.categories) if isinstance(kind.categories, int) else kind.categories
    return [None if index < 0 else names[index] for index in indices]


def _numbers(kind: ElementKind, numbers: Tensor) -> list[Any]:
    rows = [[None if number != number else number for number in row] for row in numbers.tolist()]
    if kind.numbers == 1:
        return [row[0] for row in rows]
    return [None if all(number is None for number in row) else row for row in rows]


def _by_name(contents: ElementSchema, columns: Sequence[list[Any]]) -> list[dict[str, Any]]:
    names = [kind.name for kind in contents.kinds]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _uniform(seeds: Sequence[int], count: int) -> NDArray[np.float64]:
    """Draw numbers from 0 to 1 for each seed, ``(seed, count)``; the first ones do not hang on how many there are.

    The output function of SplitMix64 (Steele, Lea and Flood, 2014, Fast splittable pseudorandom number generators) of seed and
    place, for all rows at once.
    """
    state: Any = (np.array(seeds, dtype=np.uint64)[:, None] << np.uint64(32)) + np.arange(1, count + 1, dtype=np.uint64)
    state *= np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return np.asarray(state >> np.uint64(11), dtype=np.float64) * 2.0**-53
