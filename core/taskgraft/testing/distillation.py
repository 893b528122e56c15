"""Law of a head that distils: what it says of its own output teaches it nothing, what another says does."""

from typing import Any

import torch

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head, LossSum
from taskgraft.contract.masking import ElementSchema
from taskgraft.testing.check import Check, law_of
from taskgraft.testing.head import TOLERANCE, check_form
from taskgraft.testing.head_fixture import HeadUnderTest, described, head_trials, padded, words


def check_soft_labels_match_the_teacher(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A head that distils has nothing to learn from itself, and something from another teacher, row by row. Others pass."""
    law = law_of(
        head,
        "soft targets teach what the teacher's output says, row by row",
        "Let soft_targets and distillation_loss use one temperature, sum over what is compared, and heed lengths.",
    )
    for tried in head_trials(head, targets) if head.description.supports_distillation else ():
        for temperature in (1.0, 3.0):
            with law.runs(f"soft targets of {words(tried)}"):
                own, opposite = (_soft_targets(tried, sign, temperature) for sign in (1.0, -1.0))
                itself, whole = (_soft_loss(tried, soft, temperature) for soft in (own, opposite))
            if len(own) != len(tried.encoded):
                raise law.broken(f"for {len(tried.encoded)} rows of {words(tried)} there are {len(own)} soft targets")
            check_form(law, whole)
            left = float(itself.total)
            alone = described(tried).ensemble_size is None  # members may differ from what they say together
            if left >= float(whole.total) or (alone and abs(left) > TOLERANCE * len(own)):
                raise law.broken(
                    f"for {words(tried)} at temperature {temperature:g}, the loss is {left:.6g} by the head's own soft "
                    f"targets and {float(whole.total):.6g} by those of the opposite output"
                )
            _check_rows(law, tried, opposite, whole, temperature)


def _check_rows(law: Check, tried: HeadUnderTest, soft: Batch, whole: LossSum, temperature: float) -> None:
    rows = range(len(soft))
    pieces = [_soft_loss(tried.rows([row]), soft.select([row]), temperature) for row in rows]
    for what in ("total", "weight"):
        one, summed = float(getattr(whole, what)), sum(float(getattr(piece, what)) for piece in pieces)
        if abs(one - summed) > TOLERANCE * max(1.0, abs(one)):
            raise law.broken(
                f"for {words(tried)}, the {what} of {len(rows)} rows is {one:.6g}, but {summed:.6g} row by row"
            )
    longer = padded(tried)
    one = float(whole.total)
    lengthened = float(_soft_loss(longer, _soft_targets(longer, -1.0, temperature), temperature).total)
    if abs(one - lengthened) > TOLERANCE * max(1.0, abs(one)):
        raise law.broken(f"for {words(tried)}, the loss is {one:.6g}, and {lengthened:.6g} with more padding")


@torch.no_grad()
def _soft_targets(tried: HeadUnderTest, sign: float, temperature: float) -> Batch:
    return tried.module.soft_labels(tried.output() * sign, tried.features, temperature)


@torch.no_grad()
def _soft_loss(tried: HeadUnderTest, soft: Batch, temperature: float) -> LossSum:
    return tried.module.distillation_loss(tried.output(), soft, tried.features, temperature)
