"""Each check of the conformance kit for hiding catches a fault planted for it, and says so in the author's terms."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from backbones import TEXTS, Pictures, Words, WordsProcessor
from cells import Cells, CellsProcessor, cells_rows

from taskgraft.builtin.heads.configs import MaskedElementsConfig
from taskgraft.builtin.heads.masked_elements import MaskedElements
from taskgraft.contract.batch import Batch
from taskgraft.contract.features import ELEMENT_AXIS
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema, maskable
from taskgraft.testing import ContractViolation, InsufficientExamples
from taskgraft.testing import backbone as of_backbone
from taskgraft.testing import head as of_head
from taskgraft.testing import masking as of_hiding

WORDS, CELLS, KINDS = {"text": TEXTS}, cells_rows(8), CellsProcessor().element_schema


def processing(kind: type, processor: type) -> Callable[[], Any]:
    """A backbone with another processor."""

    class Spoiled(kind):
        @property
        def processor(self):
            return processor()

    return lambda: Spoiled().eval()


def holding(change: Callable[[Batch], dict[str, torch.Tensor]]) -> Callable[[], Any]:
    """Words that hold something else."""

    class Spoiled(WordsProcessor):
        def element_values(self, batch):
            right = super().element_values(batch)
            return Batch({**right.tensors, **change(right)}, right.axes, right.lengths)

    return processing(Words, Spoiled)


def hiding(kind: type, processor: type, change: Callable[..., Batch]) -> Callable[[], Any]:
    """A backbone that hides otherwise: the change is given what the right one makes, the batch, what is hidden, and seeds."""

    class Spoiled(processor):
        def mask_elements(self, batch, hidden, seeds):
            return change(super().mask_elements(batch, hidden, seeds), batch, hidden, seeds)

    return processing(kind, Spoiled)


class Nothing(WordsProcessor):
    @property
    def element_schema(self):
        return None


class Growing(WordsProcessor):
    """Counts one more category whenever it is asked."""

    asked = 0

    @property
    def element_schema(self):
        Growing.asked += 1
        return ElementSchema(kinds=(ElementKind(name="word", categories=63 + Growing.asked),), by_position=False)


class FewerColours(CellsProcessor):
    @property
    def element_schema(self):
        return ElementSchema(
            kinds=(*super().element_schema.kinds[:2], ElementKind(name="colour", categories=("red", "green"))),
            by_position=True,
        )


class FewerKinds(CellsProcessor):
    @property
    def element_schema(self):
        return ElementSchema(kinds=super().element_schema.kinds[:2], by_position=True)


class OneNumber(CellsProcessor):
    @property
    def element_schema(self):
        kinds = super().element_schema.kinds
        return ElementSchema(kinds=(kinds[0], ElementKind(name="span", numbers=1), kinds[2]), by_position=True)


class HoldsTheSame(CellsProcessor):
    def element_values(self, batch):
        right = super().element_values(batch)
        return Batch(
            {CATEGORY: right[CATEGORY] * 0 + torch.tensor([-1, -1, 0]), NUMBER: right[NUMBER] * torch.nan},
            right.axes,
            right.lengths,
        )


class KeepsACopy(WordsProcessor):
    """Says from a copy of the words what elements hold, and hides whole rows."""

    def prepare(self, inputs):
        right = super().prepare(inputs)
        tensors = {"words": right.batch["words"], "copy": right.batch["words"]}
        return replace(right, batch=Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), right.batch.lengths))

    def element_values(self, batch):
        return super().element_values(words(batch, batch["copy"]))

    def mask_elements(self, batch, hidden, seeds):
        made = torch.where(hidden.any(1, keepdim=True), 0, batch["words"])
        return Batch({"words": made, "copy": batch["copy"]}, batch.axes, batch.lengths)


class LongerRows(WordsProcessor):
    """Counts padding among the elements."""

    def element_values(self, batch):
        right = super().element_values(batch)
        return Batch(
            right.tensors,
            right.axes,
            {ELEMENT_AXIS: torch.full_like(right.lengths[ELEMENT_AXIS], right.longest(ELEMENT_AXIS))},
        )


def words(batch: Batch, changed: torch.Tensor) -> Batch:
    return Batch({"words": changed}, {"words": (ELEMENT_AXIS,)}, batch.lengths)


def in_place(right, batch, hidden, seeds):
    batch["words"][hidden] = 0
    return batch


def the_next(right, batch, hidden, seeds):
    """Hides the element after the one that is meant."""
    return words(batch, batch["words"].masked_fill(hidden.roll(1, 1) & batch.mask(ELEMENT_AXIS), 0))


def every(right, batch, hidden, seeds):
    """Hides the whole row once something is to be hidden."""
    return words(batch, torch.where(hidden.any(1, keepdim=True), 0, batch["words"]))


def nothing(right, batch, hidden, seeds):
    return batch


def always(right, batch, hidden, seeds):
    return words(batch, batch["words"].masked_fill(batch["words"] == batch["words"][:, :1], 0))


def nearly(right, batch, hidden, seeds):
    """Even and odd words are hidden by different signs."""
    return words(batch, torch.where(hidden, 1 + batch["words"] % 2, batch["words"]))


def the_number_stays(right, batch, hidden, seeds):
    return Batch({**right.tensors, "numbers": batch["numbers"]})


def at_random(right, batch, hidden, seeds):
    drawn = torch.randint(1, 64, hidden.shape)
    return words(batch, torch.where(hidden, drawn, batch["words"]))


def by_the_first_seed(right, batch, hidden, seeds):
    return words(batch, torch.where(hidden, 1 + seeds[0], batch["words"]))


class Choosing(MaskedElements):
    """A head that chooses otherwise."""

    def __init__(self, change: Callable[..., torch.Tensor]):
        super().__init__(MaskedElementsConfig())
        self.change = change

    def choose_masked(self, held, seeds):
        return self.change(super().choose_masked(held, seeds), held, seeds)


class Asking(MaskedElements):
    """A head that asks for other elements."""

    def __init__(self, change: Callable[..., torch.Tensor]):
        super().__init__(MaskedElementsConfig())
        self.change = change

    def choose_scored(self, held, seeds):
        return self.change(super().choose_scored(held, seeds), held, seeds)


class OtherTruth(MaskedElements):
    def __init__(self):
        super().__init__(MaskedElementsConfig())

    def decode_targets(self, encoded, target):
        return [list(row.values()) for row in super().decode_targets(encoded, target)]


@dataclass(frozen=True)
class Planted:
    check: Callable[..., None]
    make: Callable[[], Any]
    given: Any
    message: str

    def __str__(self) -> str:
        return f"{self.check.__name__.removeprefix('check_')}: {self.message.splitlines()[1][:60]}"


class HidesGrids(Pictures):
    @property
    def description(self):
        return replace(super().description, can_mask=True)


SOUND, FITS = of_hiding.check_element_schema_is_valid, of_hiding.check_element_values_match_the_schema
REST, LEAK = of_hiding.check_masking_changes_only_masked_elements, of_hiding.check_masked_values_do_not_leak
SEED, CHOICE = of_hiding.check_masking_depends_on_the_seed_alone, of_hiding.check_masked_elements_are_chosen_by_seed

PLANTED = (
    Planted(
        of_backbone.check_description_is_valid,
        HidesGrids,
        None,
        "HidesGrids breaks the law 'the description is sound':\n"
        "it hides elements, but emits no sequence.\n"
        "Emit sequence as well, or say can_mask=False.",
    ),
    Planted(
        SOUND,
        processing(Words, Nothing),
        None,
        "Spoiled breaks the law 'what elements hold is described as JSON':\n"
        "contents is a NoneType, not ElementSchema.\n"
        "Give ElementSchema, decided when the processor was built.",
    ),
    Planted(
        SOUND,
        processing(Words, Growing),
        None,
        "Spoiled breaks the law 'what elements hold is described as JSON':\n"
        "asked twice, ElementSchema(kinds=(ElementKind(name='word', categories=64, numbers=0),), by_position=False) is "
        "ElementSchema(kinds=(ElementKind(name='word', categories=66, numbers=0),), by_position=False).\n"
        "Give ElementSchema, decided when the processor was built.",
    ),
    Planted(
        FITS,
        holding(lambda right: {CATEGORY: right[CATEGORY].int()}),
        WORDS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "'category' is torch.int32 (6, 7), padded along ('element',), not torch.int64 with 2 axes, padded along "
        "('element',).\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        processing(Words, LongerRows),
        WORDS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "the rows hold [7, 7, 7, 7, 7, 7] elements, but their sequence features have other lengths.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        processing(Cells, FewerKinds),
        CELLS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "there are 2 kinds by position, but rows of [3] elements.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        processing(Cells, FewerColours),
        CELLS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "'colour' has 2 categories, but elements hold -1 to 2.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        processing(Cells, OneNumber),
        CELLS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "'span' has 1 numbers, but elements hold more, or others than finite ones and NaN.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        holding(lambda right: {CATEGORY: right[CATEGORY] % len(right)}),
        WORDS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "row 0 holds something else alone.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        holding(lambda right: {CATEGORY: right[CATEGORY] % right.longest(ELEMENT_AXIS)}),
        WORDS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "row 0 holds something else with more padding.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        FITS,
        processing(Cells, HoldsTheSame),
        CELLS,
        "Spoiled breaks the law 'what elements hold fits the contents, and depends on the row alone':\n"
        "all rows hold the same.\n"
        "Read it from the batch: -1 and NaN where there is nothing to recover, an element per vector of the sequence "
        "features.",
    ),
    Planted(
        REST,
        hiding(Words, WordsProcessor, always),
        WORDS,
        "Spoiled breaks the law 'hiding changes the hidden elements and no others':\n"
        "hiding nothing changes the batch.\n"
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    ),
    Planted(
        REST,
        hiding(Words, WordsProcessor, in_place),
        WORDS,
        "Spoiled breaks the law 'hiding changes the hidden elements and no others':\n"
        "hiding changes the batch that it was given.\n"
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    ),
    Planted(
        REST,
        hiding(Words, WordsProcessor, the_next),
        WORDS,
        "Spoiled breaks the law 'hiding changes the hidden elements and no others':\n"
        "after one element of a row was hidden, others hold something else.\n"
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    ),
    Planted(
        REST,
        hiding(Words, WordsProcessor, nothing),
        WORDS,
        "Spoiled breaks the law 'hiding changes the hidden elements and no others':\n"
        "the features of row 0 are the same with an element hidden.\n"
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    ),
    Planted(
        REST,
        hiding(Words, WordsProcessor, every),
        WORDS,
        "Spoiled breaks the law 'hiding changes the hidden elements and no others':\n"
        "after one element of a row was hidden, others hold something else.\n"
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    ),
    Planted(
        REST,
        processing(Words, KeepsACopy),
        WORDS,
        "Spoiled breaks the law 'hiding changes the hidden elements and no others':\n"
        "the features of row 0 are the same with one element hidden and with all.\n"
        "Replace what stands at the hidden positions in a copy of the batch, whose other positions stay as they are.",
    ),
    Planted(
        LEAK,
        hiding(Words, WordsProcessor, nearly),
        WORDS,
        "Spoiled breaks the law 'nothing is left of what hidden elements held':\n"
        "the features of rows 0 and 3 differ, although all their elements are hidden.\n"
        "Clear every tensor of the batch that depends on a hidden element; what stands in its place comes from the "
        "seed alone. If rows hold something besides elements, give no two that have as many elements and differ in the rest.",
    ),
    Planted(
        LEAK,
        hiding(Cells, CellsProcessor, the_number_stays),
        CELLS,
        "Spoiled breaks the law 'nothing is left of what hidden elements held':\n"
        "the features of rows 0 and 1 differ, although all their elements are hidden.\n"
        "Clear every tensor of the batch that depends on a hidden element; what stands in its place comes from the "
        "seed alone. If rows hold something besides elements, give no two that have as many elements and differ in the rest.",
    ),
    Planted(
        SEED,
        hiding(Words, WordsProcessor, at_random),
        WORDS,
        "Spoiled breaks the law 'how a row is hidden depends on the row and its seed alone':\n"
        "hiding twice with the same seeds differs.\n"
        "Draw whatever is drawn for a row from its own seed.",
    ),
    Planted(
        SEED,
        hiding(Words, WordsProcessor, by_the_first_seed),
        WORDS,
        "Spoiled breaks the law 'how a row is hidden depends on the row and its seed alone':\n"
        "row 1 is hidden otherwise alone than among others.\n"
        "Draw whatever is drawn for a row from its own seed.",
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right.int()),
        KINDS,
        "Choosing breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "choose gives torch.int32 (32, 3), not torch.bool (32, 3).\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right | ~maskable(held)),
        KINDS,
        "Choosing breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "an element is hidden that holds nothing to recover.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right & (held[CATEGORY] >= 0)),
        KINDS,
        "Choosing breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "of a row that holds something, nothing is hidden.\n"
        "Hide one element at least.",
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right | (maskable(held) & (torch.rand(right.shape) < 0.3))),
        KINDS,
        "Choosing breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "choosing twice by the same seeds differs.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right | (maskable(held) & right[:1])),
        KINDS,
        "Choosing breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "of row 1 other elements are hidden alone than among others.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: maskable(held)),
        KINDS,
        "Choosing breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "by other seeds the same elements are hidden.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Asking(lambda right, held, seeds: right.int()),
        KINDS,
        "Asking breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "ask gives torch.int32 (32, 3), not torch.bool (32, 3).\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Asking(lambda right, held, seeds: right & (held[CATEGORY] >= 0)),
        KINDS,
        "Asking breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "an element is hidden that is not asked for.\n"
        "Ask for what is hidden by the same seeds, at least.",
    ),
    Planted(
        CHOICE,
        lambda: Asking(lambda right, held, seeds: right | ~maskable(held)),
        KINDS,
        "Asking breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "an element is asked for that holds nothing to recover.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Asking(lambda right, held, seeds: right | (maskable(held) & right[:1])),
        KINDS,
        "Asking breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "of row 1 other elements are asked for alone than among others.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        CHOICE,
        lambda: Asking(lambda right, held, seeds: right | (maskable(held) & (torch.rand(right.shape) < 0.3))),
        KINDS,
        "Asking breaks the law 'which elements of a row are hidden depends on what it holds and its seed alone':\n"
        "asking twice by the same seeds differs.\n"
        "Draw from the seed of the row, for each element by its position; choose elements that hold something.",
    ),
    Planted(
        of_head.check_predictions_have_the_form_of_targets,
        OtherTruth,
        KINDS,
        "OtherTruth breaks the law 'truth and predictions are one per row, in the user's words':\n"
        "the truth [None, [#, #], None] is predicted as {'size': #, 'span': [#, #], 'colour': 'blue'}.\n"
        "Decode both with the target description; count classes in 'classes'.",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    with pytest.raises(ContractViolation) as caught:
        planted.check(planted.make(), *([] if planted.given is None else [planted.given]))
    assert re.sub(r"-?\d+\.\d+", "#", str(caught.value)) == planted.message


def test_examples_of_which_no_two_can_be_compared_are_refused():
    texts = {"text": ["one", "two words", "three words here", "four words are there"]}
    with pytest.raises(InsufficientExamples) as caught:
        LEAK(Words().eval(), texts)
    assert str(caught.value) == (
        "The examples given for Words prove nothing: no two rows have as many elements and differ in what those hold; give two "
        "that do."
    )


def test_examples_that_hold_nothing_are_refused():
    with pytest.raises(InsufficientExamples) as caught:
        FITS(holding(lambda right: {CATEGORY: torch.full_like(right[CATEGORY], -1)})(), WORDS)
    assert str(caught.value) == (
        "The examples given for Spoiled prove nothing: no element holds anything that could be recovered."
    )


def test_a_backbone_that_hides_nothing_passes():
    class Bare(CellsProcessor):
        element_schema = property(lambda self: 1 / 0)

    class Open(Cells):
        description = property(lambda self: replace(super().description, can_mask=False))
        processor = property(lambda self: Bare())

    SOUND(Open())
    for check in (FITS, REST, LEAK, SEED):
        check(Open(), CELLS)
