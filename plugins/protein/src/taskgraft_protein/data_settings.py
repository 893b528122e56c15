"""Settings of readers and splits of sequences, known without Arrow."""

import re
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from taskgraft.plugin import Config

COLUMNS = ("id", "description", "sequence")
"""The columns that every FASTA file gives."""

SUFFIXES = (".fasta", ".faa", ".fas", ".fa")
"""The endings of FASTA files, which may be gzipped."""


class FastaConfig(Config):
    """Sequences below headers, ``>id description``; with labels from the header, a second FASTA file, or a table.

    Paths start at the folder of the file. A ``*`` in one stands for the file's name without its ending; such a file may be
    missing, as it is where there is nothing but sequences to predict for.
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
        default="", description="letters of 'labels' that are no label, such as those of residues that no one saw"
    )

    @field_validator("label")
    @classmethod
    def _a_pattern(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f"it is no regular expression ({error})") from None
        if not pattern.groups or (pattern.groups > 1 and len(pattern.groupindex) < pattern.groups):
            raise ValueError("it needs one group, as in 'class=(\\S+)', or groups that all have a name")
        if taken := sorted({*COLUMNS, "labels"} & set(pattern.groupindex)):
            raise ValueError(f"a group is called '{taken[0]}', as another column is")
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the pattern gives."""
        return () if self.label is None else tuple(re.compile(self.label).groupindex) or ("label",)


class ResidueLabelsConfig(Config):
    """Any file of sequences in which a text holds one letter per residue: the texts become lists of labels."""

    sequence: str = Field(default="sequence", description="column of the sequences")
    labels: str = Field(default="labels", description="column of the labels; left alone where there is none")
    resolved: str | None = Field(
        default=None, description="column with a text of 0 and 1 per residue; where it is 0, there is no label"
    )
    unresolved: str = Field(default="", description="letters of the labels that are no label")
    reader: str | dict[str, Any] | None = Field(
        default=None, description="what reads the file itself; found by its suffix if left out"
    )


class SequenceIdentityConfig(Config):
    """Clusters of like sequences, each whole in one part, or the parts of a column, checked.

    Two sequences are taken to be as identical as the k-th root of the share of the shorter one's words of k letters that the
    other has, too; pairs to look at are found by MinHash. That approximates what MMseqs2 does by aligning (Steinegger and
    Söding, 2017, MMseqs2 enables sensitive protein sequence searching): kinship far below half of the residues is not seen, nor
    all of it where sequences have less than a hundred.
    """

    positional: ClassVar[str | None] = "validation"

    validation: float | None = Field(
        default=None, gt=0, lt=1, description="share of the rows that is held out, in whole clusters"
    )
    part: str | None = Field(
        default=None, description="column that says to which part a row belongs; instead of 'validation'"
    )
    column: str = Field(default="sequence", description="column of the sequences")
    identity: float = Field(
        default=0.5, gt=0, le=1, description="sequences at least this identical are of one cluster; 1: all words shared"
    )
    k: int = Field(default=5, ge=2, le=12, description="letters per word")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.validation is None) == (self.part is None):
            raise ValueError(
                "say how much to hold out ('validation'), or which column names the parts ('part'): one of both"
            )
        return self
