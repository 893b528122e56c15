"""Settings of the readers and the split, without Arrow."""

import re
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from taskgraft.plugin import Config

COLUMNS = ("id", "description", "sequence")
"""The columns of every FASTA file."""

SUFFIXES = (".fasta", ".faa", ".fas", ".fa")
"""The suffixes of FASTA files, which may be gzipped."""


class FastaConfig(Config):
    """Sequences below headers, ``>id description``, with labels from the header, a second FASTA file, or a table.

    Paths start at the folder of the file. A ``*`` in a path means the file's name without its suffix. A file that is named
    this way may be missing, as for sequences without labels to predict for.
    """

    label: str | None = Field(
        default=None,
        min_length=1,
        description="a regular expression that finds the label in a header: its group is the column 'label', and each named "
        "group a column of its name",
    )
    labels: str | None = Field(
        default=None,
        min_length=1,
        description="a FASTA file with a letter per residue under the same ids: the column 'labels', a list in each row",
    )
    table: str | None = Field(
        default=None, min_length=1, description="a table with a column 'id', whose other columns are added"
    )
    unresolved: str = Field(
        default="", description="letters of 'labels' that are not a label, such as those of unresolved residues"
    )

    @field_validator("label")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f"it is not a regular expression ({error})") from None
        if not pattern.groups or (pattern.groups > 1 and len(pattern.groupindex) < pattern.groups):
            raise ValueError("it needs one group, as in 'class=(\\S+)', or groups that all have a name")
        if taken := sorted({*COLUMNS, "labels"} & set(pattern.groupindex)):
            raise ValueError(f"a group is called '{taken[0]}', as another column is")
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the pattern fills."""
        return () if self.label is None else tuple(re.compile(self.label).groupindex) or ("label",)


class ResidueLabelsConfig(Config):
    """Any file of sequences with one letter per residue as labels: these texts become lists of labels."""

    sequence: str = Field(default="sequence", description="column of the sequences")
    labels: str = Field(default="labels", description="column of the labels; the file may lack it")
    resolved: str | None = Field(
        default=None, description="column with a text of 0 and 1 per residue; 0 means that it has no label"
    )
    unresolved: str = Field(default="", description="letters of the labels that are not a label")
    reader: str | dict[str, Any] | None = Field(
        default=None, description="reader of the file itself; chosen by its suffix when left out"
    )


class SequenceIdentityConfig(Config):
    """Whole clusters of similar sequences in one part, or the parts of a column, checked for duplicates.

    The identity of two sequences is estimated as the k-th root of the share of the shorter one's k-mers that the other has too.
    MinHash finds the pairs to compare. This approximates what MMseqs2 does by alignment (Steinegger and Söding, 2017, MMseqs2
    enables sensitive protein sequence searching): homologs with far less than half of their residues in common are not found,
    and not all homologs shorter than a hundred residues.
    """

    positional: ClassVar[str | None] = "validation"

    validation: float | None = Field(
        default=None, gt=0, lt=1, description="share of the rows for validation, in whole clusters"
    )
    part: str | None = Field(default=None, description="column with the part of each row; instead of 'validation'")
    column: str = Field(default="sequence", description="column of the sequences")
    identity: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="sequences at least this identical are in one cluster; 1: all k-mers shared",
    )
    k: int = Field(default=5, ge=2, le=12, description="letters per k-mer")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.validation is None) == (self.part is None):
            raise ValueError(
                "set either 'validation', the share of the rows to hold out, or 'part', the column with the part of each row"
            )
        return self
