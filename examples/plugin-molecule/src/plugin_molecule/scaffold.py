"""The scaffold split: molecules that share a ring system stay together, so that what is judged has unseen ones.

Scaffolds are those of Bemis and Murcko (1996), without stereochemistry; molecules without a ring share the empty one. The
commonest are learned from; each further one, the commoner first, goes to the first part that it fits into. Among equally common
ones the later in the file comes first. All this is as in DeepChem, with which MoleculeNet (Wu and others, 2018) was measured.
"""

from collections.abc import Mapping, Sequence

from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from taskgraft.plugin import InvalidRows, Rows

from plugin_molecule.molecule import read
from plugin_molecule.settings import ScaffoldConfig


def by_scaffold(rows: Rows, targets: Sequence[str], config: ScaffoldConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Divide rows so that no scaffold stands in two parts. The seed changes nothing.

    Raises:
        InvalidRows: for rows without a molecule.
    """
    groups = scaffolds(rows, config.column)
    groups.sort(key=lambda members: (len(members), members[0]), reverse=True)
    learned, judged = (1 - config.validation - config.test) * len(rows), (1 - config.test) * len(rows)
    parts: dict[str, list[int]] = {"train": groups[0], "validation": [], "test": []}
    for members in groups[1:]:
        count = len(parts["train"]) + len(members)
        if count <= learned:
            parts["train"] += members
        elif count + len(parts["validation"]) <= judged or not config.test:
            parts["validation"] += members
        else:
            parts["test"] += members
    return {name: sorted(members) for name, members in parts.items()}


def scaffolds(rows: Rows, column: str) -> list[list[int]]:
    """Put rows with one scaffold together.

    Raises:
        InvalidRows: for rows without a molecule.
    """
    found: dict[str, list[int]] = {}
    reasons: dict[int, str] = {}
    for row, value in enumerate(rows.values(column)):
        molecule = read(value)
        if isinstance(molecule, str):
            reasons[row] = molecule
        else:
            found.setdefault(MurckoScaffoldSmiles(mol=molecule, includeChirality=False), []).append(row)
    if reasons:
        raise InvalidRows(rows, reasons)
    return list(found.values())
