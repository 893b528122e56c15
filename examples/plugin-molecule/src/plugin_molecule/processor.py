"""SMILES → numbers of tokens. Bad ones are refused, row by row."""

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

from plugin_molecule.molecule import Written, canonical, drawn, read
from plugin_molecule.settings import SMILES, SmilesTransformerConfig
from plugin_molecule.tokens import FIRST, MASK, UNKNOWN, is_atom, tokens_of

TOKENS, POSITIONS = "tokens", "positions"
"""The tensors of a prepared batch."""

TOKEN = "token"
"""The axis that both are padded along."""


@dataclass(frozen=True)
class _Read:
    """One molecule: the numbers of its tokens and where each stands in the SMILES, atoms first."""

    tokens: Sequence[int] = (UNKNOWN,)
    positions: Sequence[int] = (0,)
    atoms: int = 1


class SmilesProcessor(Processor):
    """Reads SMILES in canonical form: ``tokens`` and ``positions``, ``(batch, token)`` int64.

    An element is an atom, in the order in which the user's SMILES names them. The tokens of atoms come first, in that
    order, and those of bonds, branches and rings after them; ``positions`` says where each stands in the canonical SMILES,
    from 0. So the first vectors of whatever a transformer makes of the tokens are those of the elements.
    """

    def __init__(self, config: SmilesTransformerConfig):
        self._vocabulary = config.vocabulary
        self._numbers = {token: number for number, token in enumerate(config.vocabulary, FIRST)}
        self._max_length = config.max_length
        self._randomised = config.randomised

    @property
    def augments(self) -> bool:
        return self._randomised

    def settings(self) -> Mapping[str, Any]:
        return {"vocabulary": list(self._vocabulary), "max_length": self._max_length, "writing": "canonical"}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        return self._prepared(inputs, lambda row, molecule: canonical(molecule))

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        made = self._prepared(inputs, lambda row, molecule: drawn(molecule, seeds[row]))
        return AugmentedBatch(made.batch, invalid=made.invalid)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(kinds=(ElementKind(name="atom", categories=self._vocabulary),), by_position=False)

    def element_values(self, batch: Batch) -> Batch:
        """Say which atom stands where; one that the vocabulary lacks is nothing that could be recovered."""
        real = batch.mask(ELEMENT_AXIS)
        tokens = batch[TOKENS][:, : real.shape[1]]
        category = (tokens - FIRST).clamp(min=-1).masked_fill(~real, -1)
        tensors = {CATEGORY: category, NUMBER: torch.zeros(*category.shape, 0)}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: batch.lengths[ELEMENT_AXIS]})

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        tokens = batch[TOKENS].clone()
        tokens[:, : hidden.shape[1]].masked_fill_(hidden, MASK)
        return Batch({**batch.tensors, TOKENS: tokens}, batch.axes, batch.lengths)

    def _prepared(self, inputs: Columns, write: "Callable[[int, Chem.Mol], Written]") -> ProcessedBatch:
        found, refused, notes = list[_Read](), dict[int, str](), Counter[str]()
        for row, value in enumerate(inputs[SMILES]):
            molecule = read(value)
            made = molecule if isinstance(molecule, str) else self._read(write(row, molecule))
            if isinstance(made, str):
                refused[row], made = made, _Read()
            elif UNKNOWN in made.tokens:
                notes["atoms that no training molecule has read as unknown"] += 1
            found.append(made)
        return ProcessedBatch(_batch(found), refused, notes, [one.atoms for one in found])

    def _read(self, written: Written) -> _Read | str:
        tokens = tokens_of(written.smiles)
        if "".join(tokens) != written.smiles:
            return f"its canonical SMILES {written.smiles!r:.60} is not made of known tokens"
        if len(tokens) > self._max_length:
            return f"the molecule has {len(tokens):,} tokens, more than max_length = {self._max_length:,}"
        places = [place for place, token in enumerate(tokens) if is_atom(token)]
        place_of = dict(zip(written.atoms, places, strict=True))
        others = sorted(set(range(len(tokens))) - set(places))
        order = [*(place_of[atom] for atom in range(len(places))), *others]
        return _Read([self._numbers.get(tokens[place], UNKNOWN) for place in order], order, len(places))


def _batch(found: Sequence[_Read]) -> Batch:
    lengths = torch.tensor([len(one.tokens) for one in found])
    shape = (len(found), int(lengths.max()))
    tokens, positions = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    for row, one in enumerate(found):
        tokens[row, : lengths[row]] = torch.tensor(one.tokens)
        positions[row, : lengths[row]] = torch.tensor(one.positions)
    tensors = {TOKENS: tokens, POSITIONS: positions}
    atoms = torch.tensor([one.atoms for one in found])
    return Batch(tensors, dict.fromkeys(tensors, (TOKEN,)), {TOKEN: lengths, ELEMENT_AXIS: atoms})
