"""What a prediction needs of the data, and how files are read for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.backbone import Backbone
from taskgraft.discovery.catalog import catalog
from taskgraft.reading.cell_formats import reader_with_formats
from taskgraft.recipe import Recipe


@dataclass(frozen=True)
class InputRequest:
    """The inputs of a model, and how files are read.

    Attributes:
        columns: input role → column; for a backbone that reads any columns, column → column.
        roles: the input roles in order; none for a backbone that reads any columns.
        file_roles: the roles in which a text names a file.
        raw_values: turns an object in memory that is given for a role into raw values.
        reader: the reader of files.
        any_file: whether that reader reads every file, whatever its suffix.
        keep: further columns that are needed.
        targets: the target columns, which data without labels lack.
    """

    columns: Mapping[str, str]
    roles: tuple[str, ...]
    file_roles: frozenset[str]
    raw_values: Callable[[str, Any], Sequence[Any]]
    reader: ComponentReference | None = None
    any_file: bool = False
    keep: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        recipe: Recipe,
        *,
        any_file: bool = False,
        keep: Sequence[str] = (),
    ) -> "InputRequest":
        """Return the request of a fitted model. Arguments as the attributes."""
        inputs = backbone.description.inputs
        return cls(
            recipe.data.columns,
            tuple(role.name for role in inputs),
            frozenset(role.name for role in inputs if role.files),
            backbone.processor.raw_values,
            reader_with_formats(recipe.data, catalog()),
            any_file,
            tuple(keep),
            recipe.data.target,
        )

    @property
    def needed(self) -> frozenset[str] | None:
        """The columns that are needed; None for all."""
        return frozenset({*self.columns.values(), *self.keep}) if self.columns else None

    @property
    def only_role(self) -> str | None:
        """The role of the only input; None if there are several."""
        return next(iter(self.columns)) if len(self.columns) == 1 else None

    @property
    def file_role(self) -> str | None:
        """The role of the only input, if a text in it names a file."""
        return self.only_role if self.only_role in self.file_roles else None

    @property
    def text_role(self) -> str | None:
        """The role of the only input, if a text may be that input itself."""
        return self.only_role if self.only_role in self.roles and self.file_role is None else None

    @property
    def accepted_forms(self) -> str:
        """One sentence on what to pass."""
        tables = "a DataFrame, an Arrow table, a Dataset, a dict or a list of dicts"
        if self.text_role is not None:
            return f"Pass a text, a list of texts, the path of a file, {tables} with '{self.columns[self.text_role]}'."
        if self.file_role is not None:
            name = self.columns[self.file_role]
            return (
                f"Pass the path of a file or folder, a list of paths or of objects in memory, {tables} with '{name}'."
            )
        return f"Pass the path of a file, {tables}."
