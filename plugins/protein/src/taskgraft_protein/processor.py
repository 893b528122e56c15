"""Sequences → tokens of residues. What encloses a sequence, and windows over long ones, are the backbone's matter."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from taskgraft.plugin import (
    CATEGORY,
    ELEMENT_AXIS,
    NUMBER,
    Batch,
    Columns,
    ElementKind,
    ElementSchema,
    ProcessedBatch,
    Processor,
)
from taskgraft_protein.alphabet import UNKNOWN, Alphabet

SEQUENCE = "sequence"
"""The input role of a protein backbone."""

RESIDUES = "residues"
"""The one tensor of a prepared batch."""


@dataclass(frozen=True)
class Limit:
    """How long sequences may be.

    Attributes:
        residues: those that go through the model at once.
        long: what becomes of more.
        overlap: residues that neighbouring windows share.
    """

    residues: int
    long: Literal["refuse", "truncate", "windows"]
    overlap: int


class ProteinProcessor(Processor):
    """Reads sequences: ``residues`` ``(batch, element)`` int64, the token of each residue; padding holds 0.

    White space is left out, lower case is read as upper case, and a stop (``*``) at the end is dropped. Letters that the model
    does not tell apart are read as X, with a note. Gaps (``-``, ``.``), stops elsewhere and all that is no letter are refused.
    """

    def __init__(self, alphabet: Alphabet, limit: Limit):
        self._alphabet = alphabet
        self._limit = limit
        self._table = alphabet.table
        self._told_apart = frozenset(alphabet.letters + UNKNOWN)

    def settings(self) -> Mapping[str, Any]:
        return asdict(self._alphabet) | asdict(self._limit)

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        refused: dict[int, str] = {}
        notes, lengths, rows = Counter[str](), list[int](), list[str]()
        for row, value in enumerate(inputs[SEQUENCE]):
            text, reason = self._read(value)
            lengths.append(len(text))
            if reason is not None:
                refused[row], text = reason, UNKNOWN
            elif not self._told_apart.issuperset(text):
                notes["letters that the model does not tell apart read as X"] += 1
            if self._limit.long == "truncate" and len(text) > self._limit.residues:
                notes[f"cut to {self._limit.residues:,} residues"] += 1
                text = text[: self._limit.residues]
            rows.append(text)
        return ProcessedBatch(self._batch(rows), refused, notes, lengths)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(
            kinds=(ElementKind(name="residue", categories=tuple(self._alphabet.letters)),), by_position=False
        )

    def element_values(self, batch: Batch) -> Batch:
        """Say which residue stands where; X, which may be any, is nothing that could be recovered."""
        residues = batch[RESIDUES]
        numbers = [self._alphabet.unknown, *self._alphabet.numbers]
        table = torch.full((max([*numbers, self._alphabet.mask or 0]) + 1,), -1)
        table[torch.tensor(self._alphabet.numbers)] = torch.arange(len(self._alphabet.numbers))
        real = batch.mask(ELEMENT_AXIS)
        category = table[residues].masked_fill(~real, -1)
        tensors = {CATEGORY: category, NUMBER: torch.zeros(*residues.shape, 0)}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), batch.lengths)

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        """Put the mask token in the place of residues.

        BERT keeps one in ten as it is and replaces another by one drawn at random; here nothing of what is hidden may be left,
        and one drawn at random may be the same.
        """
        assert self._alphabet.mask is not None, "a model without a mask token does not say that it hides"
        return Batch({RESIDUES: batch[RESIDUES].masked_fill(hidden, self._alphabet.mask)}, batch.axes, batch.lengths)

    def _read(self, value: Any) -> tuple[str, str | None]:
        """Give the letters of a raw value, and why it cannot be used."""
        if value is None:
            return "", "the sequence is empty"
        if not isinstance(value, str):
            return "", f"the sequence is {value!r:.40}, not a text"
        text = "".join(value.split()).removesuffix("*")
        if not text:
            return "", "the sequence is empty"
        if not (text.isascii() and text.isalpha()):
            place, sign = next((at, sign) for at, sign in enumerate(text, 1) if not (sign.isascii() and sign.isalpha()))
            return text, f"'{sign}' at position {place:,} is {_SIGNS.get(sign, 'no residue')}"
        if self._limit.long == "refuse" and len(text) > self._limit.residues:
            return text, (
                f"the sequence has {len(text):,} residues, more than the {self._limit.residues:,} that go through the model at "
                'once; set long to "truncate" or "windows"'
            )
        return text.upper(), None

    def _batch(self, rows: Sequence[str]) -> Batch:
        lengths = torch.tensor([len(row) for row in rows])
        padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        real = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
        padded[real] = torch.from_numpy(self._table[np.frombuffer("".join(rows).encode(), np.uint8)])
        return Batch({RESIDUES: padded}, {RESIDUES: (ELEMENT_AXIS,)}, {ELEMENT_AXIS: lengths})


_SIGNS = {
    "-": "a gap; give sequences, not the rows of an alignment",
    ".": "a gap; give sequences, not the rows of an alignment",
    "*": "a stop within the sequence",
}
"""What signs that are no residues mean."""
