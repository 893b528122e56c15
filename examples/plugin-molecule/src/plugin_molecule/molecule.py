"""Raw values → RDKit molecules, or the reason why a value is invalid; and molecules → SMILES."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from taskgraft.plugin import TaskgraftError


@dataclass(eq=False)
class InvalidMolecule(TaskgraftError):
    """An invalid SMILES where every row must be valid."""

    reason: str

    def __str__(self) -> str:
        return f"{self.reason[0].upper()}{self.reason[1:]}. Fix this row, or remove it from the data."


@dataclass(frozen=True)
class SmilesWithOrder:
    """A SMILES of a molecule.

    Attributes:
        atoms: index of each atom in the molecule, in the order of the text.
    """

    smiles: str
    atoms: Sequence[int]


def parse_smiles(value: Any) -> "Chem.Mol | str":
    """Parse a SMILES to a molecule, its atoms in the order of the text; or return why it is invalid.

    Explicit hydrogen atoms are merged into their neighbours, as RDKit does.
    """
    if value is None or value == "":
        return "the SMILES is empty"
    if not isinstance(value, str):
        return f"the SMILES is {value!r:.40}, not a text"
    text = value.strip()
    if not text:
        return "the SMILES is empty"
    if len(text.split()) > 1:
        return f"the SMILES {text!r:.60} contains white space; put names in another column"
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text)
        if molecule is not None:
            return molecule if molecule.GetNumAtoms() else f"the SMILES {text!r:.60} has no atom"
        unchecked = Chem.MolFromSmiles(text, sanitize=False)
        if unchecked is None:
            return f"{text!r:.60} is not a SMILES"
        problems = Chem.DetectChemistryProblems(unchecked)
    return f"{text!r:.60} is not a molecule ({'; '.join(problem.Message() for problem in problems)})"


def parse_all(values: Sequence[Any]) -> "list[Chem.Mol]":
    """Parse SMILES of which none may be invalid.

    Raises:
        InvalidMolecule: for the first invalid one.
    """
    molecules = [parse_smiles(value) for value in values]
    for molecule in molecules:
        if isinstance(molecule, str):
            raise InvalidMolecule(molecule)
    return molecules


def canonical_smiles(molecule: "Chem.Mol") -> SmilesWithOrder:
    """Write the canonical SMILES: the same for every SMILES of a molecule."""
    return SmilesWithOrder(Chem.MolToSmiles(molecule), _atom_order(molecule))


def random_smiles(molecule: "Chem.Mol", seed: int) -> SmilesWithOrder:
    """Write a random SMILES of a molecule (Bjerrum, 2017, SMILES enumeration as data augmentation)."""
    order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
    renumbered = Chem.RenumberAtoms(molecule, order)
    smiles = Chem.MolToSmiles(renumbered, canonical=False)
    return SmilesWithOrder(smiles, [order[atom] for atom in _atom_order(renumbered)])


def _atom_order(molecule: "Chem.Mol") -> list[int]:
    """Return the order in which RDKit wrote the atoms."""
    return list(molecule.GetPropsAsDict(includePrivate=True, includeComputed=True)["_smilesAtomOutputOrder"])
