"""Generate proteins with their secondary structure: ``python examples/proteins/generate.py FOLDER``."""

import argparse
from pathlib import Path

import numpy as np

HYDROPHOBIC, HYDROPHILIC = {"H": "ALMI", "E": "VIFYW", "C": "GPNDS"}, {"H": "EKQRA", "E": "TKSRQ", "C": "GPNDSTKE"}
"""Residues that face inside and outside in a helix (H), a strand (E) and a loop (C)."""

INSIDE_POSITIONS = {"H": (0, 3, 4, 7), "E": (0, 2, 4, 6, 8)}
"""Positions that face inside: every third or fourth in a helix, which turns once in 3.6 residues; every second in a strand."""

LENGTHS = {"H": (9, 16), "E": (5, 9), "C": (3, 6)}
"""Fewest and most residues of a helix, strand or loop."""

CLASSES = {"alpha": "H", "beta": "E", "mixed": "HE"}
"""Class → its structures, besides loops."""

COUNTS = (4, 6)
"""Fewest and most helices and strands of a protein."""

RELATIVES, MUTATED = 3, 0.15
"""Proteins of a family, and the share of their residues that are substituted."""


def protein(class_name: str, random: np.random.Generator) -> tuple[str, str]:
    """Generate an ancestor: its residues, and the letter of the structure of each."""
    states = ""
    for index in range(random.integers(COUNTS[0], COUNTS[1] + 1)):
        for state in ("C", CLASSES[class_name][index % len(CLASSES[class_name])]):
            states += state * int(random.integers(LENGTHS[state][0], LENGTHS[state][1] + 1))
    states += "C" * LENGTHS["C"][0]
    starts = [0]
    for position in range(1, len(states)):
        starts.append(starts[-1] if states[position] == states[position - 1] else position)
    pairs = enumerate(zip(states, starts, strict=True))
    return "".join(residue(state, position - start, random) for position, (state, start) in pairs), states


def residue(state: str, position: int, random: np.random.Generator) -> str:
    """Draw a residue for a position in a helix, a strand or a loop; one in five faces the wrong way."""
    inside = state != "C" and position % (7 if state == "H" else 10) in INSIDE_POSITIONS[state]
    letters = HYDROPHOBIC[state] if inside != (random.random() < 0.2) else HYDROPHILIC[state]
    return letters[random.integers(len(letters))]


def descendant(residues: str, states: str, random: np.random.Generator) -> str:
    """Substitute some residues by others that fit their structure."""
    substitutes = [residue(state, position, random) for position, state in enumerate(states)]
    changed = random.random(len(residues)) < MUTATED
    return "".join(new if one else old for new, old, one in zip(substitutes, residues, changed, strict=True))


def save(folder: str | Path, train: int = 90, test: int = 30, seed: int = 0) -> Path:
    """Write ``train.fasta`` and ``test.fasta``, with the class of each protein in its header, and files with their structures.

    Args:
        train: number of training families; ``test`` is that of other families.
        seed: equal seeds give equal files.
    """
    random = np.random.default_rng(seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("test", test)):
        sequences, structures = "", ""
        for family in range(count):
            class_name = sorted(CLASSES)[family % len(CLASSES)]
            ancestor, states = protein(class_name, random)
            for relative in range(RELATIVES):
                name = f"{part}{family:02}{'abc'[relative]}"
                sequences += f">{name} class={class_name}\n{descendant(ancestor, states, random)}\n"
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
