"""Sequences → residue tokens. The backbone adds the special tokens around a sequence, and the windows of long ones."""

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

RESIDUE_TENSOR = "residues"
"""The one tensor of a processed batch."""


@dataclass(frozen=True)
class LengthLimit:
    """How long sequences may be.

    Attributes:
        residues: the most that go through the model at once.
        long: what to do with a longer sequence.
        overlap: residues that neighbouring windows share.
    """

    residues: int
    long: Literal["refuse", "truncate", "windows"]
    overlap: int


class ProteinProcessor(Processor):
    """Reads sequences: ``residues`` ``(batch, element)`` int64, the token of each residue; 0 at padding.

    White space and a stop (``*``) at the end are dropped, and lower case is read as upper case. Letters that the model does not
    distinguish are read as X, with a note. A row with gaps (``-``, ``.``), a stop elsewhere or anything else that is not a
    letter is invalid.
    """

    def __init__(self, alphabet: Alphabet, limit: LengthLimit):
        self._alphabet = alphabet
        self._limit = limit
        self._table = alphabet.table
        self._distinguished = frozenset(alphabet.letters + UNKNOWN)

    def settings(self) -> Mapping[str, Any]:
        return asdict(self._alphabet) | asdict(self._limit)

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        invalid: dict[int, str] = {}
        notes, lengths, sequences = Counter[str](), list[int](), list[str]()
        for row, value in enumerate(inputs[SEQUENCE]):
            sequence, problem = self._read(value)
            lengths.append(len(sequence))
            if problem is not None:
                invalid[row], sequence = problem, UNKNOWN
            elif not self._distinguished.issuperset(sequence):
                notes["letters that the model does not distinguish read as X"] += 1
            if self._limit.long == "truncate" and len(sequence) > self._limit.residues:
                notes[f"truncated to {self._limit.residues:,} residues"] += 1
                sequence = sequence[: self._limit.residues]
            sequences.append(sequence)
        return ProcessedBatch(self._batch(sequences), invalid, notes, lengths)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(
            kinds=(ElementKind(name="residue", categories=tuple(self._alphabet.letters)),), by_position=False
        )

    def element_values(self, batch: Batch) -> Batch:
        """Give the letter of each residue, by its index in the alphabet; -1 for X, which may be any residue."""
        residues = batch[RESIDUE_TENSOR]
        tokens = [self._alphabet.unknown, *self._alphabet.numbers]
        letter_of_token = torch.full((max([*tokens, self._alphabet.mask or 0]) + 1,), -1)
        letter_of_token[torch.tensor(self._alphabet.numbers)] = torch.arange(len(self._alphabet.numbers))
        category = letter_of_token[residues].masked_fill(~batch.mask(ELEMENT_AXIS), -1)
        tensors = {CATEGORY: category, NUMBER: torch.zeros(*residues.shape, 0)}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), batch.lengths)

    def mask_elements(self, batch: Batch, masked: Tensor, seeds: Sequence[int]) -> Batch:
        """Replace every masked residue by the mask token.

        BERT keeps one in ten and replaces another by a random one. Here a masked element must never show its value, and a
        random one may equal it.
        """
        assert self._alphabet.mask is not None, "the description of a model without a mask token has can_mask=False"
        residues = batch[RESIDUE_TENSOR].masked_fill(masked, self._alphabet.mask)
        return Batch({RESIDUE_TENSOR: residues}, batch.axes, batch.lengths)

    def _read(self, value: Any) -> tuple[str, str | None]:
        """Give the letters of a raw value, and why it is invalid, if it is."""
        if value is None:
            return "", "the sequence is empty"
        if not isinstance(value, str):
            return "", f"the sequence is {value!r:.40}, not a text"
        text = "".join(value.split()).removesuffix("*")
        if not text:
            return "", "the sequence is empty"
        if not (text.isascii() and text.isalpha()):
            position, sign = next(
                (i, sign) for i, sign in enumerate(text, 1) if not (sign.isascii() and sign.isalpha())
            )
            return text, f"'{sign}' at position {position:,} is {_SIGNS.get(sign, 'not a residue')}"
        if self._limit.long == "refuse" and len(text) > self._limit.residues:
            return text, (
                f"the sequence has {len(text):,} residues, more than the {self._limit.residues:,} that go through the model at "
                'once; set long to "truncate" or "windows"'
            )
        return text.upper(), None

    def _batch(self, sequences: Sequence[str]) -> Batch:
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        padded = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.int64)
        real = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
        padded[real] = torch.from_numpy(self._table[np.frombuffer("".join(sequences).encode(), np.uint8)])
        return Batch({RESIDUE_TENSOR: padded}, {RESIDUE_TENSOR: (ELEMENT_AXIS,)}, {ELEMENT_AXIS: lengths})


_SIGNS = {
    "-": "a gap; give sequences, not the rows of an alignment",
    ".": "a gap; give sequences, not the rows of an alignment",
    "*": "a stop within the sequence",
}
"""What signs that are not residues mean."""
