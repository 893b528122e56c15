"""Laws of a head that tunes something on validation rows after training: the result depends on those rows alone."""

import json
from typing import Any

import torch

from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head
from taskgraft.contract.targets import TargetDescription
from taskgraft.testing.check import InsufficientExamples, Law, law_check
from taskgraft.testing.compare import nearly_equal, same_bits, same_predictions
from taskgraft.testing.head_fixture import HeadUnderTest, heads_under_test

_TOLERANCE = 1e-6
"""How far numbers tuned on rows in another order may differ, absolutely and relative to their size."""


@law_check("Name in 'tunes' what the method tune chooses on validation rows.")
def check_tuning_is_described(law: Law, head: Head[Any], targets: Columns, columns: Columns) -> None:
    """A head whose description says that it tunes overrides ``tune``; for any other, ``tune`` changes nothing."""
    description = head.description
    if description.tunes and type(head).tune is Head.tune:
        raise law.violation(f"it tunes {description.tunes!r}, but does not override tune")
    if not isinstance(description.tuning_columns, tuple) or (description.tuning_columns and not description.tunes):
        raise law.violation(
            f"its tuning_columns are {description.tuning_columns!r}, which only tune reads; give a tuple of names"
        )
    for tested in [] if description.tunes else heads_under_test(head, targets):
        if _tune(law, tested, columns) != tested.target:
            raise law.violation("tune changes the target description, but 'tunes' is empty, so it is never called")


@law_check("Return a copy of the target description (model_copy), use no random numbers, and store nothing.")
def check_tuning_is_pure(law: Law, head: Head[Any], targets: Columns, columns: Columns) -> None:
    """Tuning twice gives the same new target description, and leaves the old one as it was. Other heads pass."""
    for tested in _heads_that_tune(head, targets, columns):
        before = _as_json(tested.target)
        tuned = _tune(law, tested, columns)
        if type(tuned) is not head.target:
            raise law.violation(f"it returns a {type(tuned).__name__}, not a {head.target.__name__}")
        if _as_json(tested.target) != before:
            raise law.violation("it changes the target description that was passed in")
        if tuned == tested.target:
            raise law.violation(f"for {tested}, it returns the target description unchanged", "Choose something.")
        if _tune(law, tested, columns) != tuned:
            raise law.violation(f"for {tested}, tuning twice on the same rows differs")


@law_check("Tune plain fields of the target description, with finite numbers.")
def check_tuned_description_is_json(law: Law, head: Head[Any], targets: Columns, columns: Columns) -> None:
    """The tuned description survives JSON, and a head built from that predicts the same. Other heads pass."""
    for tested in _heads_that_tune(head, targets, columns):
        tuned = _tune(law, tested, columns)
        with law.must_succeed("writing the tuned description as JSON and reading it"):
            read = head.target.model_validate(json.loads(json.dumps(_as_json(tuned), allow_nan=False)))
        if read != tuned:
            raise law.violation(f"written as JSON and read again, {tuned!r:.200} becomes {read!r:.200}")
        with law.must_succeed("building from the tuned description"):
            if not same_predictions(tested.rebuild(tuned).predictions(), tested.rebuild(read).predictions()):
                raise law.violation(f"for {tested}, the head built from JSON predicts something else")


@law_check("Sort the rows, or sum over them.")
def check_tuning_ignores_the_order_of_rows(law: Law, head: Head[Any], targets: Columns, columns: Columns) -> None:
    """Rows in another order give the same result. Other heads pass."""
    for tested in _heads_that_tune(head, targets, columns):
        order = list(reversed(range(len(tested.encoded))))
        reordered = {name: [values[row] for row in order] for name, values in columns.items()}
        one = _as_json(_tune(law, tested, columns))
        other = _as_json(_tune(law, tested.rows(order), reordered))
        if not nearly_equal(one, other, _TOLERANCE):
            raise law.violation(f"for {tested}, {one!r:.200} is {other!r:.200} with the same rows in another order")


@law_check("Keep the tuned values in plain attributes or in buffers with persistent=False.")
def check_tuning_changes_no_tensor(law: Law, head: Head[Any], targets: Columns, columns: Columns) -> None:
    """The module built from the tuned description has the same tensors, so it takes the trained weights. Other heads pass."""
    for tested in _heads_that_tune(head, targets, columns):
        tuned = _tune(law, tested, columns)
        before, after = (_initial_tensors(tested, target) for target in (tested.target, tuned))
        if before.keys() != after.keys():
            raise law.violation(f"{sorted(before.keys() ^ after.keys())[0]} exists only before or only after tuning")
        if changed := [name for name, tensor in before.items() if not same_bits(tensor, after[name])]:
            raise law.violation(f"for {tested}, {changed[0]} depends on the tuned values")


def _heads_that_tune(head: Head[Any], targets: Columns, columns: Columns) -> list[HeadUnderTest]:
    """Build a head that tunes; return nothing for one that does not.

    Raises:
        InsufficientExamples: when a column that it reads is missing.
    """
    if not head.description.tunes:
        return []
    if missing := [name for name in head.description.tuning_columns if name not in columns]:
        raise InsufficientExamples(
            type(head).__name__, f"it tunes by the column '{missing[0]}'; give the fixture 'columns' with it"
        )
    return heads_under_test(head, targets)


def _tune(law: Law, tested: HeadUnderTest, columns: Columns) -> TargetDescription:
    with law.must_succeed("tune"):
        tested.head.check_tuning_rows(tested.encoded, columns, tested.target)
        return tested.head.tune(tested.predictions(), tested.encoded, columns, tested.target)  # type: ignore[no-any-return]


def _initial_tensors(tested: HeadUnderTest, target: TargetDescription) -> dict[str, torch.Tensor]:
    """Build the module with one seed, and return its saved tensors."""
    torch.manual_seed(0)
    return dict(tested.head.build_module(tested.feature_description, target).state_dict())


def _as_json(target: TargetDescription) -> dict[str, Any]:
    return target.model_dump(mode="json")
