"""SMILES → tokens, one per atom, bond, branch and ring closure."""

import re

from taskgraft.plugin import Columns

from plugin_molecule.molecule import canonical_smiles, parse_smiles
from plugin_molecule.settings import SMILES, SmilesTransformerConfig

PATTERN = re.compile(
    r"\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%[0-9]{2}|[0-9]"
)
"""Schwaller and others (2018), "Found in translation": predicting outcomes of complex organic chemistry reactions."""

BASE_VOCABULARY = tuple("B Br C Cl N O S P F I b c n o s p * ( ) . = # - \\ / : ~ > $".split())
BASE_VOCABULARY += (*map(str, range(10)), *(f"%{number}" for number in range(10, 30)))
"""Tokens of every vocabulary; atoms in brackets come from the training molecules."""

UNKNOWN, MASK, FIRST = 1, 2, 3
"""Ids of an unknown token, of a masked one, and of the first of the vocabulary. 0 is padding."""


def tokenize(smiles: str) -> list[str]:
    """Split a SMILES into tokens, ignoring characters that are not tokens."""
    return PATTERN.findall(smiles)


def is_atom(token: str) -> bool:
    """Whether a token is an atom."""
    return token[0].isalpha() or token[0] in "[*"


def fit_config(config: SmilesTransformerConfig, inputs: Columns) -> SmilesTransformerConfig:
    """Add the tokens of the training molecules to the settings, unless they have a vocabulary from an artifact.

    Each chiral atom comes with its mirror image, which another SMILES of the same molecule may contain.
    """
    if config.vocabulary:
        return config
    molecules = [molecule for molecule in map(parse_smiles, inputs[SMILES]) if not isinstance(molecule, str)]
    seen = {token for molecule in molecules for token in tokenize(canonical_smiles(molecule).smiles)} - set(
        BASE_VOCABULARY
    )
    mirrored = {token.replace("@@", "@") if "@@" in token else token.replace("@", "@@") for token in seen}
    return config.model_copy(update={"vocabulary": (*BASE_VOCABULARY, *sorted(seen | mirrored))})
