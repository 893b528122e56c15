"""From rows to prepared examples: columns found, rows checked, inputs made."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.backbone import Processor
from taskgraft.description import BackboneDescription
from taskgraft.error import TaskgraftError, listed
from taskgraft.rows import BadRows, ColumnMissing, Rows
from taskgraft.spec import Columns
from taskgraft.store import Store

CHUNK = 1_024
"""Rows that a processor prepares at a time."""


def columns_for(inputs: Any, description: BackboneDescription, rows: Rows, targets: Sequence[str]) -> dict[str, str]:
    """Decide which column feeds which input role.

    Args:
        inputs: a column, a list of columns in the order of the roles, role → column, or None to find out.

    Returns:
        role → column; for a backbone that reads any columns, column → column.

    Raises:
        BadInputs: when the roles cannot be filled.
        ColumnMissing: for a column that the data do not have.
    """
    roles = description.inputs
    if not (inputs is None or isinstance(inputs, str | Mapping | Sequence)):
        raise BadInputs(tuple(role.name for role in roles), f"inputs is {inputs!r:.60}, which names no columns")
    if isinstance(inputs, Mapping):
        chosen = dict(inputs)
    elif not roles:
        names = [inputs] if isinstance(inputs, str) else inputs
        chosen = {name: name for name in names or rows.columns if name not in targets}
    elif inputs is None:
        chosen = {role.name: role.name for role in roles if role.name in rows.columns and role.name not in targets}
    else:
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        if len(names) > len(roles):
            raise BadInputs(tuple(role.name for role in roles), f"{len(names)} columns were named: {listed(names)}")
        chosen = {role.name: column for role, column in zip(roles, names, strict=False)}
    known = tuple(role.name for role in roles)
    if roles and (strange := [role for role in chosen if role not in known]):
        raise BadInputs(known, f"there is no input '{strange[0]}'")
    if missing := [role.name for role in roles if role.required and role.name not in chosen]:
        raise BadInputs(known, f"no column was named for '{missing[0]}', and {rows.source} has {listed(rows.columns)}")
    for column in chosen.values():
        if column not in rows.columns:
            raise ColumnMissing(column, rows.source, rows.columns)
        if column in targets:
            raise BadInputs(known, f"the column '{column}' is to be predicted, so it cannot be read as well")
    return chosen


@dataclass(eq=False)
class BadInputs(TaskgraftError):
    """Columns that do not fill the inputs of a backbone."""

    roles: tuple[str, ...]
    problem: str

    def __str__(self) -> str:
        return f"The backbone reads {listed(self.roles)}, but {self.problem}. Say which columns to read with inputs=…."


@dataclass(frozen=True)
class Inputs:
    """Prepared inputs of a data set.

    Attributes:
        notes: what happened to how many rows.
        elements: how many elements each row has in the user's own input, where that is decided there.
    """

    store: Store
    notes: Mapping[str, int]
    elements: Sequence[int] | None


def prepare(rows: Rows, names: Mapping[str, str], processor: Processor, folder: Path, memory: int) -> Inputs:
    """Make all inputs, or refuse the rows that cannot be used.

    Raises:
        BadRows: naming each of them.
    """
    store, notes, refused = Store(folder, memory), Counter[str](), dict[int, str]()
    elements: list[int] = []
    for start, values in rows.chunks(names, CHUNK):
        made = processor.prepare(values)
        refused |= {start + row: reason for row, reason in made.refused.items()}
        notes.update(made.notes)
        elements += made.elements or ()
        store.append(range(start, start + len(made.batch)), made.batch)
    if refused:
        raise BadRows(rows, refused)
    return Inputs(store.finish(), dict(notes), elements or None)


def check_elements(rows: Rows, elements: Sequence[int] | None, labels: Columns) -> None:
    """Refuse rows whose labels are not as many as their elements.

    Raises:
        BadRows: naming each of them.
    """
    (column, values), *_ = labels.items()
    counts = [len(value.split() if isinstance(value, str) else value) for value in values]
    wrong = {
        row: f"'{column}' has {count:,} labels for {have:,} elements"
        for row, (count, have) in enumerate(zip(counts, elements or counts, strict=True))
        if count != have
    }
    if wrong:
        raise BadRows(rows, wrong)
