"""SMILES → tokens, one per atom, bond, branch and ring closure."""

import re

from taskgraft.plugin import Columns

from plugin_molecule.molecule import canonical, read
from plugin_molecule.settings import SMILES, SmilesTransformerConfig

PATTERN = re.compile(
    r"\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%[0-9]{2}|[0-9]"
)
"""Schwaller and others (2018), "Found in translation": predicting outcomes of complex organic chemistry reactions."""

PLAIN = tuple("B Br C Cl N O S P F I b c n o s p * ( ) . = # - \\ / : ~ > $".split())
PLAIN += (*map(str, range(10)), *(f"%{number}" for number in range(10, 30)))
"""Tokens that every vocabulary has; atoms in brackets are learned."""

UNKNOWN, MASK, FIRST = 1, 2, 3
"""The number of a token that the vocabulary lacks, of a hidden one, and of the first of the vocabulary. 0 is padding."""


def tokens_of(smiles: str) -> list[str]:
    """Take a SMILES apart. What is no token is left out."""
    return PATTERN.findall(smiles)


def is_atom(token: str) -> bool:
    """Say whether a token stands for an atom."""
    return token[0].isalpha() or token[0] in "[*"


def learned(config: SmilesTransformerConfig, inputs: Columns) -> SmilesTransformerConfig:
    """Complete the settings by the tokens of the training molecules, unless they have some: those of an artifact.

    With an atom that has a hand goes its mirror image: another writing of the same molecule may have that one.
    """
    if config.vocabulary:
        return config
    known = [molecule for molecule in map(read, inputs[SMILES]) if not isinstance(molecule, str)]
    seen = {token for molecule in known for token in tokens_of(canonical(molecule).smiles)} - set(PLAIN)
    mirrored = {token.replace("@@", "@") if "@@" in token else token.replace("@", "@@") for token in seen}
    return config.model_copy(update={"vocabulary": (*PLAIN, *sorted(seen | mirrored))})
