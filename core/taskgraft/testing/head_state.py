"""Laws of what a head remembers: what it fits is in the target description, what its module learns in the state dict."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import is_missing
from taskgraft.errors import TaskgraftError
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import batch_difference, nearly_equal, same_predictions
from taskgraft.testing.head_fixture import HeadUnderTest, fit_target, heads_under_test


@law_check("Return everything that fit_targets learns in the target description, and read it from there.")
def check_head_remembers_no_targets(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """After it was fitted to other targets, a head still encodes, decodes and predicts by a given target description.

    A head without a target column passes.
    """
    if isinstance(targets, ElementSchema):
        return
    tested = heads_under_test(head, targets)[0]
    other = deepcopy(head)
    try:
        other.fit_targets({name: [_another(value) for value in values] for name, values in targets.items()})
    except (TaskgraftError, TypeError, ValueError):  # it does not accept such targets
        other.fit_targets({name: list(values)[::-1] for name, values in targets.items()})
    with law.must_succeed("after it was fitted to other targets, encoding"):
        try:
            encoded = other.encode(targets, tested.target)
        except TaskgraftError as error:
            raise law.violation(
                f"after it was fitted to other targets, encode rejects the first ones: {error}"
            ) from None
    if batch_difference(encoded, tested.encoded):
        raise law.violation("after it was fitted to other targets, encode returns something else")
    decoded = [Predictions(one.decode_targets(encoded, tested.target)) for one in (other, head)]
    if not same_predictions(*decoded):
        raise law.violation("after it was fitted to other targets, decode_targets returns something else")
    with law.must_succeed("after it was fitted to other targets, building the module and loading its weights"):
        rebuilt = replace(tested, head=other).rebuild(tested.target)
    if not same_predictions(rebuilt.predictions(), tested.predictions()):
        raise law.violation("after it was fitted to other targets, it predicts something else")


@law_check("Register what the module learns, in fit_feature_scale too, as parameters and buffers.")
def check_module_state_is_in_the_state_dict(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A module that was adapted to features and trained predicts as a new one that loads its state dict."""
    for tested in heads_under_test(head, targets):
        values = tuple(5.0 * value + 3.0 for value in tested.features.values)
        wide = replace(tested, features=replace(tested.features, values=values))
        with law.must_succeed(f"fit_feature_scale and a loss of {tested}"):
            with torch.no_grad():
                wide.module.fit_feature_scale(wide.features)
            wide.module.train()
            wide.loss().total.backward()
            wide.module.eval()
        with law.must_succeed(f"loading the state dict into a new module for {tested}"):
            rebuilt = wide.rebuild(tested.target)
        if not same_predictions(rebuilt.predictions(), wide.predictions()):
            raise law.violation(f"for {tested}, a new module with its state dict predicts something else")


@law_check("Sort what you collect from rows: labels with sort_labels, or let build_vocabulary do both.")
def check_row_order_does_not_matter(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """``fit_targets`` returns the same description for the same rows in another order. Without a target column it passes."""
    if isinstance(targets, ElementSchema):
        return
    forward = fit_target(head, targets).model_dump(mode="json")
    backward = fit_target(head, {name: list(values)[::-1] for name, values in targets.items()}).model_dump(mode="json")
    for field, value in forward.items():
        if not nearly_equal(value, backward[field], 1e-9):
            raise law.violation(
                f"'{field}' is {value!r:.100}, and {backward[field]!r:.100} when the rows are in reverse order"
            )


@law_check("Compare labels by label_key, or let build_vocabulary and label_indices do that.")
def check_labels_are_equal_in_any_type(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """1 and "1" are one label, or refused: the same rows have both types in different files. Heads of one label per row."""
    if isinstance(targets, ElementSchema) or head.description.target != TargetKind.CATEGORY or len(targets) > 1:
        return
    (column,) = targets
    mixed = {column: ["1", 1, "2", 2] * 2}
    with law.must_succeed("targets that are 1 and '1'"):
        try:
            target = head.fit_targets(mixed)
            decoded = head.decode_targets(head.encode(mixed, target), target)
        except TaskgraftError:
            return
    if decoded[0] != decoded[1] or decoded[2] != decoded[3]:
        raise law.violation(f"1 and '1' are two labels: {decoded[0]!r} and {decoded[1]!r}")


@law_check(
    "Raise InvalidTargets({row: reason}) for a missing target, or leave it out of the loss and decode it as None."
)
def check_missing_targets_are_no_label(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """None and NaN are invalid, or unknown. Heads of one label or number per row; others pass."""
    kinds = (TargetKind.CATEGORY, TargetKind.NUMBERS)
    if isinstance(targets, ElementSchema) or head.description.target not in kinds:
        return
    target, (column, values) = fit_target(head, targets), next(iter(targets.items()))
    for missing in (None, math.nan):
        with law.must_succeed(f"a target that is {missing}"):
            try:
                encoded = head.encode({**targets, column: [*values[:2], missing, *values[3:]]}, target)
                decoded = head.decode_targets(encoded, target)[2]
            except TaskgraftError:
                continue
        if not is_missing(decoded) and not (isinstance(decoded, Sequence) and any(map(is_missing, decoded))):
            raise law.violation(f"a target that is {missing} is encoded as {decoded!r:.60}")


@law_check("Predict from the probabilities as they are: round for display alone.")
def check_predictions_are_not_rounded(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A head that predicts the most probable class does so also where probabilities differ little. Other heads pass."""
    if head.description.target != TargetKind.CATEGORY or head.description.tunes:
        return
    for tested in heads_under_test(head, targets):
        if _wrong_rows(tested, 2.0):  # it predicts by another rule, such as a median
            continue
        if wrong := _wrong_rows(tested, 0.01):
            value, probable = wrong[0]
            raise law.violation(
                f"for {tested}, with nearly equal probabilities, {value!r:.40} is predicted, but {probable!r:.40} is more "
                "probable"
            )


def _wrong_rows(tested: HeadUnderTest, scale: float) -> list[tuple[Any, Any]]:
    """Find rows of random output that are not predicted as their most probable class: (prediction, that class)."""
    generator, output = torch.Generator().manual_seed(3), tested.output().detach()
    wrong = []
    for _ in range(16):
        drawn = torch.randn(output.shape, generator=generator).to(output.dtype) * scale
        with torch.no_grad():
            predictions = tested.module.predict(drawn, tested.features)
        if predictions.probabilities is None or predictions.classes is None:
            return []
        probable = [predictions.classes[int(row.argmax())] for row in predictions.probabilities]
        pairs = zip(predictions.values, probable, strict=True)
        wrong += [(value, one) for value, one in pairs if value != one]
    return wrong


def _another(value: Any) -> Any:
    """Change a target to another of its type."""
    if isinstance(value, list | tuple):
        return [_another(one) for one in value]
    if isinstance(value, str):
        return f"another {value}"
    return value * 3 + 7 if isinstance(value, int | float) and not isinstance(value, bool) else value
