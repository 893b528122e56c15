"""Raw values → molecules of RDKit, or the reason why one is none; and molecules → SMILES."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from taskgraft.plugin import TaskgraftError


@dataclass(eq=False)
class BadMolecule(TaskgraftError):
    """A value that is no molecule, where only molecules were expected."""

    reason: str

    def __str__(self) -> str:
        return f"{self.reason[0].upper()}{self.reason[1:]}. Mend this row, or take it out of the data."


@dataclass(frozen=True)
class Written:
    """A molecule as text.

    Attributes:
        smiles: a SMILES of it.
        atoms: the number of each atom in the molecule, in the order in which the text names them.
    """

    smiles: str
    atoms: Sequence[int]


def read(value: Any) -> "Chem.Mol | str":
    """Read a SMILES: give the molecule, its atoms in the order of the text, or say why there is none.

    Hydrogens that are written as atoms of their own are counted to their neighbours, as RDKit does.
    """
    if value is None or value == "":
        return "the SMILES is empty"
    if not isinstance(value, str):
        return f"the SMILES is {value!r:.40}, not a text"
    text = value.strip()
    if not text:
        return "the SMILES is empty"
    if len(text.split()) > 1:
        return f"the SMILES {text!r:.60} has white space in it; names belong into a column of their own"
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text)
        if molecule is not None:
            return molecule if molecule.GetNumAtoms() else f"the SMILES {text!r:.60} has no atom"
        rough = Chem.MolFromSmiles(text, sanitize=False)
        if rough is None:
            return f"{text!r:.60} is no SMILES"
        problems = Chem.DetectChemistryProblems(rough)
    return f"{text!r:.60} is no molecule ({'; '.join(problem.Message() for problem in problems)})"


def molecules(values: Sequence[Any]) -> "list[Chem.Mol]":
    """Read SMILES that were read before.

    Raises:
        BadMolecule: for one that is none.
    """
    found = [read(value) for value in values]
    for one in found:
        if isinstance(one, str):
            raise BadMolecule(one)
    return found


def canonical(molecule: "Chem.Mol") -> Written:
    """Write the canonical SMILES: the same for every writing of a molecule."""
    return Written(Chem.MolToSmiles(molecule), _order(molecule))


def drawn(molecule: "Chem.Mol", seed: int) -> Written:
    """Write one of the many SMILES of a molecule, drawn by a seed (Bjerrum, 2017, SMILES enumeration as data augmentation)."""
    numbers = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
    turned = Chem.RenumberAtoms(molecule, numbers)
    smiles = Chem.MolToSmiles(turned, canonical=False)
    return Written(smiles, [numbers[atom] for atom in _order(turned)])


def _order(molecule: "Chem.Mol") -> list[int]:
    """Give the order in which RDKit wrote the atoms."""
    return list(molecule.GetPropsAsDict(includePrivate=True, includeComputed=True)["_smilesAtomOutputOrder"])
