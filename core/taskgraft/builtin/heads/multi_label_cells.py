"""What the cells of a multi-label target hold: labels, or 0 and 1 for each label. Imports no torch."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from taskgraft.builtin.heads.configs import MultiLabelConfig
from taskgraft.contract.targets import TargetError, is_missing, raise_invalid
from taskgraft.labels import Label, to_json_label

Cell = list[Any] | dict[Label, float] | None
"""The labels of a row or its one-hot values; or label → 1, 0 or :data:`UNKNOWN`; None if the cell is empty."""

UNKNOWN = -1.0
"""The encoded target of a label that is unknown."""

_BITS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}

_SEPARATORS = (",", ";", "|", "/", " ")
"""What separates labels in texts that people write, the likeliest first."""


def read_cells(column: str, values: Sequence[Any], separator: str) -> list[Cell]:
    """Read the cells of one column. A text is split at the separator.

    Raises:
        InvalidTargets: naming rows that hold neither labels nor a value per label.
    """
    reasons: dict[int, str] = {}
    cells: list[Cell] = []
    for row, value in enumerate(values):
        cells.append(None)
        if is_missing(value):
            continue
        if isinstance(value, str):
            cells[row] = [part.strip() for part in value.split(separator) if part.strip()]
        elif isinstance(value, Mapping):
            bits = {to_json_label(label): to_bit(one) for label, one in value.items()}
            wrong = [label for label, bit in bits.items() if bit is None]
            if wrong:
                reasons[row] = (
                    f"the target column '{column}' has {not_a_bit(value[wrong[0]])} for the label {wrong[0]!r}"
                )
            cells[row] = {label: bit for label, bit in bits.items() if bit is not None}
        elif isinstance(value, Iterable):
            cells[row] = [None if is_missing(one) else to_json_label(one) for one in value]
            if wrong := [one for one in value if _is_no_label(one)]:
                reasons[row] = (
                    f"the target column '{column}' holds {wrong[0]!r:.60}, which is not a label (text or integer)"
                )
        else:
            reasons[row] = f"the target column '{column}' is {value!r}, not a list of labels"
    raise_invalid(reasons)
    return cells


def to_bit(value: Any) -> float | None:
    """Return 1 or 0, :data:`UNKNOWN` for a missing value, or None for any other."""
    return UNKNOWN if is_missing(value) else _BITS.get(str(to_json_label(value)).strip().lower())


def not_a_bit(value: Any) -> str:
    """Return a value that is not 0 or 1, and what is expected, for messages."""
    hint = ' (if -1 stands for unknown, set data.labels = {"-1" = ""})' if str(value) in ("-1", "-1.0") else ""
    return f"{value!r}, not 0, 1 or empty{hint}"


def known_labels(cells: Sequence[Cell]) -> Iterator[Label]:
    """Iterate over the labels of all cells."""
    return (label for cell in cells for label in cell or () if not is_missing(label))


def one_hot_places(column: str, cells: Sequence[Cell], config: MultiLabelConfig) -> tuple[str, ...]:
    """Return the labels of one-hot lists: the names of the settings, or the column and the place; empty for lists of labels.

    Raises:
        TargetError: for lists of 0 and 1 that are not of one length, so that 0 and 1 may be the labels themselves.
        InvalidTargets: naming rows without a 0 or 1 for each label, where the settings or the other rows are one-hot.
    """
    lists = {row: cell for row, cell in enumerate(cells) if isinstance(cell, list)}
    lengths = Counter(map(len, filter(None, lists.values())))
    asked = config.lists == "one-hot" or bool(config.classes)
    bits = bool(lengths) and all(to_bit(value) is not None for cell in lists.values() for value in cell)
    if config.lists == "labels" or not (asked or bits):
        return ()
    if not asked and len(lengths) > 1:
        raise TargetError(
            f"The target column '{column}' holds lists of 0 and 1 of different lengths ({min(lengths)} to {max(lengths)}). If "
            'each list has 0 or 1 for every label, all need one length; if 0 and 1 are labels, set head.lists = "labels".'
        )
    if not asked and max(lengths) == 1:
        raise TargetError(
            f"The target column '{column}' holds a single 0 or 1 per row. To predict one label per row, choose the head "
            "'classification'; if 0 and 1 are labels of which a row may have several, set head.lists = \"labels\"."
        )
    places = len(config.classes) or lengths.most_common(1)[0][0] if lengths else 0
    raise_invalid(
        {
            row: f"the target column '{column}' is {cell!r:.60}, not 0 or 1 for each of {places:,} labels"
            for row, cell in lists.items()
            if len(cell) != places or any(to_bit(value) is None for value in cell)
        }
    )
    return config.classes or tuple(f"{column}_{place}" for place in range(places))


def check_separator(column: str, cells: Sequence[Cell], separator: str) -> None:
    """Reject texts that no separator divides, where another one would.

    Raises:
        TargetError: naming the other separator, if its parts recur as labels do, or most texts have it.
    """
    if any(not isinstance(cell, list | None) or len(cell or ()) > 1 for cell in cells):
        return
    texts = {label for label in known_labels(cells) if isinstance(label, str)}
    for other in _SEPARATORS:
        combined = sorted(text for text in texts if other in text.strip(other))
        parts = {part.strip() for text in texts for part in text.split(other) if part.strip()}
        recur = len(parts) < len(texts) or (len(parts) == len(texts) and other != " ")
        if combined and (recur or (other != " " and 2 * len(combined) > len(texts))):
            raise TargetError(
                f"The target column '{column}' has no {separator!r} (head.separator), but {other!r} in {len(combined):,} of "
                f"{len(texts):,} different texts ({combined[0]!r:.60}), each of which would be a label of its own. If "
                f"{other!r} separates labels, set head.separator = {other!r}; if each text is one label, choose the head "
                "'classification'."
            )


def check_both_occur(what: str, bits: set[float]) -> None:
    """Reject values that are all 1, or all 0, where they are known.

    Args:
        what: what holds them, with its verb, for messages.
    """
    if len(known := bits - {UNKNOWN}) == 1:
        advice = 'If an empty cell means 0, set data.labels = {"" = "0"}.' if known == {1.0} and UNKNOWN in bits else ""
        raise TargetError(
            f"{what} {int(*known)} and no other value, so there is nothing to tell apart. {advice}".rstrip()
        )


def _is_no_label(value: Any) -> bool:
    if isinstance(value, list | tuple | Mapping | bytes):
        return True
    return isinstance(value, float) and not is_missing(value) and not value.is_integer()
