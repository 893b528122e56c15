"""Checks of the labels: marks that stand for no label, spellings, and classes that are hardly learned or never validated."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.contract.descriptions import HeadDescription, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.targets import TargetDescription, is_missing
from taskgraft.data.dataset import target_columns
from taskgraft.data.label_reading import IGNORE_INDEX, LabelReader, flat_labels, parse_list
from taskgraft.errors import closest_match, join_words
from taskgraft.labels import Label, label_key, to_json_label
from taskgraft.reading.errors import DataError
from taskgraft.reading.format_advice import MISSING_MARKS
from taskgraft.reading.known_labels import alike_form
from taskgraft.recipe import DataConfig

_MANY_NUMBERS = 20
"""More classes than this that are numbers, some with a fraction, are hardly classes."""

_SHOWN = 5
"""Labels that one sentence names."""


def check_label_marks(head: HeadDescription, rows: Rows, data: DataConfig) -> None:
    """Reject labels that may stand for no label, before anything is fitted to them.

    Raises:
        InvalidRows: for one negative number beside two or more whole numbers from 0, unless ``data.labels`` says what it means.
        DataError: if each label is a list that was written as text.
    """
    reader = LabelReader.of(head, data)
    if reader is None or not _holds_labels(reader):
        return
    for column in data.target:
        labels = _LabelCounts.of(reader, column, rows)
        if head.target == TargetKind.CATEGORY and labels.used and all(_is_list(key) for key in labels.used):
            raise DataError(
                f"The target column '{column}' holds lists that were written as text ({min(labels.used)!r:.60}), not one label "
                "per row. To predict several labels per row, choose the head 'multi-label'."
            )
        numbers = {key: _whole_number(key) for key in labels.used}
        negative = [key for key, number in numbers.items() if number is not None and number < 0]
        if None not in numbers.values() and len(negative) == 1 and len(numbers) > 2 and negative[0] not in reader.names:
            raise _ambiguous_mark(reader, column, rows, negative[0])


def label_warnings(
    head: Head[Any], target: TargetDescription, data: DataConfig, training: Rows, validation: Rows | None
) -> tuple[str, ...]:
    """Check the labels of the training and the validation rows, without invalid ones."""
    reader = LabelReader.of(head.description, data)
    if reader is None:
        return ()
    warnings: list[str] = []
    unused = set(reader.names)
    for column in data.target:
        labels = _LabelCounts.of(reader, column, training)
        unused -= {*labels.written, *({""} if labels.missing else ())}
        if _holds_labels(reader):
            warnings += _ignored_elements(column, labels)
            warnings += _spellings(column, labels)
            warnings += _similar_labels(reader, column, labels)
            warnings += _missing_words(reader, column, labels)
            warnings += _number_classes(reader, column, labels)
    columns = (
        f"column {data.target[0]!r}" if len(data.target) == 1 else f"columns {join_words(map(repr, data.target), 3)}"
    )
    counts = _rows_per_label(reader, head, target, data, training)
    warnings += _rare_labels(reader, columns, counts)
    if validation is not None:
        warnings += _absent_labels(columns, counts, _rows_per_label(reader, head, target, data, validation))
    return (*warnings, *_unused_names(unused, counts))


# --- counts


@dataclass(frozen=True)
class _LabelCounts:
    """How often each label occurs in one column.

    Attributes:
        written: label key → spelling → count, as the data have them, without missing ones.
        used: label key → count, as they are read.
        ignored: how many are the ignore index.
        missing: whether there is an empty cell.
    """

    written: Mapping[str, Mapping[Label, int]]
    used: Mapping[str, int]
    ignored: int
    missing: bool

    @classmethod
    def of(cls, reader: LabelReader, column: str, rows: Rows) -> "_LabelCounts":
        raw = _count_raw(reader, column, rows)
        written: dict[str, dict[Label, int]] = defaultdict(dict)
        used, ignored = Counter[str](), 0
        for value, count in raw.items():
            written[label_key(to_json_label(value))][to_json_label(value)] = count
            label = reader.label(value)
            if not is_missing(label):
                used[label_key(to_json_label(label))] += count
            elif label_key(to_json_label(value)) == IGNORE_INDEX and IGNORE_INDEX not in reader.names:
                ignored += count
        return cls(written, used, ignored, rows.column(column).null_count > 0 or "" in written)


def _count_raw(reader: LabelReader, column: str, rows: Rows) -> Mapping[Any, int]:
    cells = rows.column(column)
    is_list = reader.lists and pa.types.is_list(cells.type)
    flat = pc.list_flatten(cells) if is_list else cells
    if is_list == reader.lists and not pa.types.is_nested(flat.type):
        pairs = pc.value_counts(flat.combine_chunks()).to_pylist()
        return {pair["values"]: pair["counts"] for pair in pairs if not is_missing(pair["values"])}
    labels = flat_labels(reader.cells(column, rows.values(column)))
    return Counter(label if isinstance(label, str | bool | int | float) else str(label) for label in labels)


def _rows_per_label(
    reader: LabelReader, head: Head[Any], target: TargetDescription, data: DataConfig, rows: Rows
) -> Mapping[str, int]:
    """Count the rows, or elements, of each label, by key. Of several labels per row, those that are true."""
    if reader.kind != TargetKind.CATEGORIES:
        return _LabelCounts.of(reader, data.target[0], rows).used
    truth = head.decode_targets(head.encode(target_columns(head, rows, data), target), target)
    counts = Counter({label_key(to_json_label(label)): 0 for row in truth[:1] for label in row})
    counts.update(label_key(to_json_label(label)) for row in truth for label, present in row.items() if present)
    return counts


def _holds_labels(reader: LabelReader) -> bool:
    """Return whether the columns hold labels, and not 0 or 1 for a label each."""
    return reader.kind != TargetKind.CATEGORIES or reader.lists


# --- warnings


def _ignored_elements(column: str, labels: _LabelCounts) -> Iterable[str]:
    if labels.ignored:
        total = labels.ignored + sum(labels.used.values())
        yield (
            f"{labels.ignored:,} of {total:,} elements have the label {IGNORE_INDEX} in the target column '{column}': they are "
            f"unlabelled, as in PyTorch. If it is a class, set {_setting({IGNORE_INDEX: IGNORE_INDEX})}."
        )


def _spellings(column: str, labels: _LabelCounts) -> Iterable[str]:
    several = {key: [*map(str, spellings)] for key, spellings in labels.written.items() if len(spellings) > 1}
    if several:
        example = join_words(map(_visible, sorted(several[min(several)])), 3)
        yield (
            f"The target column '{column}' spells {len(several):,} of {len(labels.written):,} labels in several ways, which "
            f"differ in white space, Unicode form or invisible characters ({example}). They are read as one label each."
        )


def _similar_labels(reader: LabelReader, column: str, labels: _LabelCounts) -> Iterable[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key in labels.used:
        if reader.names.get(key) != key:
            groups[alike_form(key)].append(key)
    similar = [sorted(keys, key=lambda key: (-labels.used[key], key)) for keys in groups.values() if len(keys) > 1]
    if similar:
        similar.sort()
        texts = (" and ".join(f"'{key}' ({labels.used[key]:,})" for key in keys) for keys in similar)
        pairs = {key: keys[0] for keys in similar for key in keys[1:]}
        yield (
            f"The target column '{column}' has labels that differ only in case or in characters that look alike: "
            f"{join_words(texts, _SHOWN)}. They are different classes. To merge them, set {_setting(pairs)}."
        )


def _missing_words(reader: LabelReader, column: str, labels: _LabelCounts) -> Iterable[str]:
    elements = reader.kind == TargetKind.ELEMENT_CATEGORIES
    marks = {key for key in labels.used if key.lower() in MISSING_MARKS and reader.names.get(key) != key}
    found = sorted(key for key in marks if not elements or key.isalpha())  # punctuation has labels, too
    if found:
        skip = ' with data.on_bad_row = "skip"' if reader.kind == TargetKind.CATEGORY else ""
        texts = join_words((f"'{key}' ({labels.used[key]:,})" for key in found), _SHOWN)
        yield (
            f"The target column '{column}' has the label {texts}, which is read as a class. If it means that there is none, "
            f"set {_setting(dict.fromkeys(found, ''))}{skip}; if it is a class, {_setting({key: key for key in found})}."
        )


def _number_classes(reader: LabelReader, column: str, labels: _LabelCounts) -> Iterable[str]:
    numbers = [_number(key) for key in labels.used]
    fractions = [number for number in numbers if number is not None and not number.is_integer()]
    if reader.kind == TargetKind.CATEGORY and len(numbers) > _MANY_NUMBERS and None not in numbers and fractions:
        yield (
            f"The target column '{column}' has {len(numbers):,} different numbers, each of which is a class of its own. To "
            "predict a number, choose the head 'regression'."
        )


def _rare_labels(reader: LabelReader, columns: str, counts: Mapping[str, int]) -> Iterable[str]:
    where = (
        "on a single training element" if reader.kind == TargetKind.ELEMENT_CATEGORIES else "in a single training row"
    )
    if single := sorted(key for key, count in counts.items() if count == 1):
        yield (
            f"The target {columns} has {len(single):,} of {len(counts):,} labels {where}: "
            f"{join_words(map(repr, single), _SHOWN)}. Such a class is hardly learned, and its score says little."
        )
    if never := sorted(key for key, count in counts.items() if not count):
        yield (
            f"{len(never):,} of {len(counts):,} labels of the target {columns} are true in no training row: "
            f"{join_words(map(repr, never), _SHOWN)}. They cannot be learned."
        )


def _absent_labels(columns: str, training: Mapping[str, int], validation: Mapping[str, int]) -> Iterable[str]:
    if absent := sorted(key for key, count in training.items() if count and not validation.get(key)):
        yield (
            f"{len(absent):,} of {len(training):,} labels of the target {columns} occur in no validation row: "
            f"{join_words(map(repr, absent), _SHOWN)}. The validation scores say nothing about them."
        )


def _unused_names(unused: Iterable[str], counts: Mapping[str, int]) -> Iterable[str]:
    for name in sorted(unused):
        near = closest_match(name, counts)
        meant = f" Did you mean '{near}'?" if near and near != name else ""
        label = f"'{name}'" if name else "the empty cell"
        yield f"data.labels maps {label}, which no training row has.{meant}"


# --- marks


def _ambiguous_mark(reader: LabelReader, column: str, rows: Rows, mark: str) -> InvalidRows:
    marked = (
        row
        for row, cell in enumerate(reader.cells(column, rows.values(column)))
        if any(label_key(to_json_label(label)) == mark for label in flat_labels([cell]))
    )
    per_row = reader.kind == TargetKind.CATEGORY
    what = f"is {mark}" if per_row else f"has the label {mark}"
    reason = f"the target column '{column}' {what}, beside whole numbers from 0: a class, or a mark for no label"
    skip = ' and data.on_bad_row = "skip"' if per_row else ""
    advice = f"If it marks no label, set {_setting({mark: ''})}{skip}. If it is a class, set {_setting({mark: mark})}."
    return InvalidRows(rows, dict.fromkeys(marked, reason), advice)


def _whole_number(key: str) -> int | None:
    number = _number(key)
    return int(number) if number is not None and number.is_integer() else None


def _number(key: str) -> float | None:
    try:
        number = float(key)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _is_list(key: str) -> bool:
    try:
        return parse_list(key) is not None
    except ValueError:
        return True


def _visible(text: str) -> str:
    """Return a text in quotation marks, with escapes for characters that cannot be told apart by eye."""
    return repr(text) if text.isascii() else ascii(text)


def _setting(names: Mapping[str, str]) -> str:
    """Write a mapping of labels as the recipe has it; of a long one, the first entries."""
    pairs = [f'"{key}" = "{name}"' for key, name in [*names.items()][:_SHOWN]]
    return f"data.labels = {{{', '.join(pairs + ['…'] * (len(names) > _SHOWN))}}}"
