"""Laws of masking: a backbone reports the values of its elements, and removes every trace of those that are masked."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema, maskable
from taskgraft.testing.backbone_fixture import BackboneUnderTest, prepare_backbone
from taskgraft.testing.check import InsufficientExamples, Law, law_check
from taskgraft.testing.compare import batch_difference, features_agree, same_bits


@law_check("Return an ElementSchema that was fixed when the processor was built.")
def check_element_schema_is_valid(law: Law, backbone: Backbone) -> None:
    """The element schema survives JSON and the way to another process, and is the same on every call.

    A backbone that cannot mask elements passes this check and those below.
    """
    if not backbone.description.can_mask:
        return
    with law.must_succeed("element_schema"):
        schema = backbone.processor.element_schema
    if not isinstance(schema, ElementSchema):
        raise law.violation(f"element_schema is a {type(schema).__name__}, not an ElementSchema")
    read = ElementSchema.model_validate(json.loads(json.dumps(schema.model_dump(mode="json"))))
    sent = pickle.loads(pickle.dumps(backbone.processor)).element_schema  # noqa: S301  what was pickled in this line
    for when, other in (
        ("written as JSON and read again", read),
        ("on a second call", backbone.processor.element_schema),
        ("in another process", sent),
    ):
        if other != schema:
            raise law.violation(f"{when}, {schema!r:.150} is {other!r:.150}")


@law_check(
    "Read them from the batch: -1 and NaN where there is nothing to recover, one element per vector of the sequence."
)
def check_element_values_match_the_schema(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Element values match the schema and the features, do not depend on the batch, and differ between rows."""
    if (tested := _prepare(backbone, inputs)) is None:
        return
    with law.must_succeed("element_values"):
        values = tested.values()
    _check_form(law, tested, values)
    longer = collate([tested.batch], tested.prepared.padded_lengths)
    for row in range(len(values)):
        for how, other in (
            ("alone", tested.values(tested.batch.select([row]))),
            ("with more padding", tested.values(longer)),
        ):
            if not _same_rows(values, row, other, row if len(other) > 1 else 0):
                raise law.violation(f"row {row} has other element values {how}")
    if not bool(maskable(values).any()):
        raise InsufficientExamples(law.who, "no element has a value that could be recovered")
    if all(_same_rows(values, 0, values, row) for row in range(len(values))):
        raise law.violation("all rows have the same element values")


@law_check("Replace the values at masked positions in a copy of the batch, and leave every other position as it is.")
def check_masking_changes_only_masked_elements(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """An empty mask changes nothing; masking an element changes the features and leaves the values of all others."""
    if (tested := _prepare(backbone, inputs)) is None:
        return
    values, can = tested.values(), maskable(tested.values())
    before = collate([tested.batch])
    with law.must_succeed("masking no element"):
        unmasked = tested.mask(torch.zeros_like(can))
    if not _same(unmasked, tested.batch):
        raise law.violation("an empty mask changes the batch")
    with_all_masked = tested.features(tested.mask(can))
    for masked in _one_element_at_a_time(can):
        with law.must_succeed("masking one element of each row"):
            batch = tested.mask(masked)
        if not _same(tested.batch, before):
            raise law.violation("masking changes the batch that was passed in")
        after, rest = tested.values(batch), can & ~masked
        if not all(same_bits(values[name][rest], after[name][rest]) for name in (CATEGORY, NUMBER)):
            raise law.violation("after one element of a row was masked, others have other values")
        for row in masked.any(1).nonzero()[:, 0].tolist():
            features = tested.features(batch).select([row])
            if features_agree(features, tested.features().select([row])):
                raise law.violation(f"the features of row {row} are the same with an element masked")
            if bool(rest[row].any()) and features_agree(features, with_all_masked.select([row])):
                raise law.violation(f"the features of row {row} are the same with one element masked and with all")


@law_check(
    "Clear every tensor of the batch that depends on a masked element; its replacement depends on the seed alone. "
    "If rows hold something besides elements, give no two rows with the same number of elements that differ in the rest."
)
def check_masked_values_do_not_leak(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Two rows with the same number of elements have the same features once all of them are masked with the same seed.

    Where rows hold something besides elements, those with the same number of elements must agree in it.

    Raises:
        InsufficientExamples: when no two rows have the same number of elements and different values.
    """
    if (tested := _prepare(backbone, inputs)) is None:
        return
    values = tested.values()
    features = tested.features(tested.mask(values.mask(ELEMENT_AXIS), [7] * len(values)))
    pairs = list(_pairs_of_one_length(values))
    if not pairs:
        raise InsufficientExamples(
            law.who, "no two rows have the same number of elements and different values; give two that do"
        )
    for one, other in pairs:
        if not features_agree(features.select([one]), features.select([other])):
            raise law.violation(
                f"the features of rows {one} and {other} differ, although all their elements are masked"
            )


@law_check("Take every random number for a row from its own seed.")
def check_masking_depends_on_the_seed_alone(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """The same seeds mask in the same way, row by row."""
    if (tested := _prepare(backbone, inputs)) is None:
        return
    can = maskable(tested.values())
    seeds = list(range(len(can)))
    batch = tested.mask(can, seeds)
    if not _same(batch, tested.mask(can, seeds)):
        raise law.violation("masking twice with the same seeds differs")
    for row in seeds:
        alone = tested.batch.select([row])
        masked = can[[row], : tested.values(alone)[CATEGORY].shape[1]]
        if not _same_rows(batch, row, backbone.processor.mask_elements(alone, masked, [row]), 0):
            raise law.violation(f"row {row} is masked differently alone and in a batch")


@dataclass(frozen=True)
class _MaskingBackbone:
    """A backbone that can mask elements, with processed examples."""

    prepared: BackboneUnderTest

    @property
    def batch(self) -> Batch:
        return self.prepared.batch

    def values(self, batch: Batch | None = None) -> Batch:
        return self.prepared.backbone.processor.element_values(self.batch if batch is None else batch)

    def mask(self, masked: Tensor, seeds: list[int] | None = None) -> Batch:
        return self.prepared.backbone.processor.mask_elements(self.batch, masked, seeds or list(range(len(masked))))

    def features(self, batch: Batch | None = None) -> Features:
        return self.prepared.features(Layout.SEQUENCE, batch)


def _prepare(backbone: Backbone, inputs: Columns) -> _MaskingBackbone | None:
    return _MaskingBackbone(prepare_backbone(backbone, inputs)) if backbone.description.can_mask else None


def _check_form(law: Law, tested: _MaskingBackbone, values: Batch) -> None:
    schema, features = tested.prepared.backbone.processor.element_schema, tested.features()
    for name, dtype, axes in ((CATEGORY, torch.int64, 2), (NUMBER, torch.float32, 3)):
        tensor = values.tensors.get(name)
        if tensor is None or tensor.dtype != dtype or tensor.dim() != axes or values.axes.get(name) != (ELEMENT_AXIS,):
            shape = "missing"
            if tensor is not None:
                shape = f"{tensor.dtype} {tuple(tensor.shape)}, padded along {values.axes.get(name)}"
            raise law.violation(f"'{name}' is {shape}, not {dtype} with {axes} axes, padded along ('{ELEMENT_AXIS}',)")
    lengths = values.lengths[ELEMENT_AXIS].tolist()
    if features.lengths is None or lengths != features.lengths.tolist():
        raise law.violation(f"the rows have {lengths} elements, but their sequence features have other lengths")
    if schema.by_position and set(lengths) != {len(schema.kinds)}:
        raise law.violation(
            f"there are {len(schema.kinds)} kinds by position, but rows of {sorted(set(lengths))} elements"
        )
    for position, kind in enumerate(schema.kinds):
        place = slice(position, position + 1) if schema.by_position else slice(None)
        real = values.mask(ELEMENT_AXIS)[:, place]
        _check_kind(law, kind, values[CATEGORY][:, place][real], values[NUMBER][:, place][real])


def _check_kind(law: Law, kind: ElementKind, category: Tensor, number: Tensor) -> None:
    """Check the values of the elements of one kind, padding left out."""
    categories = 0 if kind.numbers else kind.outputs
    if category.numel() and not -1 <= int(category.min()) <= int(category.max()) < categories:
        raise law.violation(
            f"'{kind.name}' has {categories} categories, but elements have {int(category.min())} to {int(category.max())}"
        )
    too_few, infinite = number.shape[-1] < kind.numbers, bool(number.isinf().any())
    if too_few or infinite or not bool(number[:, kind.numbers :].isnan().all()):
        raise law.violation(
            f"'{kind.name}' has {kind.numbers} numbers per element, but the values hold more, or some that are neither "
            "finite nor NaN"
        )


def _one_element_at_a_time(can: Tensor) -> Iterator[Tensor]:
    """Select in each row the first maskable element, then the second, as long as a row has another."""
    number = can.cumsum(1)
    for one in range(1, int(number.max()) + 1):
        yield can & (number == one)


def _pairs_of_one_length(values: Batch) -> Iterator[tuple[int, int]]:
    """List pairs of rows with the same number of elements and different values."""
    lengths = values.lengths[ELEMENT_AXIS].tolist()
    for one in range(len(values)):
        for other in range(one):
            if lengths[one] == lengths[other] and not _same_rows(values, one, values, other):
                yield other, one


def _same_rows(first: Batch, row: int, second: Batch, other: int) -> bool:
    return batch_difference(first.select([row]), second.select([other])) is None


def _same(first: Batch, second: Batch) -> bool:
    """Compare two batches without the padding that no row needs."""
    return batch_difference(*(batch.select(range(len(batch))) for batch in (first, second))) is None
