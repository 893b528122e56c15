"""The scaffold split: molecules with the same ring system stay together, so the validation rows have unseen ones.

Scaffolds are those of Bemis and Murcko (1996), without stereochemistry; molecules without a ring share the empty one. The most
common scaffold is in the training rows; each further one, in order of frequency, goes to the first part with room for it. Of
equally frequent ones, the later in the file comes first. This is the algorithm of DeepChem, used for MoleculeNet (Wu and
others, 2018).
"""

from collections.abc import Mapping, Sequence

from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from taskgraft.plugin import InvalidRows, Rows

from plugin_molecule.molecule import parse_smiles
from plugin_molecule.settings import ScaffoldConfig


def split_by_scaffold(
    rows: Rows, targets: Sequence[str], config: ScaffoldConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    """Split rows so that no scaffold is in two parts. The seed has no effect.

    Raises:
        InvalidRows: for rows without a valid molecule.
    """
    groups = group_by_scaffold(rows, config.column)
    groups.sort(key=lambda members: (len(members), members[0]), reverse=True)
    train_end, validation_end = (1 - config.validation - config.test) * len(rows), (1 - config.test) * len(rows)
    parts: dict[str, list[int]] = {"train": groups[0], "validation": [], "test": []}
    for members in groups[1:]:
        count = len(parts["train"]) + len(members)
        if count <= train_end:
            parts["train"] += members
        elif count + len(parts["validation"]) <= validation_end or not config.test:
            parts["validation"] += members
        else:
            parts["test"] += members
    return {name: sorted(members) for name, members in parts.items()}


def group_by_scaffold(rows: Rows, column: str) -> list[list[int]]:
    """Group rows by scaffold.

    Raises:
        InvalidRows: for rows without a valid molecule.
    """
    groups: dict[str, list[int]] = {}
    reasons: dict[int, str] = {}
    for row, value in enumerate(rows.values(column)):
        molecule = parse_smiles(value)
        if isinstance(molecule, str):
            reasons[row] = molecule
        else:
            groups.setdefault(MurckoScaffoldSmiles(mol=molecule, includeChirality=False), []).append(row)
    if reasons:
        raise InvalidRows(rows, reasons)
    return list(groups.values())
