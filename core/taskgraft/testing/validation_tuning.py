"""Laws of a head that chooses something by validation rows after training: the same rows, in any order, choose the same."""

import json
from collections.abc import Sequence
from typing import Any

import torch

from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription
from taskgraft.testing.check import Check, InsufficientExamples, law_of, same_bits
from taskgraft.testing.head_fixture import HeadUnderTest, described, head_trials, words

TOLERANCE = 1e-6
"""How far numbers chosen from rows in another order may lie apart, relative to their size."""


def check_tuning_is_described(head: Head[Any], targets: Columns, columns: Columns) -> None:
    """A head whose description says what it settles writes ``tune``; of any other, ``tune`` chooses nothing."""
    law = law_of(head, "what a head settles stands in its description", "Say in 'settles' what settle chooses.")
    description = head.description
    if description.tunes and type(head).tune is Head.tune:
        raise law.broken(f"it settles {description.tunes!r}, but does not write settle")
    if not isinstance(description.tuning_columns, tuple) or (description.tuning_columns and not description.tunes):
        raise law.broken(
            f"its columns are {description.tuning_columns!r}, which settle alone reads; give a tuple of names"
        )
    for tried in [] if description.tunes else head_trials(head, targets):
        if _settled(law, tried, columns) != tried.target:
            raise law.broken("settle chooses something, but its description settles nothing, so nobody calls it")


def check_tuning_is_pure(head: Head[Any], targets: Columns, columns: Columns) -> None:
    """Settling twice gives the same, a whole target description, and leaves the one before as it was. Others pass."""
    law = law_of(
        head,
        "settle is a pure function",
        "Give a copy of the target description (model_copy), draw nothing at random, and keep nothing.",
    )
    for tried in _settling(head, targets, columns):
        before = _plain(tried.target)
        settled = _settled(law, tried, columns)
        if type(settled) is not head.target:
            raise law.broken(f"it gives a {type(settled).__name__}, not a {head.target.__name__}")
        if _plain(tried.target) != before:
            raise law.broken("it changes the target description that it was given")
        if settled == tried.target:
            raise law.broken(f"for {words(tried)}, it gives the target description as it was", "Choose something.")
        if _settled(law, tried, columns) != settled:
            raise law.broken(f"for {words(tried)}, the same rows settle otherwise the second time")


def check_tuned_description_is_json(head: Head[Any], targets: Columns, columns: Columns) -> None:
    """What was settled survives JSON, and a head built from there predicts the same. Others pass."""
    law = law_of(head, "what is settled is JSON", "Settle plain fields of the target description, with finite numbers.")
    for tried in _settling(head, targets, columns):
        settled = _settled(law, tried, columns)
        with law.runs("writing what was settled as JSON and reading it"):
            read = head.target.model_validate(json.loads(json.dumps(_plain(settled), allow_nan=False)))
        if read != settled:
            raise law.broken(f"written as JSON and read again, {settled!r:.200} becomes {read!r:.200}")
        with law.runs("building from what was settled"):
            if not _same(_predictions(tried, settled), _predictions(tried, read)):
                raise law.broken(f"for {words(tried)}, the head built from JSON predicts otherwise")


def check_tuning_ignores_the_order_of_rows(head: Head[Any], targets: Columns, columns: Columns) -> None:
    """Rows in another order settle the same. Others pass."""
    law = law_of(head, "the order of the rows settles nothing", "Sort the rows, or sum over them.")
    for tried in _settling(head, targets, columns):
        order = list(reversed(range(len(tried.encoded))))
        turned = {name: [values[row] for row in order] for name, values in columns.items()}
        one, other = (_plain(_settled(law, *some)) for some in ((tried, columns), (tried.rows(order), turned)))
        if not _near(one, other):
            raise law.broken(f"for {words(tried)}, {one!r:.200} is {other!r:.200} by the same rows in another order")


def check_tuning_changes_no_tensor(head: Head[Any], targets: Columns, columns: Columns) -> None:
    """The module that is built anew has the tensors of the one before, and takes its weights over. Others pass."""
    law = law_of(
        head,
        "settling changes no tensor of the head",
        "Keep what is settled in plain attributes or in buffers with persistent=False.",
    )
    for tried in _settling(head, targets, columns):
        settled = _settled(law, tried, columns)
        torch.manual_seed(0)
        before = head.build_module(described(tried), tried.target).state_dict()
        torch.manual_seed(0)
        after = head.build_module(described(tried), settled).state_dict()
        if before.keys() != after.keys():
            raise law.broken(f"{sorted(before.keys() ^ after.keys())[0]} is there only before or only after")
        if differing := [name for name, tensor in before.items() if not same_bits(tensor, after[name])]:
            raise law.broken(f"for {words(tried)}, {differing[0]} depends on what is settled")


def _settling(head: Head[Any], targets: Columns, columns: Columns) -> list[HeadUnderTest]:
    """Try a head that settles; nothing for one that does not.

    Raises:
        InsufficientExamples: when a column that it reads is not given.
    """
    if not head.description.tunes:
        return []
    if missing := [name for name in head.description.tuning_columns if name not in columns]:
        raise InsufficientExamples(
            type(head).__name__, f"it settles by '{missing[0]}'; give the fixture 'columns' with it"
        )
    return head_trials(head, targets)


def _settled(law: Check, tried: HeadUnderTest, columns: Columns) -> TargetDescription:
    with law.runs("settling"):
        tried.head.check_tuning_rows(tried.encoded, columns, tried.target)
        return tried.head.tune(tried.predictions(), tried.encoded, columns, tried.target)  # type: ignore[no-any-return]


def _predictions(tried: HeadUnderTest, target: TargetDescription) -> Predictions:
    module = tried.head.build_module(described(tried), target).eval()
    module.load_state_dict(tried.module.state_dict())
    return HeadUnderTest(tried.head, target, module, tried.features, tried.encoded).predictions()


def _same(one: Predictions, other: Predictions) -> bool:
    chances = zip(one.probabilities or (), other.probabilities or (), strict=True)
    return one.values == other.values and all((first == second).all() for first, second in chances)


def _plain(target: TargetDescription) -> dict[str, Any]:
    return target.model_dump(mode="json")


def _near(one: Any, other: Any) -> bool:
    """Compare plain JSON; numbers may differ by rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_near(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(_near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE * max(1.0, abs(one))
    return bool(one == other)
