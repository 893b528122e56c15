"""Law of a head that recovers masked elements: it chooses them by the seed of each row alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head
from taskgraft.contract.masking import ElementSchema, maskable
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.head_fixture import random_element_values


@law_check("Use random numbers from the seed of the row, one per position; choose elements that have a value.")
def check_masked_elements_are_chosen_by_seed(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """In each row some elements that have a value are masked and scored, by its seed alone.

    A head with a target column passes.
    """
    if not isinstance(targets, ElementSchema):
        return
    values = random_element_values(targets)
    seeds, can = list(range(len(values))), maskable(values)
    masked = _choose(law, "choose_masked", "masked", head.choose_masked, values)
    if bool((can.any(1) & ~masked.any(1)).any()):
        raise law.violation("in a row that has values, no element is masked", "Mask at least one element.")
    if torch.equal(masked, head.choose_masked(values, [seed + len(seeds) for seed in seeds])):
        raise law.violation("other seeds choose the same elements")
    scored = _choose(law, "choose_scored", "scored", head.choose_scored, values)
    if bool((masked & ~scored).any()):
        raise law.violation("an element is masked but not scored", "Score at least what the same seeds mask.")


def _choose(
    law: Law, method: str, done: str, choose: Callable[[Batch, Sequence[int]], Tensor], values: Batch
) -> Tensor:
    """Return the elements that a head chooses, after checking that they have values and do not depend on the batch."""
    seeds, can = list(range(len(values))), maskable(values)
    with law.must_succeed(method):
        chosen = choose(values, seeds)
    if chosen.dtype != torch.bool or chosen.shape != can.shape:
        raise law.violation(f"{method} returns {chosen.dtype} {tuple(chosen.shape)}, not torch.bool {tuple(can.shape)}")
    if bool((chosen & ~can).any()):
        raise law.violation(f"an element is {done} that has no value to recover")
    if not torch.equal(chosen, choose(values, seeds)):
        raise law.violation(f"{method} twice with the same seeds differs")
    for row in seeds:
        alone = choose(values.select([row]), [row])[0]
        if not torch.equal(alone, chosen[row, : len(alone)]):
            raise law.violation(f"in row {row}, other elements are {done} alone than in a batch")
    return chosen
