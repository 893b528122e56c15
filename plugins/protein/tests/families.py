"""Synthetic families of sequences: an ancestor, and descendants with random substitutions."""

from collections.abc import Sequence

import numpy as np

RESIDUES = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def families(count: int, size: int, length: int, mutated: float, seed: int = 0) -> tuple[list[str], list[int]]:
    """Generate sequences in a random order.

    Args:
        size: sequences of each family.
        length: in residues.
        mutated: share of the residues of a descendant that are drawn at random.

    Returns:
        the sequences, and the family of each.
    """
    random = np.random.default_rng(seed)
    sequences, family_of = [], []
    for family in range(count):
        ancestor = random.choice(RESIDUES, length)
        for _ in range(size):
            residues = random.choice(RESIDUES, length)
            sequences.append("".join(np.where(random.random(length) < mutated, residues, ancestor)))
            family_of.append(family)
    order = random.permutation(len(sequences)).tolist()
    return [sequences[index] for index in order], [family_of[index] for index in order]


def families_in_two_parts(family_of: Sequence[int], *parts: Sequence[int]) -> set[int]:
    """Find the families with members in more than one part."""
    families_of_parts = [{family_of[row] for row in part} for part in parts]
    return {family for family in set(family_of) if sum(family in part for part in families_of_parts) > 1}
