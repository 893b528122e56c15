"""Made-up families of sequences: an ancestor, and descendants in which some residues were exchanged."""

from collections.abc import Sequence

import numpy as np

RESIDUES = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def families(count: int, size: int, length: int, mutated: float, seed: int = 0) -> tuple[list[str], list[int]]:
    """Make up sequences in a random order.

    Args:
        size: sequences of each family.
        length: in residues.
        mutated: the share of the residues of a descendant that are drawn anew.

    Returns:
        the sequences, and the family of each.
    """
    chance = np.random.default_rng(seed)
    made, whose = [], []
    for family in range(count):
        ancestor = chance.choice(RESIDUES, length)
        for _ in range(size):
            drawn = chance.choice(RESIDUES, length)
            made.append("".join(np.where(chance.random(length) < mutated, drawn, ancestor)))
            whose.append(family)
    order = chance.permutation(len(made)).tolist()
    return [made[place] for place in order], [whose[place] for place in order]


def straddling(whose: Sequence[int], *parts: Sequence[int]) -> set[int]:
    """Name the families that have members in more than one of some parts."""
    seen = [{whose[row] for row in part} for part in parts]
    return {family for family in set(whose) if sum(family in part for part in seen) > 1}
