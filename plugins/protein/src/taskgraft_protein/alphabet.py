"""Which letters a protein language model reads, and as which tokens: from its configuration and vocabulary, not its name."""

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
"""Any residue; and selenocysteine, pyrrolysine and the two letters that mean one of two residues."""

_T5 = frozenset({"t5", "mt5", "umt5"})
_SIGN = re.compile(r"[<\[].*[>\]]|\W?")
"""Tokens that are not residues: <cls>, [PAD], a gap, a lone space mark."""

_SPACE = "▁"
"""The space mark that a sentence piece starts with after a space."""


@dataclass(frozen=True)
class Alphabet:
    """How a model reads residues. All numbers are token ids.

    Attributes:
        letters: those it distinguishes, without X.
        numbers: the token of each letter.
        unknown: the token of X, which every other letter is read as.
        before, after: the special tokens around a sequence.
        padding: the padding token.
        mask: the mask token; None if there is none.
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
        """The number of special tokens around a sequence."""
        return len(self.before) + len(self.after)

    @property
    def table(self) -> NDArray[np.int64]:
        """The token of each byte, ``(256,)``; that of X for bytes that are none of the letters."""
        table = np.full(256, self.unknown, dtype=np.int64)
        table[np.frombuffer(self.letters.encode(), np.uint8)] = self.numbers
        return table


ESM_TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>")
"""The vocabulary of ESM-1b and ESM-2 (Rives et al., 2021)."""

ESM = Alphabet(
    letters=RESIDUES + RARE,
    numbers=tuple(ESM_TOKENS.index(letter) for letter in RESIDUES + RARE),
    unknown=24,
    before=(0,),
    after=(2,),
    padding=1,
    mask=32,
)
"""The alphabet of ESM-1b and ESM-2."""


def read_alphabet(name: str, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> Alphabet:
    """Find out how the model of a checkpoint reads residues.

    Rare residues are read as X if the vocabulary lacks them, and by models that were trained that way: BERTs, and T5s whose
    tokens are sentence pieces (ProtBERT, ProtT5: Elnaggar et al., 2022). ESM and T5s whose tokens are bare letters (Ankh) read
    them as themselves.

    Args:
        name: of the checkpoint, for error messages.

    Raises:
        InvalidCheckpoint: if its vocabulary is not one of residues.
    """
    with translate_errors(name, "its tokenizer"):
        vocabulary = tokenizer.get_vocab()
    tokens = _letter_tokens(name, vocabulary, tokenizer.all_special_tokens)
    model_type = getattr(config, "model_type", "")
    distinguishes_rare = model_type == "esm" or (model_type in _T5 and f"{_SPACE}A" not in vocabulary)
    letters = "".join(letter for letter in RESIDUES + (RARE if distinguishes_rare else "") if letter in tokens)
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


def _letter_tokens(name: str, vocabulary: Mapping[str, int], special: Sequence[str]) -> dict[str, int]:
    """Give the token of each letter.

    Raises:
        InvalidCheckpoint: if the vocabulary has a token of several letters, or lacks a residue.
    """
    prefix = _SPACE if f"{_SPACE}A" in vocabulary else ""
    letters = {text.removeprefix(prefix): token for text, token in vocabulary.items() if text not in special}
    letters = {text: token for text, token in letters.items() if not _SIGN.fullmatch(text)}
    if longer := sorted((text for text in letters if len(text) > 1), key=lambda text: (-len(text), text)):
        words = join_words([f"'{text}'" for text in longer], 3)
        raise InvalidCheckpoint(name, f"its vocabulary is not one of residues: it contains {words}")
    if missing := [letter for letter in RESIDUES + UNKNOWN if letter not in letters]:
        raise InvalidCheckpoint(name, f"its vocabulary is not one of residues: it lacks {join_words(missing, 3)}")
    return letters


def _special_tokens(
    name: str, tokenizer: PreTrainedTokenizerBase, residue: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the special tokens before and after a sequence, by tokenizing a single residue."""
    with translate_errors(name, "its tokenizer"):
        special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        tokens = [int(token) for token in tokenizer("A")["input_ids"] if token == residue or token in special]
    if tokens.count(residue) != 1:
        raise InvalidCheckpoint(name, "its tokenizer does not read the residue A as one token")
    index = tokens.index(residue)
    return tuple(tokens[:index]), tuple(tokens[index + 1 :])
