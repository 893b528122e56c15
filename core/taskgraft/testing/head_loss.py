"""Laws of a head's loss: a sum over rows, lowest at the targets, convex if declared so, also for soft labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.predictions import Predictions
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.head_fixture import HeadUnderTest, heads_under_test

_TOLERANCE = 1e-4
"""How far losses may differ, relative to their size (to 1, if that is larger)."""

_COMPARES_ROWS = "The loss compares rows of a batch with each other (loss_over_batch)."

_KINDS = (TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.NUMBERS, TargetKind.ELEMENT_CATEGORIES)
"""Kinds of target whose lowest loss is searched for. Their decoded targets are None where something is unknown."""


@law_check(
    "Sum in 'total', do not average, and count in 'weight' what was summed. Describe a loss that compares rows with each other "
    "with loss_over_batch=True."
)
def check_loss_is_a_sum_over_rows(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> str | None:
    """Total and weight of a batch are the sums over its rows; the weight does not depend on the output.

    Of a head with ``loss_over_batch`` only the form of both is checked, and that one row alone gives no NaN.
    """
    for tested in heads_under_test(head, targets):
        loss = tested.loss()
        _check_form(law, loss)
        if head.description.loss_over_batch:
            _check_row_alone_is_finite(law, tested)
        else:
            _check_sum(law, tested, loss, [tested.rows([row]).loss() for row in range(len(tested.encoded))])
    return _COMPARES_ROWS if head.description.loss_over_batch else None


@law_check("Let loss and predict read the output in one way: the order of labels, the scale, the units.")
def check_lowest_loss_predicts_the_targets(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """The output with the lowest loss is decoded as the target, in most rows. The output is optimized, not the head.

    A head whose target is neither labels, numbers nor a label per element passes.
    """
    if head.description.target not in _KINDS:
        return
    for tested in heads_under_test(head, targets):
        with law.must_succeed(f"minimizing the loss of {tested}"):
            values = _predict_at_lowest_loss(tested).values
        truth = tested.head.decode_targets(tested.encoded, tested.target)
        wrong = [row for row, one in enumerate(truth) if not _matches(one, values[row], truth)]
        if 2 * len(wrong) > len(truth):
            raise law.violation(
                f"for {tested}, at the lowest loss, {len(wrong)} of {len(truth)} rows are not predicted as their target: "
                f"row {wrong[0]} as {values[wrong[0]]!r:.60}, not as {truth[wrong[0]]!r:.60}"
            )


@law_check(
    "Let mix_targets return a distribution over categories: the share of the own target, the rest of the other's."
)
def check_mixed_targets_have_the_mixed_loss(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> str | None:
    """The loss of mixed targets is the weighted mean of both losses. A head that does not support soft labels passes."""
    if not head.description.supports_soft_labels:
        return None
    if head.description.loss_over_batch:
        return _COMPARES_ROWS
    for tested in heads_under_test(head, targets):
        rows = len(tested.encoded)
        others = tested.encoded.select(list(reversed(range(rows))))
        for share in (0.0, 0.25, 1.0):
            with law.must_succeed(f"mixing targets with shares of {share}"):
                mixed = head.mix_targets(tested.encoded, others, torch.full((rows,), share), tested.target)
            own, other, both = (float(_loss_of(tested, one).total) for one in (tested.encoded, others, mixed))
            expected = share * own + (1 - share) * other
            if _differ(expected, both):
                raise law.violation(
                    f"for {tested}, with a share of {share}, the loss is {both:.6g}, not {expected:.6g}"
                )
    return None


@law_check("Describe it with convex=False.")
def check_convex_loss_is_convex(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A loss described as convex is nowhere above the chord between two points of the weights. Other heads pass."""
    if not head.description.convex:
        return
    if head.description.loss_over_batch:
        raise law.violation("the loss compares rows of a batch, but a solver computes it over parts of all rows")
    for tested in heads_under_test(head, targets):
        generator = torch.Generator().manual_seed(0)
        for scale in (0.1, 1.0, 10.0) * 8:
            ends = [_random_weights(tested.module, scale, generator) for _ in range(2)]
            middle = [(one + other) / 2 for one, other in zip(*ends, strict=True)]
            first, last, between = (_loss_at(tested, weights) for weights in (*ends, middle))
            if between > (first + last) / 2 + _TOLERANCE * max(1.0, abs(first), abs(last)):
                raise law.violation(
                    f"for {tested}, the loss is {first:.6g} and {last:.6g} at two points, "
                    f"and {between:.6g} half-way between them"
                )


@law_check("Let soft_labels and distillation_loss use one temperature, sum over what is compared, and respect lengths.")
def check_soft_labels_match_the_teacher(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A head that distills has no loss by its own soft labels, and some by those of another teacher, row by row.

    A head that does not support distillation passes.
    """
    for tested in heads_under_test(head, targets) if head.description.supports_distillation else ():
        for temperature in (1.0, 3.0):
            with law.must_succeed(f"soft labels of {tested}"):
                own, opposite = (_soft_labels(tested, sign, temperature) for sign in (1.0, -1.0))
                own_loss, loss = (_distillation_loss(tested, soft, temperature) for soft in (own, opposite))
            if len(own) != len(tested.encoded):
                raise law.violation(
                    f"for {len(tested.encoded)} rows of {tested} there are {len(own)} rows of soft labels"
                )
            _check_form(law, loss)
            rest = float(own_loss.total)
            alone = tested.feature_description.ensemble_size is None  # a member may differ from the whole ensemble
            if rest >= float(loss.total) or (alone and abs(rest) > _TOLERANCE * len(own)):
                raise law.violation(
                    f"for {tested} at temperature {temperature:g}, the loss is {rest:.6g} by the head's own soft labels "
                    f"and {float(loss.total):.6g} by those of the opposite output"
                )
            rows = range(len(opposite))
            pieces = [_distillation_loss(tested.rows([row]), opposite.select([row]), temperature) for row in rows]
            _check_sum(law, tested, loss, pieces)
            longer = tested.with_more_padding()
            padded = _distillation_loss(longer, _soft_labels(longer, -1.0, temperature), temperature)
            one, other = float(loss.total), float(padded.total)
            if _differ(one, other):
                raise law.violation(f"for {tested}, the loss is {one:.6g}, and {other:.6g} with more padding")


def _check_form(law: Law, loss: LossSum) -> None:
    """Check that total and weight are finite scalars, and that the weight is positive and independent of the output."""
    for what, value in (("total", loss.total), ("weight", loss.weight)):
        if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise law.violation(f"the {what} has the shape {shape}, not that of one floating-point number ()")
        if not bool(torch.isfinite(value)):
            raise law.violation(f"the {what} is {float(value.detach())}")
    if float(loss.weight.detach()) <= 0:
        raise law.violation(f"the weight is {float(loss.weight.detach())}")
    if loss.weight.requires_grad:
        raise law.violation("the weight depends on the head's weights", "Count rows or labels in it.")


def _check_row_alone_is_finite(law: Law, tested: HeadUnderTest) -> None:
    """Check the loss of a batch of one row, where there is nothing to compare: finite, and of a weight that may be 0."""
    for what in ("total", "weight"):
        value = float(getattr(tested.rows([0]).loss(), what).detach())
        if not np.isfinite(value):
            raise law.violation(
                f"for {tested}, the {what} of a batch of one row is {value}",
                "Leave rows without another to compare with out of total and weight.",
            )


def _check_sum(law: Law, tested: HeadUnderTest, loss: LossSum, rows: Sequence[LossSum]) -> None:
    """Check that total and weight of a batch are the sums of those of its rows."""
    for what in ("total", "weight"):
        one = float(getattr(loss, what).detach())
        summed = sum(float(getattr(row, what).detach()) for row in rows)
        if _differ(one, summed):
            raise law.violation(
                f"for {tested}, the {what} of {len(rows)} rows is {one:.6g}, but {summed:.6g} row by row"
            )


def _differ(one: float, other: float) -> bool:
    return abs(one - other) > _TOLERANCE * max(1.0, abs(one))


@torch.no_grad()
def _loss_of(tested: HeadUnderTest, encoded: Batch) -> LossSum:
    return tested.module.loss(tested.output(), encoded, tested.features)


@torch.no_grad()
def _soft_labels(tested: HeadUnderTest, sign: float, temperature: float) -> Batch:
    return tested.module.soft_labels(tested.output() * sign, tested.features, temperature)


@torch.no_grad()
def _distillation_loss(tested: HeadUnderTest, soft: Batch, temperature: float) -> LossSum:
    return tested.module.distillation_loss(tested.output(), soft, tested.features, temperature)


def _predict_at_lowest_loss(tested: HeadUnderTest) -> Predictions:
    """Minimize the loss over the output, and predict."""
    output = tested.output().detach().contiguous().requires_grad_()
    optimizer = torch.optim.LBFGS([output], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = tested.module.loss(output, tested.encoded, tested.features).total
        total.backward()
        return total

    optimizer.step(loss)
    with torch.no_grad():
        return tested.module.predict(output.detach(), tested.features)


def _matches(truth: Any, prediction: Any, every: Sequence[Any]) -> bool:
    """Compare a prediction with its target where that is known; numbers may differ by a tenth of the range of all targets."""
    if isinstance(truth, Mapping):
        return all(known is None or (label in prediction) == known for label, known in truth.items())
    if isinstance(truth, float) or (isinstance(truth, list) and isinstance(truth[0], float)):
        return bool((np.abs(np.subtract(truth, prediction)) <= 0.1 * np.ptp(np.asarray(every), axis=0)).all())
    if isinstance(truth, list):
        return all(one is None or one == other for one, other in zip(truth, prediction, strict=True))
    return bool(truth == prediction)


def _random_weights(module: HeadModule, scale: float, generator: torch.Generator) -> list[Tensor]:
    return [
        torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * scale
        for parameter in module.parameters()
    ]


@torch.no_grad()
def _loss_at(tested: HeadUnderTest, weights: Sequence[Tensor]) -> float:
    for parameter, value in zip(tested.module.parameters(), weights, strict=True):
        parameter.copy_(value)
    return float(tested.loss().total)
