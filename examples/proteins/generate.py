"""Make up proteins with their secondary structure: ``python examples/proteins/generate.py FOLDER``."""

import argparse
from pathlib import Path

import numpy as np

OILY, WATERY = {"H": "ALMI", "E": "VIFYW", "C": "GPNDS"}, {"H": "EKQRA", "E": "TKSRQ", "C": "GPNDSTKE"}
"""Residues that a helix (H), a strand (E) and what links them (C) turn to the inside and to the outside."""

INSIDE = {"H": (0, 3, 4, 7), "E": (0, 2, 4, 6, 8)}
"""Places that look inside: a helix turns once in 3.6 residues, so every third or fourth; in a strand every second."""

LENGTHS = {"H": (9, 16), "E": (5, 9), "C": (3, 6)}
"""Fewest and most residues of a piece."""

KINDS = {"alpha": "H", "beta": "E", "mixed": "HE"}
"""What a protein of each class is made of, besides links."""

PIECES = (4, 6)
"""Fewest and most helices and strands of a protein."""

RELATIVES, MUTATED = 3, 0.15
"""Proteins of one family, and the share of residues in which one differs from their ancestor."""


def protein(kind: str, chance: np.random.Generator) -> tuple[str, str]:
    """Make up an ancestor: its residues, and a letter for the structure of each."""
    states = ""
    for piece in range(chance.integers(PIECES[0], PIECES[1] + 1)):
        for state in ("C", KINDS[kind][piece % len(KINDS[kind])]):
            states += state * int(chance.integers(LENGTHS[state][0], LENGTHS[state][1] + 1))
    states += "C" * LENGTHS["C"][0]
    starts = [0]
    for place in range(1, len(states)):
        starts.append(starts[-1] if states[place] == states[place - 1] else place)
    pairs = enumerate(zip(states, starts, strict=True))
    return "".join(residue(state, place - start, chance) for place, (state, start) in pairs), states


def residue(state: str, place: int, chance: np.random.Generator) -> str:
    """Draw a residue for a place in a helix, a strand or a link; one in five looks the wrong way."""
    inside = state != "C" and place % (7 if state == "H" else 10) in INSIDE[state]
    letters = OILY[state] if inside != (chance.random() < 0.2) else WATERY[state]
    return letters[chance.integers(len(letters))]


def descendant(residues: str, states: str, chance: np.random.Generator) -> str:
    """Exchange some residues for others that their structure takes."""
    drawn = [residue(state, place, chance) for place, state in enumerate(states)]
    changed = chance.random(len(residues)) < MUTATED
    return "".join(new if one else old for new, old, one in zip(drawn, residues, changed, strict=True))


def save(folder: str | Path, train: int = 90, test: int = 30, seed: int = 0) -> Path:
    """Write ``train.fasta`` and ``test.fasta``, with the class of each protein in its header, and their structures beside.

    Args:
        train: families to learn from; ``test`` of others, held out.
        seed: the same seed makes up the same.
    """
    chance = np.random.default_rng(seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("test", test)):
        sequences, structures = "", ""
        for family in range(count):
            kind = sorted(KINDS)[family % len(KINDS)]
            ancestor, states = protein(kind, chance)
            for relative in range(RELATIVES):
                name = f"{part}{family:02}{'abc'[relative]}"
                sequences += f">{name} class={kind}\n{descendant(ancestor, states, chance)}\n"
                structures += f">{name}\n{states}\n"
        Path(folder, f"{part}.fasta").write_text(sequences, encoding="utf-8")
        Path(folder, f"{part}.labels.fasta").write_text(structures, encoding="utf-8")
    return Path(folder)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="gets train.fasta, test.fasta and their labels")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    save(given.folder, seed=given.seed)
