"""Laws of a head: what it learns is JSON, its loss adds up, and it reads whatever a backbone of its layouts emits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import PER_ELEMENT, Layout, TargetKind
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import HeadSpec
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.testing.check import Check, differing, law_of
from taskgraft.testing.head_fixture import HeadUnderTest, described, head_trials, learned, padded, words

STRANGE = "a_label_that_no_one_has_seen"
PLAIN = (TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.NUMBERS, TargetKind.ELEMENT_CATEGORIES)
"""Kinds of target whose truth says None where something is not known."""

TOLERANCE = 1e-4
"""How far losses and outputs may lie apart, relative to their size."""


def check_target_description_is_json(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """``fit_targets`` gives a frozen target description that survives JSON, the same each time, and keeps nothing in the head."""
    law = law_of(
        head,
        "what a head learns is a frozen target description, as JSON",
        "Let learn answer with an instance of the class in 'target', a subclass of Target with plain fields.",
    )
    target = learned(head, targets)
    if not (isinstance(getattr(head, "target", None), type) and issubclass(head.target, TargetDescription)):
        raise law.broken("its 'target' is not a subclass of Target")
    if type(target) is not head.target:
        raise law.broken(f"learn gives a {type(target).__name__}, but 'target' is {head.target.__name__}")
    if not target.model_config.get("frozen"):
        raise law.broken(f"{head.target.__name__} is not frozen")
    with law.runs("writing the target description as JSON"):
        text = json.dumps(target.model_dump(mode="json"), allow_nan=False)
    with law.runs("reading the target description from JSON"):
        read = head.target.model_validate(json.loads(text))
    if target != learned(head, targets):
        raise law.broken("learning twice from the same targets differs", "Draw nothing at random in learn.")
    if read != target:
        raise law.broken(f"written as JSON and read again, {target!r:.200} becomes {read!r:.200}")


def check_targets_are_encoded_row_by_row(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Encoding gives one row per target, the same alone as among others and after the description went through JSON.

    A head without a target column passes.
    """
    law = law_of(
        head,
        "encoding depends on the row and the target description alone",
        "Let encode read nothing but its arguments; name padded axes with their lengths.",
    )
    if isinstance(targets, ElementSchema):
        return
    target = learned(head, targets)
    encoded = head.encode(targets, target)
    rows = len(next(iter(targets.values())))
    if len(encoded) != rows:
        raise law.broken(f"{rows} targets are encoded as {len(encoded)} rows")
    read = head.target.model_validate(json.loads(target.model_dump_json()))
    if not _same(encoded, head.encode(targets, read)):
        raise law.broken("with the target description read from JSON, targets are encoded otherwise")
    for row in range(rows):
        alone = head.encode({name: [values[row]] for name, values in targets.items()}, target)
        if not _same(encoded.select([row]), alone):
            raise law.broken(f"row {row} is encoded otherwise alone than among others")


def check_invalid_targets_are_reported(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A label that the training split never showed, or an unreadable number, is InvalidTargets naming exactly its row.

    A head without a target column passes.
    """
    law = law_of(
        head,
        "a target that cannot be read is InvalidTargets, naming its row",
        "Raise InvalidTargets({row: reason}) from encode, and give the label in the reason.",
    )
    if isinstance(targets, ElementSchema):
        return
    target = learned(head, targets)
    column, values = next(iter(targets.items()))
    bad = {**targets, column: [*values[:2], _strange(values[2]), *values[3:]]}
    try:
        head.encode(bad, target)
    except InvalidTargets as error:
        if set(error.reasons) != {2}:
            raise law.broken(f"row 2 is bad, but the error names the rows {sorted(error.reasons)}") from None
        if STRANGE not in error.reasons[2]:
            raise law.broken(f"the reason does not give the label: {error.reasons[2]!r}") from None
    except Exception as error:
        raise law.broken(f"encode raises {type(error).__name__}: {error}") from error
    else:
        raise law.broken(f"encode takes {_strange(values[2])!r}, which the training split never showed")


def check_predictions_have_the_form_of_targets(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Truth and predictions are one per row, in the same words; probabilities fit their classes."""
    law = law_of(
        head,
        "truth and predictions are one per row, in the user's words",
        "Decode both with the target description; count classes in 'classes'.",
    )
    for tried in head_trials(head, targets):
        rows = len(tried.encoded)
        truth = tried.head.decode_targets(tried.encoded, tried.target)
        found = tried.predictions()
        for what, values in (("truth", truth), ("predictions", found.values)):
            if not isinstance(values, list) or len(values) != rows:
                raise law.broken(f"for {rows} rows, {what} are {values!r:.100}")
        _check_sizes(law, tried, found)
        _check_probabilities(law, tried, found)
        if head.description.target == TargetKind.CATEGORY:
            for label in (*truth, *found.values):
                if label not in found.classes:
                    raise law.broken(f"{label!r} is not among the classes {found.classes!r:.100}")
        if head.description.target == TargetKind.NUMBERS:
            for one, other in zip(truth, found.values, strict=True):
                if np.shape(one) != np.shape(other) or not np.isfinite(other).all():
                    raise law.broken(f"the truth {one!r} is predicted as {other!r}")
        if head.description.target == TargetKind.INPUTS:
            for one, other in zip(truth, found.values, strict=True):
                if (
                    type(one) is not type(other)
                    or len(one) != len(other)
                    or (isinstance(one, dict) and one.keys() != other.keys())
                ):
                    raise law.broken(f"the truth {one!r:.100} is predicted as {other!r:.100}")


def check_loss_is_a_sum_over_rows(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Total and weight of a batch are the sums over its pieces; the weight does not depend on the output."""
    law = law_of(
        head,
        "the loss of a batch is the sum over its rows",
        "Sum in 'total', do not average, and count in 'weight' what was summed.",
    )
    for tried in head_trials(head, targets):
        whole = tried.loss()
        check_form(law, whole)
        pieces = [tried.rows([row]).loss() for row in range(len(tried.encoded))]
        for what in ("total", "weight"):
            one, other = (
                float(getattr(whole, what).detach()),
                sum(float(getattr(piece, what).detach()) for piece in pieces),
            )
            if abs(one - other) > TOLERANCE * max(1.0, abs(one)):
                raise law.broken(
                    f"for {words(tried)}, the {what} of {len(pieces)} rows is {one:.6g}, but {other:.6g} row by row"
                )


def check_outputs_do_not_depend_on_the_batch(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A row's loss and prediction are the same alone, and whatever stands past its length."""
    law = law_of(
        head,
        "loss and predictions do not depend on padding or companions",
        "Let nothing mix rows of a batch, and use the lengths: positions past them hold anything.",
    )
    for tried in head_trials(head, targets):
        longer = padded(tried)
        one, other = float(tried.loss().total.detach()), float(longer.loss().total.detach())
        if abs(one - other) > TOLERANCE * max(1.0, abs(one)):
            raise law.broken(f"for {words(tried)}, the loss is {one:.6g}, and {other:.6g} with more padding")
        together, lengthened = tried.predictions(), longer.predictions()
        for row in range(len(tried.encoded)):
            alone = tried.rows([row]).predictions()
            for what, found, place in (("alone", alone, 0), ("with more padding", lengthened, row)):
                if not _alike(together.values[row], found.values[place]):
                    raise law.broken(
                        f"for {words(tried)}, row {row} is predicted as {together.values[row]!r} among others "
                        f"and as {found.values[place]!r} {what}"
                    )
                shares, others = together.probabilities, found.probabilities
                if shares and others and not np.allclose(shares[row], others[place], rtol=TOLERANCE, atol=TOLERANCE):
                    raise law.broken(f"for {words(tried)}, row {row} has other probabilities among others than {what}")


def check_lowest_loss_predicts_the_targets(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """The output whose loss is least is predicted as the truth, in most rows. The output itself descends, not the head.

    A head whose target is neither labels, numbers nor a label per element passes.
    """
    law = law_of(
        head,
        "what costs least is what is predicted",
        "Let loss and predict read the output in one way: the order of labels, the scale, the units.",
    )
    if head.description.target not in PLAIN:
        return
    for tried in head_trials(head, targets):
        with law.runs(f"descending the loss of {words(tried)}"):
            found = _cheapest(tried).values
        truth = tried.head.decode_targets(tried.encoded, tried.target)
        wrong = [
            row for row, (one, other) in enumerate(zip(truth, found, strict=True)) if not _meets(one, other, truth)
        ]
        if 2 * len(wrong) > len(truth):
            raise law.broken(
                f"for {words(tried)}, where the loss is least, {len(wrong)} of {len(truth)} rows are not predicted as "
                f"their truth: row {wrong[0]} as {found[wrong[0]]!r:.60}, not as {truth[wrong[0]]!r:.60}"
            )


def check_head_builds_from_json(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """With a target description read from JSON, the head builds the same module and takes its weights."""
    law = law_of(
        head, "a head is built from its target description alone", "Let build read nothing that learn left behind."
    )
    for tried in head_trials(head, targets):
        read = head.target.model_validate(json.loads(tried.target.model_dump_json()))
        again = head.build_module(described(tried), read).eval()
        with law.runs(f"loading saved weights into the head for {words(tried)}"):
            again.load_state_dict(tried.module.state_dict())
        rebuilt = HeadUnderTest(head, read, again, tried.features, tried.encoded)
        pairs = zip(rebuilt.predictions().values, tried.predictions().values, strict=True)
        if not all(_equal(one, other) for one, other in pairs):
            raise law.broken(f"for {words(tried)}, the head built again predicts otherwise")


def check_head_trains_in_any_precision(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Every parameter of the head gets a gradient, also from features in bfloat16 or float64."""
    law = law_of(
        head,
        "a head reads features of any floating dtype, and every parameter of it gets a gradient",
        "Cast features to the dtype of the head's weights; compute the loss in float32; build nothing unused.",
    )
    for tried in head_trials(head, targets):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            values = tuple(value.to(dtype) for value in tried.features.values)
            features = replace(tried.features, values=values)
            cast = HeadUnderTest(head, tried.target, tried.module, features, tried.encoded)
            cast.module.zero_grad()
            with law.runs(f"a loss of {words(tried)} in {dtype}"):
                cast.loss().total.backward()
            for name, parameter in cast.module.named_parameters():
                if parameter.grad is None or not bool(parameter.grad.any()):
                    raise law.broken(f"for {words(tried)} in {dtype}, {name} gets no gradient")


def check_mixed_targets_have_the_mixed_loss(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A head that takes soft targets gives those of mixed examples the loss that their shares say. Others pass."""
    law = law_of(
        head,
        "the loss of blended targets is that of both targets, by their shares",
        "Let blend give a distribution over categories: shares of the own target, the rest of the other's.",
    )
    if not head.description.supports_soft_labels:
        return
    for tried in head_trials(head, targets):
        rows = len(tried.encoded)
        others = tried.encoded.select(list(reversed(range(rows))))
        for share in (0.0, 0.25, 1.0):
            with law.runs(f"blending with shares of {share}"):
                blended = head.mix_targets(tried.encoded, others, torch.full((rows,), share), tried.target)
            mine, other, both = (float(_of(tried, one).total) for one in (tried.encoded, others, blended))
            wanted = share * mine + (1 - share) * other
            if abs(both - wanted) > TOLERANCE * max(1.0, abs(wanted)):
                raise law.broken(
                    f"for {words(tried)}, with a share of {share}, the loss is {both:.6g}, not {wanted:.6g}"
                )


def _of(tried: HeadUnderTest, encoded: Batch) -> LossSum:
    with torch.no_grad():
        return tried.module.loss(tried.output(), encoded, tried.features)


def check_convex_loss_is_convex(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A loss said to be convex lies nowhere above the chord between two points of the weights. Others pass."""
    law = law_of(head, "a loss described as convex is convex in the head's weights", "Describe it with convex=False.")
    if not head.description.convex:
        return
    for tried in head_trials(head, targets):
        generator = torch.Generator().manual_seed(0)
        for scale in (0.1, 1.0, 10.0) * 8:
            ends = [_drawn(tried.module, scale, generator) for _ in range(2)]
            middle = [(one + other) / 2 for one, other in zip(*ends, strict=True)]
            first, last, between = (_loss_at(tried, weights) for weights in (*ends, middle))
            if between > (first + last) / 2 + TOLERANCE * max(1.0, abs(first), abs(last)):
                raise law.broken(
                    f"for {words(tried)}, the loss is {first:.6g} and {last:.6g} at two points, "
                    f"and {between:.6g} half-way between them"
                )


def check_head_description_is_valid(head: Head[Any]) -> None:
    """The description names layouts, a kind of target, metrics and baselines, and is the same each time."""
    law = law_of(head, "the description is sound", "Mend the description.")
    description = head.description
    if description != head.description:
        raise law.broken("two calls of 'description' differ", "Describe from settings alone.")
    if not description.layouts or any(layout not in set(Layout) for layout in description.layouts):
        raise law.broken(f"it reads {description.layouts!r}, which are not layouts")
    if len(set(description.layouts)) != len(description.layouts):
        raise law.broken(f"it names a layout more than once: {description.layouts!r}")
    if description.target not in set(TargetKind):
        raise law.broken(f"{description.target!r} is no kind of target")
    for what, names in (("metrics", description.metrics), ("baselines", description.baselines)):
        if not isinstance(names, tuple):
            raise law.broken(f"its {what} are {names!r}, no tuple of names")
    for metric in description.metrics:
        if not isinstance(metric, str) and not (isinstance(metric, Mapping) and isinstance(metric.get("name"), str)):
            raise law.broken(f"its metric {metric!r} is neither a name nor a dict with 'name' and settings")


def check_spec_describes_the_head(head: Head[Any], spec: HeadSpec, config: Any) -> None:
    """What ``describe`` answers for the settings equals the description of what ``build`` makes of them."""
    law = law_of(
        head,
        "describe says what build makes",
        "Let the head's 'description' and the spec's 'describe' call one function.",
    )
    if found := differing(spec.describe(config), head.description):
        place, said, made = found
        raise law.broken(f"'{place}' is {said!r:.200} as described by '{spec.name}', but {made!r:.200} as built")


def check_form(law: Check, loss: LossSum) -> None:
    """Refuse a loss that is no pair of finite numbers, or whose weight is none or hangs on the output."""
    for what, value in (("total", loss.total), ("weight", loss.weight)):
        if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise law.broken(f"the {what} has the shape {shape}, not that of one floating-point number ()")
        if not bool(torch.isfinite(value)):
            raise law.broken(f"the {what} is {float(value.detach())}")
    if float(loss.weight.detach()) <= 0:
        raise law.broken(f"the weight is {float(loss.weight.detach())}")
    if loss.weight.requires_grad:
        raise law.broken("the weight depends on the head's weights", "Count rows or labels in it.")


def _check_sizes(law: Check, tried: HeadUnderTest, found: Predictions) -> None:
    """Predictions have as many labels as there are elements, pairs of them, or positions of the raw input."""
    kind, lengths = tried.head.description.target, tried.features.lengths
    if kind == TargetKind.ELEMENT_CATEGORIES and lengths is not None:
        for row, (value, length) in enumerate(zip(found.values, lengths.tolist(), strict=True)):
            if len(value) != length:
                raise law.broken(f"row {row} has {length} elements, but {len(value)} predictions")
    if kind == TargetKind.PAIR_CATEGORIES and lengths is not None:
        for row, (value, length) in enumerate(zip(found.values, lengths.tolist(), strict=True)):
            if np.shape(value) != (length, length):
                raise law.broken(f"row {row} has {length} elements, but predicted are pairs of {np.shape(value)}")
    if kind == TargetKind.GRID_CATEGORIES and tried.features.geometry is not None:
        for row, (value, size) in enumerate(zip(found.values, tried.features.geometry.sizes.tolist(), strict=True)):
            if np.shape(value) != tuple(size):
                raise law.broken(f"row {row} is an input of {size[0]} × {size[1]}, but predicted is {np.shape(value)}")


def _check_probabilities(law: Check, tried: HeadUnderTest, found: Predictions) -> None:
    kind = tried.head.description.target
    if found.probabilities is None:
        return
    if len(found.probabilities) != len(found.values):
        raise law.broken(
            f"there are {len(found.probabilities)} rows of probabilities for {len(found.values)} predictions"
        )
    for row, numbers in enumerate(found.probabilities):
        if numbers.shape[-1] != len(found.classes):
            raise law.broken(f"row {row} has {numbers.shape[-1]} probabilities for {len(found.classes)} classes")
        if not ((numbers >= 0) & (numbers <= 1)).all():
            raise law.broken(f"row {row} has probabilities outside 0 to 1")
        one_label = kind in PER_ELEMENT or kind == TargetKind.CATEGORY
        if one_label and not np.allclose(numbers.sum(-1), 1, atol=1e-3):
            raise law.broken(f"the probabilities of row {row} sum to {float(numbers.sum(-1).max()):.4g}, not to 1")


def _strange(value: Any) -> Any:
    """A target of the same form that no training split shows."""
    return [STRANGE, *value[1:]] if isinstance(value, list | tuple) else STRANGE


def _same(first: Batch, second: Batch) -> bool:
    return first.tensors.keys() == second.tensors.keys() and all(
        torch.equal(tensor, second[name]) for name, tensor in first.tensors.items()
    )


def _alike(first: Any, second: Any) -> bool:
    """Compare predictions; numbers may differ by rounding."""
    if isinstance(first, float) and isinstance(second, float):
        return bool(np.isclose(first, second, rtol=TOLERANCE, atol=TOLERANCE))
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_alike, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[key], second[key]) for key in first)
    return _equal(first, second)


def _equal(first: Any, second: Any) -> bool:
    """Compare predictions, of which some are arrays."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return bool(np.array_equal(first, second))
    return bool(first == second)


def _cheapest(tried: HeadUnderTest) -> Predictions:
    """Let the output descend the loss, and predict."""
    output = tried.output().detach().contiguous().requires_grad_()
    optimizer = torch.optim.LBFGS([output], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = tried.module.loss(output, tried.encoded, tried.features).total
        total.backward()
        return total

    optimizer.step(loss)
    with torch.no_grad():
        return tried.module.predict(output.detach(), tried.features)


def _meets(truth: Any, found: Any, every: Sequence[Any]) -> bool:
    """Compare a prediction with its truth, None apart; numbers may be a tenth of the spread of all truths away."""
    if isinstance(truth, Mapping):
        return all(known is None or (label in found) == known for label, known in truth.items())
    if isinstance(truth, float) or (isinstance(truth, list) and isinstance(truth[0], float)):
        return bool((np.abs(np.subtract(truth, found)) <= 0.1 * np.ptp(np.asarray(every), axis=0)).all())
    if isinstance(truth, list):
        return all(one is None or one == other for one, other in zip(truth, found, strict=True))
    return bool(truth == found)


def _drawn(module: HeadModule, scale: float, generator: torch.Generator) -> list[Tensor]:
    return [
        torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * scale
        for parameter in module.parameters()
    ]


@torch.no_grad()
def _loss_at(tried: HeadUnderTest, weights: Sequence[Tensor]) -> float:
    for parameter, value in zip(tried.module.parameters(), weights, strict=True):
        parameter.copy_(value)
    return float(tried.loss().total)
