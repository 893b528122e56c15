"""The split by sequence identity: kin stays together, so that what is judged was not seen in another form.

Pairs that may be kin are found by MinHash (Broder, 1997, On the resemblance and containment of documents) over words of k
letters, with one word alike enough for a look; each pair is then judged by all of its words. The share of words that two
sequences have in common falls with the k-th power of their identity (Ondov and others, 2016, Mash: fast genome and metagenome
distance estimation using MinHash), so its k-th root estimates that.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taskgraft.plugin import InvalidRows, Rows, TaskgraftError, split_by_column
from taskgraft_protein.data_settings import SequenceIdentityConfig

PERMUTATIONS = 128
"""Hashes per sequence. Of two that share 3 % of their words, as at an identity of a half, 87 in 100 pairs are looked at."""

STRETCH = 0.3
"""Least share of the shorter sequence over which the middle eight of ten shared words stretch: tags and repeats make no kin."""

WORDS = 3
"""Fewest words that kin shares, where the shorter sequence has so many: one or two are alike by chance."""


def by_identity(
    rows: Rows, targets: Sequence[str], config: SequenceIdentityConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    """Divide rows so that no cluster of like sequences stands in two parts, or as a column says.

    Raises:
        InvalidRows: for rows without a sequence, and where a column puts one sequence into two parts.
        OneCluster: when all sequences are of one cluster.
    """
    sequences = [str(value or "").strip().upper() for value in rows.values(config.column)]
    empty = {row: f"the column '{config.column}' is empty" for row, sequence in enumerate(sequences) if not sequence}
    if empty:
        raise InvalidRows(rows, empty)
    if config.part is not None:
        parts = split_by_column(rows, config.part)
        _check_apart(rows, sequences, parts, config.part)
        return parts
    members = clusters(sequences, config.identity, config.k)
    if len(members) < 2:
        raise OneCluster(rows.source, len(rows), config.identity)
    return _held_out(members, len(rows), config.validation or 0.0, seed)


def clusters(sequences: Sequence[str], identity: float, k: int) -> list[list[int]]:
    """Put sequences together that are at least this identical, or linked by others that are.

    Args:
        sequences: in capital letters.
        identity: from 0 to 1.
        k: letters per word.

    Returns:
        the numbers of the sequences of each cluster; clusters in the order of their first ones.
    """
    kinds: dict[str, list[int]] = {}
    for number, sequence in enumerate(sequences):
        kinds.setdefault(sequence, []).append(number)
    words = [_words(sequence, k) for sequence in kinds]
    links = _Links(len(words))
    for one, other in _candidates([frozenset(some) for some in words]):
        if not links.joined(one, other) and _kin(words[one], words[other], identity, k):
            links.join(one, other)
    found: dict[int, list[int]] = {}
    for number, same in enumerate(kinds.values()):
        found.setdefault(links.root(number), []).extend(same)
    return [sorted(some) for some in found.values()]


def _words(sequence: str, k: int) -> list[str]:
    """Give the words of a sequence by place; one shorter than a word is a word."""
    return [sequence[start : start + k] for start in range(max(len(sequence) - k + 1, 1))]


def _candidates(words: Sequence[frozenset[str]]) -> Iterable[tuple[int, int]]:
    """Find pairs that share one of their least words under some permutation."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(PERMUTATIONS, 1))
    coded = (map(str.encode, some) for some in words)
    for number, sketch in enumerate(MinHash.generator(coded, num_perm=PERMUTATIONS, seed=1, hashfunc=zlib.crc32)):
        yield from ((number, other) for other in sorted(index.query(sketch)))
        index.insert(number, sketch)


def _kin(one: Sequence[str], other: Sequence[str], identity: float, k: int) -> bool:
    """Say whether two sequences, given by their words, are as identical as asked, over a good part of the shorter one."""
    shorter, longer = sorted((one, other), key=len)
    known = frozenset(longer)
    places = [place for place, word in enumerate(shorter) if word in known]
    if len(places) < min(WORDS, len(shorter)) or len(places) < identity**k * len(shorter):
        return False
    outer = len(places) // 10
    return places[-1 - outer] - places[outer] + k >= STRETCH * (len(shorter) + k - 1)


class _Links:
    """Numbers joined to clusters (union and find)."""

    def __init__(self, count: int):
        self._above = list(range(count))

    def root(self, number: int) -> int:
        """Give the number that stands for a cluster: its first."""
        while self._above[number] != number:
            self._above[number] = number = self._above[self._above[number]]
        return number

    def joined(self, one: int, other: int) -> bool:
        """Say whether two numbers are of one cluster."""
        return self.root(one) == self.root(other)

    def join(self, one: int, other: int) -> None:
        """Make two clusters one."""
        first, second = sorted((self.root(one), self.root(other)))
        self._above[second] = first


def _held_out(members: Sequence[Sequence[int]], count: int, share: float, seed: int) -> Mapping[str, Sequence[int]]:
    """Hold out clusters drawn at random, as many as fit into the share; the smallest where none does."""
    order = np.random.default_rng(seed).permutation(len(members)).tolist()
    wanted, held = round(share * count), list[int]()
    for cluster in order:
        if len(held) + len(members[cluster]) <= wanted:
            held += members[cluster]
    held = held or list(members[min(order, key=lambda cluster: len(members[cluster]))])
    outside = set(range(count)) - set(held)
    return {"train": sorted(outside), "validation": sorted(held)}


def _check_apart(rows: Rows, sequences: Sequence[str], parts: Mapping[str, Sequence[int]], column: str) -> None:
    """Refuse sequences that stand in two parts."""
    first: dict[str, tuple[str, int]] = {}
    reasons = {}
    for part, members in parts.items():
        for row in members:
            other, before = first.setdefault(sequences[row], (part, row))
            if other != part:
                reasons[row] = (
                    f"the sequence is in the part '{part}', and on {rows.location(before)} in the part '{other}'"
                )
    if reasons:
        raise InvalidRows(rows, reasons, f"Let the column '{column}' put each sequence into one part.")


@dataclass(eq=False)
class OneCluster(TaskgraftError):
    """Sequences that are all kin, so that none can be held out."""

    source: str
    count: int
    identity: float

    def __str__(self) -> str:
        return (
            f"{self.source}: all {self.count:,} sequences are one cluster at an identity of {self.identity:g}, so none can be "
            "held out as a stranger. Raise 'identity' of the split 'sequence-identity', or divide the rows another way."
        )
