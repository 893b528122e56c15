"""The split by sequence identity: homologs stay together, so no validation sequence is a variant of a training sequence.

Pairs that may be similar are found by MinHash (Broder, 1997, On the resemblance and containment of documents) over k-mers: one
equal hash is enough to compare two sequences by all of their k-mers. The share of k-mers that two sequences have in common
falls with the k-th power of their identity (Ondov and others, 2016, Mash: fast genome and metagenome distance estimation using
MinHash), so its k-th root estimates the identity.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from taskgraft.plugin import InvalidRows, Rows, TaskgraftError, split_by_column
from taskgraft_protein.data_settings import SequenceIdentityConfig

PERMUTATIONS = 128
"""Hashes per sequence. Of pairs that share 3 % of their k-mers, as at an identity of 0.5, 87 in 100 are compared."""

MIN_SPAN = 0.3
"""Least share of the shorter sequence that the middle 80 % of the shared k-mers span, so tags and repeats do not count."""

MIN_SHARED = 3
"""Fewest k-mers that similar sequences share, if the shorter one has that many: one or two are equal by chance."""


class ProteinError(TaskgraftError):
    """Sequences that cannot be split."""


def split_by_identity(
    rows: Rows, targets: Sequence[str], config: SequenceIdentityConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    """Split rows so that no cluster of similar sequences is in two parts, or as a column says.

    Raises:
        InvalidRows: for rows without a sequence, and for a sequence that a column puts into two parts.
        ProteinError: if all sequences are in one cluster.
    """
    sequences = [str(value or "").strip().upper() for value in rows.values(config.column)]
    empty = {row: f"the column '{config.column}' is empty" for row, sequence in enumerate(sequences) if not sequence}
    if empty:
        raise InvalidRows(rows, empty)
    if config.part is not None:
        parts = split_by_column(rows, config.part)
        _check_no_overlap(rows, sequences, parts, config.part)
        return parts
    clusters = cluster_sequences(sequences, config.identity, config.k)
    if len(clusters) < 2:
        raise ProteinError(
            f"{rows.source}: all {len(rows):,} sequences are in one cluster at an identity of {config.identity:g}, so none can "
            "be held out. Raise 'identity' of the split 'sequence-identity', or choose another split."
        )
    return _hold_out(clusters, len(rows), config.validation or 0.0, seed)


def cluster_sequences(sequences: Sequence[str], identity: float, k: int) -> list[list[int]]:
    """Cluster sequences that are at least this identical, or connected by others that are.

    Args:
        sequences: in upper case.
        identity: from 0 to 1.
        k: letters per k-mer.

    Returns:
        the indices of the sequences of each cluster; clusters in the order of their first sequence.
    """
    equal: dict[str, list[int]] = {}
    for index, sequence in enumerate(sequences):
        equal.setdefault(sequence, []).append(index)
    kmers = [_kmers(sequence, k) for sequence in equal]
    groups = _DisjointSets(len(kmers))
    for one, other in _candidates([frozenset(some) for some in kmers]):
        if groups.root(one) != groups.root(other) and _similar(kmers[one], kmers[other], identity, k):
            groups.join(one, other)
    clusters: dict[int, list[int]] = {}
    for distinct, indices in enumerate(equal.values()):
        clusters.setdefault(groups.root(distinct), []).extend(indices)
    return [sorted(cluster) for cluster in clusters.values()]


def _kmers(sequence: str, k: int) -> list[str]:
    """Give the k-mers of a sequence by position; a sequence shorter than k is one."""
    return [sequence[start : start + k] for start in range(max(len(sequence) - k + 1, 1))]


def _candidates(kmers: Sequence[frozenset[str]]) -> Iterable[tuple[int, int]]:
    """Find pairs with an equal MinHash under some permutation."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(PERMUTATIONS, 1))
    encoded = (map(str.encode, some) for some in kmers)
    sketches = MinHash.generator(encoded, num_perm=PERMUTATIONS, seed=1, hashfunc=zlib.crc32)
    for number, sketch in enumerate(sketches):
        yield from ((number, other) for other in sorted(index.query(sketch)))
        index.insert(number, sketch)


def _similar(one: Sequence[str], other: Sequence[str], identity: float, k: int) -> bool:
    """Compare two sequences, given by their k-mers: as identical as asked, over enough of the shorter one."""
    shorter, longer = sorted((one, other), key=len)
    in_longer = frozenset(longer)
    shared = [position for position, kmer in enumerate(shorter) if kmer in in_longer]
    if len(shared) < min(MIN_SHARED, len(shorter)) or len(shared) < identity**k * len(shorter):
        return False
    outer = len(shared) // 10
    return shared[-1 - outer] - shared[outer] + k >= MIN_SPAN * (len(shorter) + k - 1)


class _DisjointSets:
    """Sets of indices that can be joined (union–find)."""

    def __init__(self, count: int):
        self._parent = list(range(count))

    def root(self, index: int) -> int:
        """Give the smallest index of a set."""
        while self._parent[index] != index:
            self._parent[index] = index = self._parent[self._parent[index]]
        return index

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first


def _hold_out(clusters: Sequence[Sequence[int]], count: int, share: float, seed: int) -> Mapping[str, Sequence[int]]:
    """Choose validation clusters at random, as many as fit into the share; the smallest one if none does."""
    order = np.random.default_rng(seed).permutation(len(clusters)).tolist()
    limit, validation = round(share * count), list[int]()
    for cluster in order:
        if len(validation) + len(clusters[cluster]) <= limit:
            validation += clusters[cluster]
    validation = validation or list(clusters[min(order, key=lambda cluster: len(clusters[cluster]))])
    return {"train": sorted(set(range(count)) - set(validation)), "validation": sorted(validation)}


def _check_no_overlap(rows: Rows, sequences: Sequence[str], parts: Mapping[str, Sequence[int]], column: str) -> None:
    """Raise InvalidRows for sequences that are in two parts."""
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
