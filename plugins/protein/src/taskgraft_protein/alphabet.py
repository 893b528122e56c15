"""Which letters a protein language model reads, and as what: told by its configuration and vocabulary, never its name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from taskgraft.plugin import InvalidCheckpoint, join_words, translate_errors

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
"""The twenty residues that every protein language model knows."""

UNKNOWN, RARE = "X", "BOUZ"
"""Any residue; and selenocysteine, pyrrolysine and the two that stand for one of two."""

_T5 = frozenset({"t5", "mt5", "umt5"})
_SIGN = re.compile(r"[<\[].*[>\]]|\W?")
"""Tokens that are no residues: <cls>, [PAD], a gap, the mark of a space without more."""

_SPACE = "▁"
"""What begins a sentence piece that stands after a space."""


@dataclass(frozen=True)
class Alphabet:
    """How a model reads residues.

    Attributes:
        letters: those it tells apart, X left out.
        numbers: the token of each letter.
        unknown: the token of X, which stands for every other letter.
        before, after: tokens that enclose a sequence.
        padding: the token at positions past the end.
        mask: the token that hides a residue; None when there is none.
    """

    letters: str
    numbers: tuple[int, ...]
    unknown: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int
    mask: int | None

    @property
    def special(self) -> int:
        """How many tokens enclose a sequence."""
        return len(self.before) + len(self.after)

    @property
    def table(self) -> NDArray[np.int64]:
        """The token of each byte, ``(256,)``; that of X for all that are none of the letters."""
        table = np.full(256, self.unknown, dtype=np.int64)
        table[np.frombuffer(self.letters.encode(), np.uint8)] = self.numbers
        return table


ESM_TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>")
"""The vocabulary of ESM-1b and ESM-2."""

ESM = Alphabet(
    letters=RESIDUES + RARE,
    numbers=tuple(ESM_TOKENS.index(letter) for letter in RESIDUES + RARE),
    unknown=24,
    before=(0,),
    after=(2,),
    padding=1,
    mask=32,
)
"""The alphabet of ESM-1b and ESM-2 (Rives et al., 2021), of 33 tokens."""


def read_alphabet(name: str, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> Alphabet:
    """Find out how the model of a checkpoint reads residues.

    Rare residues are read as X where the vocabulary does not have them, and by models trained that way: BERTs, and T5s whose
    tokens are sentence pieces (ProtBERT, ProtT5: Elnaggar et al., 2022), not by ESM and by T5s whose tokens are bare letters
    (Ankh).

    Args:
        name: of the checkpoint, for messages.

    Raises:
        InvalidCheckpoint: when its vocabulary is none of residues.
    """
    with translate_errors(name, "its tokenizer"):
        vocabulary = tokenizer.get_vocab()
    tokens = _tokens_of_residues(name, vocabulary, tokenizer.all_special_tokens)
    kind = getattr(config, "model_type", "")
    told_apart = kind == "esm" or (kind in _T5 and f"{_SPACE}A" not in vocabulary)
    letters = "".join(letter for letter in RESIDUES + (RARE if told_apart else "") if letter in tokens)
    before, after = _special_tokens(name, tokenizer, tokens["A"])
    padding, mask = tokenizer.pad_token_id, tokenizer.mask_token_id
    return Alphabet(
        letters,
        tuple(tokens[letter] for letter in letters),
        tokens[UNKNOWN],
        before,
        after,
        int(padding or 0),
        None if mask is None else int(mask),
    )


def _tokens_of_residues(name: str, vocabulary: Mapping[str, int], special: Sequence[str]) -> dict[str, int]:
    """Give the token of each letter.

    Raises:
        InvalidCheckpoint: when the vocabulary holds anything longer than a letter, or lacks a residue.
    """
    prefix = _SPACE if f"{_SPACE}A" in vocabulary else ""
    found = {token.removeprefix(prefix): number for token, number in vocabulary.items() if token not in special}
    found = {token: number for token, number in found.items() if not _SIGN.fullmatch(token)}
    if longer := sorted((token for token in found if len(token) > 1), key=lambda token: (-len(token), token)):
        words = join_words([f"'{token}'" for token in longer], 3)
        raise InvalidCheckpoint(name, f"its vocabulary is not one of residues, for it holds {words}")
    if missing := [letter for letter in RESIDUES + UNKNOWN if letter not in found]:
        raise InvalidCheckpoint(name, f"its vocabulary is not one of residues, for it lacks {join_words(missing, 3)}")
    return found


def _special_tokens(name: str, tokenizer: PreTrainedTokenizerBase, residue: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the tokens before and after a sequence, by one of a single residue."""
    with translate_errors(name, "its tokenizer"):
        special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        tokens = [int(token) for token in tokenizer("A")["input_ids"] if token == residue or token in special]
    if tokens.count(residue) != 1:
        raise InvalidCheckpoint(name, "its tokenizer does not read the residue A as one token")
    place = tokens.index(residue)
    return tuple(tokens[:place]), tuple(tokens[place + 1 :])
