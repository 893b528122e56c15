"""Laws of hiding: a backbone says what elements hold and leaves nothing of what is hidden, a head chooses by seed alone."""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.head import Head
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementSchema, maskable
from taskgraft.testing.check import BackboneUnderTest, Check, InsufficientExamples, alike, law_of, same_bits, trial
from taskgraft.testing.head_fixture import random_element_values


def check_element_schema_is_valid(backbone: Backbone) -> None:
    """The contents survive JSON and the way to another process, and are the same each time.

    A backbone that hides nothing passes, here and below.
    """
    law = law_of(
        backbone, "what elements hold is described as JSON", "Give ElementSchema, decided when the processor was built."
    )
    if not backbone.description.can_mask:
        return
    with law.runs("contents"):
        contents = backbone.processor.element_schema
    if not isinstance(contents, ElementSchema):
        raise law.broken(f"contents is a {type(contents).__name__}, not ElementSchema")
    read = ElementSchema.model_validate(json.loads(json.dumps(contents.model_dump(mode="json"))))
    sent = pickle.loads(pickle.dumps(backbone.processor)).element_schema  # noqa: S301  what was pickled in this line
    for what, other in (
        ("written as JSON and read again", read),
        ("asked twice", backbone.processor.element_schema),
        ("in another process", sent),
    ):
        if other != contents:
            raise law.broken(f"{what}, {contents!r:.150} is {other!r:.150}")


def check_element_values_match_the_schema(backbone: Backbone, inputs: Columns) -> None:
    """What elements hold fits the contents and the features, is the same in any company, and differs between rows."""
    law = law_of(
        backbone,
        "what elements hold fits the contents, and depends on the row alone",
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence features.",
    )
    if (tried := _tried(backbone, inputs)) is None:
        return
    with law.runs("holds"):
        held = tried.holds()
    _check_form(law, tried, held)
    longer = collate([tried.trial.batch], tried.trial.longer)
    for row in range(len(held)):
        for what, other in (
            ("alone", tried.holds(tried.trial.batch.select([row]))),
            ("with more padding", tried.holds(longer)),
        ):
            if not _same(held.select([row]), other.select([row if len(other) > 1 else 0])):
                raise law.broken(f"row {row} holds something else {what}")
    if not bool(maskable(held).any()):
        raise InsufficientExamples(law.who, "no element holds anything that could be recovered")
    if all(_same(held.select([0]), held.select([row])) for row in range(len(held))):
        raise law.broken("all rows hold the same")


def check_masking_changes_only_masked_elements(backbone: Backbone, inputs: Columns) -> None:
    """Hiding nothing changes nothing; a hidden element changes the features, and the others go on holding what they held."""
    law = law_of(
        backbone,
        "hiding changes the hidden elements and no others",
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    )
    if (tried := _tried(backbone, inputs)) is None:
        return
    batch, held, can = tried.trial.batch, tried.holds(), maskable(tried.holds())
    before = collate([batch])
    with law.runs("hiding nothing"):
        nothing = tried.hide(torch.zeros_like(can))
    if not _same(nothing, batch):
        raise law.broken("hiding nothing changes the batch")
    every = tried.features(tried.hide(can))
    for hidden in _one_by_one(can):
        with law.runs("hiding one element of each row"):
            made = tried.hide(hidden)
        if not _same(batch, before):
            raise law.broken("hiding changes the batch that it was given")
        after = tried.holds(made)
        rest = can & ~hidden
        if not all(same_bits(held[name][rest], after[name][rest]) for name in (CATEGORY, NUMBER)):
            raise law.broken("after one element of a row was hidden, others hold something else")
        for row in hidden.any(1).nonzero()[:, 0].tolist():
            features = tried.features(made).select([row])
            if alike(features, tried.features().select([row])):
                raise law.broken(f"the features of row {row} are the same with an element hidden")
            if bool(rest[row].any()) and alike(features, every.select([row])):
                raise law.broken(f"the features of row {row} are the same with one element hidden and with all")


def check_masked_values_do_not_leak(backbone: Backbone, inputs: Columns) -> None:
    """Two rows with as many elements have the same features once all of these are hidden, by the same seed.

    Where rows hold something besides elements, those with as many elements are to be alike in it.

    Raises:
        InsufficientExamples: when no two rows have as many elements and hold something else.
    """
    law = law_of(
        backbone,
        "nothing is left of what hidden elements held",
        "Clear every tensor of the batch that depends on a hidden element; what stands in its place comes from the seed alone. "
        "If rows hold something besides elements, give no two that have as many elements and differ in the rest.",
    )
    if (tried := _tried(backbone, inputs)) is None:
        return
    held = tried.holds()
    features = tried.features(tried.hide(held.mask(ELEMENT_AXIS), [7] * len(held)))
    pairs = list(_pairs(held))
    if not pairs:
        raise InsufficientExamples(
            law.who, "no two rows have as many elements and differ in what those hold; give two that do"
        )
    for one, other in pairs:
        if not alike(features.select([one]), features.select([other])):
            raise law.broken(f"the features of rows {one} and {other} differ, although all their elements are hidden")


def check_masking_depends_on_the_seed_alone(backbone: Backbone, inputs: Columns) -> None:
    """The same seeds hide in the same way, row by row, also by a processor that was sent to another process."""
    law = law_of(
        backbone,
        "how a row is hidden depends on the row and its seed alone",
        "Draw whatever is drawn for a row from its own seed.",
    )
    if (tried := _tried(backbone, inputs)) is None:
        return
    can = maskable(tried.holds())
    seeds = list(range(len(can)))
    whole = tried.hide(can, seeds)
    if not _same(whole, tried.hide(can, seeds)):
        raise law.broken("hiding twice with the same seeds differs")
    for row in seeds:
        alone = tried.trial.batch.select([row])
        hidden = can[[row], : tried.holds(alone)[CATEGORY].shape[1]]
        if not _same(whole.select([row]), backbone.processor.mask_elements(alone, hidden, [row])):
            raise law.broken(f"row {row} is hidden otherwise alone than among others")


def check_masked_elements_are_chosen_by_seed(head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Of each row some elements that hold something are hidden and asked for, by its seed alone.

    A head with a target column passes.
    """
    law = law_of(
        head,
        "which elements of a row are hidden depends on what it holds and its seed alone",
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    )
    if not isinstance(targets, ElementSchema):
        return
    held = random_element_values(targets)
    seeds, can = list(range(len(held))), maskable(held)
    hidden = _by_seed(law, "choose", "choosing", "hidden", head.choose_masked, held)
    if bool((can.any(1) & ~hidden.any(1)).any()):
        raise law.broken("of a row that holds something, nothing is hidden", "Hide one element at least.")
    if torch.equal(hidden, head.choose_masked(held, [seed + len(seeds) for seed in seeds])):
        raise law.broken("by other seeds the same elements are hidden")
    asked = _by_seed(law, "ask", "asking", "asked for", head.choose_scored, held)
    if bool((hidden & ~asked).any()):
        raise law.broken(
            "an element is hidden that is not asked for", "Ask for what is hidden by the same seeds, at least."
        )


@dataclass(frozen=True)
class _Tried:
    """A backbone that hides, with prepared examples."""

    trial: BackboneUnderTest

    def holds(self, batch: Batch | None = None) -> Batch:
        return self.trial.backbone.processor.element_values(self.trial.batch if batch is None else batch)

    def hide(self, hidden: Tensor, seeds: list[int] | None = None) -> Batch:
        return self.trial.backbone.processor.mask_elements(self.trial.batch, hidden, seeds or list(range(len(hidden))))

    def features(self, batch: Batch | None = None) -> Features:
        return self.trial.features(Layout.SEQUENCE, batch)


def _by_seed(
    law: Check, method: str, doing: str, done: str, choice: Callable[[Batch, Sequence[int]], Tensor], held: Batch
) -> Tensor:
    """Give the elements of rows that a head chooses, which hold something and are the same in any company."""
    seeds, can = list(range(len(held))), maskable(held)
    with law.runs(doing):
        chosen = choice(held, seeds)
    if chosen.dtype != torch.bool or chosen.shape != can.shape:
        raise law.broken(f"{method} gives {chosen.dtype} {tuple(chosen.shape)}, not torch.bool {tuple(can.shape)}")
    if bool((chosen & ~can).any()):
        raise law.broken(f"an element is {done} that holds nothing to recover")
    if not torch.equal(chosen, choice(held, seeds)):
        raise law.broken(f"{doing} twice by the same seeds differs")
    for row in seeds:
        alone = choice(held.select([row]), [row])[0]
        if not torch.equal(alone, chosen[row, : len(alone)]):
            raise law.broken(f"of row {row} other elements are {done} alone than among others")
    return chosen


def _tried(backbone: Backbone, inputs: Columns) -> _Tried | None:
    return _Tried(trial(backbone, inputs)) if backbone.description.can_mask else None


def _check_form(law: Check, tried: _Tried, held: Batch) -> None:
    contents, features = tried.trial.backbone.processor.element_schema, tried.features()
    for name, dtype, axes in ((CATEGORY, torch.int64, 2), (NUMBER, torch.float32, 3)):
        found = held.tensors.get(name)
        if found is None or found.dtype != dtype or found.dim() != axes or held.axes.get(name) != (ELEMENT_AXIS,):
            shape = None if found is None else f"{found.dtype} {tuple(found.shape)}, padded along {held.axes.get(name)}"
            raise law.broken(f"'{name}' is {shape}, not {dtype} with {axes} axes, padded along ('{ELEMENT_AXIS}',)")
    lengths = held.lengths[ELEMENT_AXIS].tolist()
    if features.lengths is None or lengths != features.lengths.tolist():
        raise law.broken(f"the rows hold {lengths} elements, but their sequence features have other lengths")
    if contents.by_position and set(lengths) != {len(contents.kinds)}:
        raise law.broken(
            f"there are {len(contents.kinds)} kinds by position, but rows of {sorted(set(lengths))} elements"
        )
    for position, kind in enumerate(contents.kinds):
        place = slice(position, position + 1) if contents.by_position else slice(None)
        real = held.mask(ELEMENT_AXIS)[:, place]
        category, number = held[CATEGORY][:, place][real], held[NUMBER][:, place][real]
        most = 0 if kind.numbers else kind.outputs
        if category.numel() and not -1 <= int(category.min()) <= int(category.max()) < most:
            raise law.broken(
                f"'{kind.name}' has {most} categories, but elements hold {int(category.min())} to {int(category.max())}"
            )
        if (
            number.shape[-1] < kind.numbers
            or not bool(number[:, kind.numbers :].isnan().all())
            or bool(number.isinf().any())
        ):
            raise law.broken(
                f"'{kind.name}' has {kind.numbers} numbers, but elements hold more, or others than finite ones and NaN"
            )


def _one_by_one(can: Tensor) -> Iterator[Tensor]:
    """Choose of each row the first element that holds something, then the second, as long as a row has another."""
    number = can.cumsum(1)
    for one in range(1, int(number.max()) + 1):
        yield can & (number == one)


def _pairs(held: Batch) -> Iterator[tuple[int, int]]:
    """Choose rows with as many elements that hold something else."""
    lengths = held.lengths[ELEMENT_AXIS].tolist()
    for one in range(len(held)):
        for other in range(one):
            if lengths[one] == lengths[other] and not _same(held.select([one]), held.select([other])):
                yield other, one


def _same(first: Batch, second: Batch) -> bool:
    """Compare batches bit for bit, padding that no row needs left out."""
    first, second = (batch.select(range(len(batch))) for batch in (first, second))
    pairs = [(first.tensors, second.tensors), (first.lengths, second.lengths)]
    return all(
        one.keys() == other.keys() and all(same_bits(one[name], other[name]) for name in one) for one, other in pairs
    )
