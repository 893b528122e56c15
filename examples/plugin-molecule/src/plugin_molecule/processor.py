"""SMILES → token ids. Invalid ones are reported by row."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rdkit import Chem
from taskgraft.plugin import (
    CATEGORY,
    ELEMENT_AXIS,
    NUMBER,
    AugmentedBatch,
    Batch,
    Columns,
    ElementKind,
    ElementSchema,
    ProcessedBatch,
    Processor,
)
from torch import Tensor

from plugin_molecule.molecule import SmilesWithOrder, canonical_smiles, parse_smiles, random_smiles
from plugin_molecule.settings import SMILES, SmilesTransformerConfig
from plugin_molecule.tokens import FIRST, MASK, UNKNOWN, is_atom, tokenize

TOKENS, POSITIONS = "tokens", "positions"
"""The tensors of a processed batch."""

TOKEN = "token"
"""The axis that both are padded along."""


@dataclass(frozen=True)
class _TokenizedMolecule:
    """One molecule: the ids of its tokens and their positions in the SMILES, atoms first."""

    tokens: Sequence[int] = (UNKNOWN,)
    positions: Sequence[int] = (0,)
    atoms: int = 1


class SmilesProcessor(Processor):
    """Tokenizes canonical SMILES: ``tokens`` and ``positions``, ``(batch, token)`` int64.

    An element is an atom, in the order of the user's SMILES. The tokens of atoms come first, in that order, then those of
    bonds, branches and rings; ``positions`` are their positions in the canonical SMILES, from 0. So the first vectors of a
    transformer over the tokens are those of the elements.
    """

    def __init__(self, config: SmilesTransformerConfig):
        self._vocabulary = config.vocabulary
        self._ids = {token: number for number, token in enumerate(config.vocabulary, FIRST)}
        self._max_length = config.max_length
        self._randomised = config.randomised

    @property
    def augments(self) -> bool:
        return self._randomised

    def settings(self) -> Mapping[str, Any]:
        return {"vocabulary": list(self._vocabulary), "max_length": self._max_length, "writing": "canonical"}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        return self._process(inputs, lambda row, molecule: canonical_smiles(molecule))

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        processed = self._process(inputs, lambda row, molecule: random_smiles(molecule, seeds[row]))
        return AugmentedBatch(processed.batch, invalid=processed.invalid)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(kinds=(ElementKind(name="atom", categories=self._vocabulary),), by_position=False)

    def element_values(self, batch: Batch) -> Batch:
        """Return the atom of each element; an unknown atom has no value to recover."""
        real = batch.mask(ELEMENT_AXIS)
        tokens = batch[TOKENS][:, : real.shape[1]]
        category = (tokens - FIRST).clamp(min=-1).masked_fill(~real, -1)
        tensors = {CATEGORY: category, NUMBER: torch.zeros(*category.shape, 0)}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: batch.lengths[ELEMENT_AXIS]})

    def mask_elements(self, batch: Batch, masked: Tensor, seeds: Sequence[int]) -> Batch:
        tokens = batch[TOKENS].clone()
        tokens[:, : masked.shape[1]].masked_fill_(masked, MASK)
        return Batch({**batch.tensors, TOKENS: tokens}, batch.axes, batch.lengths)

    def _process(self, inputs: Columns, write: "Callable[[int, Chem.Mol], SmilesWithOrder]") -> ProcessedBatch:
        rows, invalid, notes = list[_TokenizedMolecule](), dict[int, str](), Counter[str]()
        for row, value in enumerate(inputs[SMILES]):
            molecule = parse_smiles(value)
            tokenized = molecule if isinstance(molecule, str) else self._tokenize(write(row, molecule))
            if isinstance(tokenized, str):
                invalid[row], tokenized = tokenized, _TokenizedMolecule()
            elif UNKNOWN in tokenized.tokens:
                notes["atoms not in the training molecules treated as unknown"] += 1
            rows.append(tokenized)
        return ProcessedBatch(_batch(rows), invalid, notes, [row.atoms for row in rows])

    def _tokenize(self, written: SmilesWithOrder) -> _TokenizedMolecule | str:
        tokens = tokenize(written.smiles)
        if "".join(tokens) != written.smiles:
            return f"its canonical SMILES {written.smiles!r:.60} contains unknown tokens"
        if len(tokens) > self._max_length:
            return f"the molecule has {len(tokens):,} tokens, more than max_length = {self._max_length:,}"
        atom_positions = [position for position, token in enumerate(tokens) if is_atom(token)]
        position_of = dict(zip(written.atoms, atom_positions, strict=True))
        others = sorted(set(range(len(tokens))) - set(atom_positions))
        order = [*(position_of[atom] for atom in range(len(atom_positions))), *others]
        ids = [self._ids.get(tokens[position], UNKNOWN) for position in order]
        return _TokenizedMolecule(ids, order, len(atom_positions))


def _batch(rows: Sequence[_TokenizedMolecule]) -> Batch:
    lengths = torch.tensor([len(row.tokens) for row in rows])
    shape = (len(rows), int(lengths.max()))
    tokens, positions = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    for index, row in enumerate(rows):
        tokens[index, : lengths[index]] = torch.tensor(row.tokens)
        positions[index, : lengths[index]] = torch.tensor(row.positions)
    tensors = {TOKENS: tokens, POSITIONS: positions}
    atoms = torch.tensor([row.atoms for row in rows])
    return Batch(tensors, dict.fromkeys(tensors, (TOKEN,)), {TOKEN: lengths, ELEMENT_AXIS: atoms})
