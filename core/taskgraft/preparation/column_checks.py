"""Checks of the input columns: constant ones, identifiers, copies, and columns that alone predict the target."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.errors import join_words
from taskgraft.preparation.leak_checks import find_leaks

_LEAST_TEXTS = 50
"""Rows in which all texts must differ for their column to be an identifier."""

_FIRST_TEXTS = 10_000
"""Texts by which a column is one of numbers or dates."""

_DENSE, _EVIDENCE = 20, 10.0
"""Numbers of an identifier: at most so many times as far apart as there are rows; and by chance they all differ with a
probability below exp(-10)."""

_IDENTIFIER_NAME = r"(?i:(^|[^a-z])(id|uuid|guid|key|number|nr|no)$)|[a-z](Id|ID)$"
_LEAST_NUMBERS = 20
"""A column of this name, with at least so many different whole numbers, is an identifier however far apart they are."""

_CHUNK = 65_536
"""Cells that are hashed at a time."""

_SHOWN = 10
"""Columns that one sentence names."""

_DATE_PATTERN = r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_WHOLE_PATTERN = r"^[+-]?\d+(\.0*)?$"
_NUMBER_PATTERN = r"^[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?$"


def column_warnings(
    rows: Rows, columns: Sequence[str], targets: Mapping[str, Sequence[Any]], kind: TargetKind
) -> tuple[str, ...]:
    """Check the input columns of the training rows of a backbone that reads any columns.

    Args:
        columns: those that the backbone reads.
        targets: target column → raw values, one per row.
        kind: of the target.
    """
    if len(rows) < 2:
        return ()
    cells = _plain_columns(rows, columns)
    constant = [name for name, values in cells.items() if _is_constant(values)]
    same = set(constant)
    varying = {name: values for name, values in cells.items() if name not in same}
    identifiers = [name for name, values in varying.items() if _is_identifier(name, values)]
    warnings = []
    if constant:
        warnings.append(f"{_names(constant)} the same value in all training rows.{_leave_out(constant)}")
    if identifiers:
        problem = "a different value in every training row, as an identifier has"
        warnings.append(f"{_names(identifiers)} {problem}.{_leave_out(identifiers)}")
    for first, copies in _find_copies(varying).items():
        warnings.append(f"{_names(copies)} the same values as '{first}' in all training rows.{_leave_out(copies)}")
    leaks = find_leaks(varying, targets, kind)
    for leak in leaks[:_SHOWN]:
        warnings.append(
            f"'{leak.column}' alone predicts {leak.target} almost perfectly ({leak.score}), which may be a leak. If it is not "
            f"known when the model predicts, leave it out with {_setting([leak.column])}."
        )
    if len(leaks) > _SHOWN:
        warnings.append(f"{len(leaks) - _SHOWN:,} more columns alone predict a target almost perfectly.")
    return tuple(warnings)


def constant_inputs(rows: Rows, columns: Sequence[str]) -> tuple[str, ...]:
    """Check the inputs of a backbone that reads named ones: nothing can be learned from a constant one."""
    constant = [name for name, cells in _plain_columns(rows, columns).items() if len(rows) > 1 and _is_constant(cells)]
    return (f"{_names(constant)} the same value in all training rows.",) if constant else ()


# --- constant columns and identifiers


def _plain_columns(rows: Rows, columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """Return the cells of the columns whose values can be compared: not lists, structs or types of extensions."""
    plain = {}
    for name in columns:
        cells = rows.column(name)
        if pa.types.is_dictionary(cells.type):
            cells = cells.cast(cells.type.value_type)
        if pa.types.is_string_view(cells.type) or pa.types.is_binary_view(cells.type):
            cells = cells.cast(pa.large_string() if pa.types.is_string_view(cells.type) else pa.large_binary())
        if not (pa.types.is_nested(cells.type) or isinstance(cells.type, pa.BaseExtensionType)):
            plain[name] = cells
    return plain


def _is_constant(cells: pa.ChunkedArray) -> bool:
    return len(pc.unique(cells.slice(0, _LEAST_TEXTS))) == 1 and len(pc.unique(cells)) == 1


def _is_identifier(name: str, cells: pa.ChunkedArray) -> bool:
    """Whether cells tell rows apart without measuring anything: all differ, and are texts, or whole numbers close together.

    Whole numbers that are far apart may be amounts or times, of which few rows all differ by chance, unless their column is
    called an identifier.
    """
    if cells.null_count or not _all_differ(cells.slice(0, _LEAST_TEXTS)):
        return False
    if _is_text(cells.type):
        if _match(cells, _WHOLE_PATTERN, 1.0):
            cells = pc.cast(cells, pa.float64())
        elif _match(cells, _NUMBER_PATTERN, 0.9) or _match(cells, _DATE_PATTERN, 0.9):
            return False
        else:
            return len(cells) >= _LEAST_TEXTS and _all_differ(cells)
    if not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
        return False
    numbers = np.asarray(cells.cast(pa.float64(), safe=False).to_numpy())
    count, distance = len(numbers), float(numbers.max() - numbers.min()) + 1
    close = distance <= _DENSE * count and count**2 / (2 * distance) >= _EVIDENCE
    named = count >= _LEAST_NUMBERS and re.search(_IDENTIFIER_NAME, name) is not None
    return (close or named) and np.array_equal(numbers, np.floor(numbers)) and _all_differ(cells)


def _all_differ(cells: pa.ChunkedArray) -> bool:
    return len(pc.unique(cells)) == len(cells)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _match(texts: pa.ChunkedArray, pattern: str, share: float) -> bool:
    """Whether at least a share of the first texts match a pattern; for all of them, every text is looked at."""
    parts = (texts.slice(0, _LEAST_TEXTS), texts.slice(0, _FIRST_TEXTS), *([texts] if share == 1 else []))
    return all(pc.mean(pc.match_substring_regex(part, pattern).cast(pa.int8())).as_py() >= share for part in parts)


# --- copies


def _find_copies(cells: Mapping[str, pa.ChunkedArray]) -> dict[str, list[str]]:
    """Find columns of equal cells: the first of them → the others."""
    alike: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name, values in cells.items():
        alike[values.type, repr(values.slice(0, 100).to_pylist())].append(name)
    copies: dict[str, list[str]] = {}
    for names in alike.values():
        by_content: dict[bytes, list[str]] = defaultdict(list)
        for name in names if len(names) > 1 else ():
            by_content[_digest(cells[name])].append(name)
        copies |= {first: others for first, *others in by_content.values() if others}
    return copies


def _digest(cells: pa.ChunkedArray) -> bytes:
    """Return a digest of the values of a column; a missing number is NaN."""
    if pa.types.is_floating(cells.type):
        numbers = cells.to_numpy() + 0.0  # -0.0 is 0.0
        return hashlib.sha256(np.where(np.isnan(numbers), np.nan, numbers).tobytes()).digest()
    digest = hashlib.sha256()
    for start in range(0, len(cells), _CHUNK):
        digest.update(repr(cells.slice(start, _CHUNK).to_pylist()).encode(errors="surrogatepass"))
    return digest.digest()


def _names(names: Sequence[str]) -> str:
    return f"{join_words(map(repr, names), _SHOWN)} {'has' if len(names) == 1 else 'have'}"


def _leave_out(names: Sequence[str]) -> str:
    return f" Leave {'it' if len(names) == 1 else 'them'} out with {_setting(names)}."


def _setting(names: Sequence[str]) -> str:
    """Write the line of a recipe that leaves columns out."""
    shown = [json.dumps(name, ensure_ascii=False) for name in names[:_SHOWN]]
    more = [] if len(names) <= _SHOWN else ["…"]
    return f"data.exclude = [{', '.join([*shown, *more])}]"
