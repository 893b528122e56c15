"""Laws of a head's targets: their description is JSON, rows are encoded one by one, predictions take the same form."""

import json
from typing import Any

import numpy as np

from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import batch_difference
from taskgraft.testing.head_fixture import HeadUnderTest, fit_target, heads_under_test

_UNKNOWN = "a_label_outside_the_training_split"


@law_check(
    "Let fit_targets return an instance of the class in 'target', a subclass of TargetDescription with plain fields."
)
def check_target_description_is_json(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """``fit_targets`` returns a frozen target description that survives JSON and is the same each time."""
    target = fit_target(head, targets)
    if not (isinstance(getattr(head, "target", None), type) and issubclass(head.target, TargetDescription)):
        raise law.violation("its 'target' is not a subclass of TargetDescription")
    if type(target) is not head.target:
        raise law.violation(f"fit_targets returns a {type(target).__name__}, but 'target' is {head.target.__name__}")
    if not target.model_config.get("frozen"):
        raise law.violation(f"{head.target.__name__} is not frozen")
    with law.must_succeed("writing the target description as JSON"):
        text = json.dumps(target.model_dump(mode="json"), allow_nan=False)
    with law.must_succeed("reading the target description from JSON"):
        read = head.target.model_validate(json.loads(text))
    if target != fit_target(head, targets):
        raise law.violation("fitting twice to the same targets differs", "Use no random numbers in fit_targets.")
    if read != target:
        raise law.violation(f"written as JSON and read again, {target!r:.200} becomes {read!r:.200}")


@law_check("Let encode read nothing but its arguments; name padded axes with their lengths.")
def check_targets_are_encoded_row_by_row(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Encoding gives one row per target, the same alone as in a batch and after the description went through JSON.

    A head without a target column passes.
    """
    if isinstance(targets, ElementSchema):
        return
    target = fit_target(head, targets)
    encoded = head.encode(targets, target)
    rows = len(next(iter(targets.values())))
    if len(encoded) != rows:
        raise law.violation(f"{rows} targets are encoded as {len(encoded)} rows")
    read = head.target.model_validate(json.loads(target.model_dump_json()))
    if batch_difference(encoded, head.encode(targets, read)):
        raise law.violation("with the target description read from JSON, targets are encoded differently")
    for row in range(rows):
        alone = head.encode({name: [values[row]] for name, values in targets.items()}, target)
        if batch_difference(encoded.select([row]), alone):
            raise law.violation(f"row {row} is encoded differently alone and in a batch")


@law_check("Raise InvalidTargets({row: reason}) from encode, with the label in the reason.")
def check_invalid_targets_are_reported(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A label outside the training split, or a text that is not a number, is InvalidTargets naming exactly its row.

    A head without a target column passes.
    """
    if isinstance(targets, ElementSchema):
        return
    target = fit_target(head, targets)
    column, values = next(iter(targets.items()))
    invalid = [_UNKNOWN, *values[2][1:]] if isinstance(values[2], list | tuple) else _UNKNOWN
    try:
        head.encode({**targets, column: [*values[:2], invalid, *values[3:]]}, target)
    except InvalidTargets as error:
        if set(error.reasons) != {2}:
            raise law.violation(f"row 2 is invalid, but the error names the rows {sorted(error.reasons)}") from None
        if _UNKNOWN not in error.reasons[2]:
            raise law.violation(f"the reason does not contain the label: {error.reasons[2]!r}") from None
    except Exception as error:
        raise law.violation(f"encode raises {type(error).__name__}: {error}") from error
    else:
        raise law.violation(f"encode accepts {invalid!r}, which is not in the training split")


@law_check("Decode both with the target description; list the labels of the class axis in 'classes'.")
def check_predictions_have_the_form_of_targets(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Decoded targets and predictions are one per row, in the same labels or units; probabilities fit their classes."""
    for tested in heads_under_test(head, targets):
        rows = len(tested.encoded)
        truth = tested.head.decode_targets(tested.encoded, tested.target)
        predictions = tested.predictions()
        for what, values in (("decoded targets", truth), ("predictions", predictions.values)):
            if not isinstance(values, list) or len(values) != rows:
                raise law.violation(f"for {rows} rows, {what} are {values!r:.100}")
        _check_shapes(law, tested, predictions)
        _check_probabilities(law, tested, predictions)
        _check_forms(law, head.description.target, truth, predictions)


def _check_forms(law: Law, kind: TargetKind, truth: list[Any], predictions: Predictions) -> None:
    """Compare each prediction with its target, by the kind of target."""
    if kind == TargetKind.CATEGORY:
        for label in (*truth, *predictions.values):
            if label not in predictions.classes:
                raise law.violation(f"{label!r} is not one of the classes {predictions.classes!r:.100}")
    for one, other in zip(truth, predictions.values, strict=True):
        if kind == TargetKind.NUMBERS and (np.shape(one) != np.shape(other) or not np.isfinite(other).all()):
            raise law.violation(f"the target {one!r} is predicted as {other!r}")
        if kind == TargetKind.INPUTS and (
            type(one) is not type(other)
            or len(one) != len(other)
            or (isinstance(one, dict) and one.keys() != other.keys())
        ):
            raise law.violation(f"the target {one!r:.100} is predicted as {other!r:.100}")


def _check_shapes(law: Law, tested: HeadUnderTest, predictions: Predictions) -> None:
    """Check that there is a label for each element, each pair of elements, or each position of the raw input."""
    kind, lengths, geometry = tested.head.description.target, tested.features.lengths, tested.features.geometry
    shapes: list[tuple[int, ...]] = []
    if kind in PER_ELEMENT and lengths is not None:
        axes = 2 if kind == TargetKind.PAIR_CATEGORIES else 1
        shapes = [(length,) * axes for length in lengths.tolist()]
    if kind == TargetKind.GRID_CATEGORIES and geometry is not None:
        shapes = [tuple(size) for size in geometry.sizes.tolist()]
    for row, (value, shape) in enumerate(zip(predictions.values, shapes, strict=False)):
        if np.shape(value) != shape:
            raise law.violation(f"the prediction for row {row} has the shape {np.shape(value)}, not {shape}")


def _check_probabilities(law: Law, tested: HeadUnderTest, predictions: Predictions) -> None:
    kind, rows = tested.head.description.target, predictions.probabilities
    if rows is None:
        return
    if len(rows) != len(predictions.values):
        raise law.violation(f"there are {len(rows)} rows of probabilities for {len(predictions.values)} predictions")
    for row, numbers in enumerate(rows):
        if numbers.shape[-1] != len(predictions.classes):
            raise law.violation(
                f"row {row} has {numbers.shape[-1]} probabilities for {len(predictions.classes)} classes"
            )
        if not ((numbers >= 0) & (numbers <= 1)).all():
            raise law.violation(f"row {row} has probabilities outside 0 to 1")
        single_label = kind in PER_ELEMENT or kind == TargetKind.CATEGORY
        if single_label and not np.allclose(numbers.sum(-1), 1, atol=1e-3):
            raise law.violation(f"the probabilities of row {row} sum to {float(numbers.sum(-1).max()):.4g}, not to 1")
