"""Sequences → the stretches of them that go through a model, and back: one stretch, or windows that overlap."""

from dataclasses import dataclass

import torch
from torch import Tensor

from taskgraft.plugin import length_mask
from taskgraft_protein.alphabet import Alphabet


@dataclass(frozen=True)
class Stretches:
    """Where the stretches of a batch of sequences lie.

    A sequence that is not too long is one stretch. A longer one is read in windows of the longest length allowed, which begin
    at even distances, but for the last, which ends with the sequence.

    Attributes:
        lengths: ``(batch,)`` int64, residues of each sequence.
        counts: ``(batch,)`` int64, its stretches.
        sizes: ``(batch,)`` int64, residues of each of its stretches.
        starts: ``(batch, stretch)`` int64, where a stretch begins in its sequence; anything past their number.
    """

    lengths: Tensor
    counts: Tensor
    sizes: Tensor
    starts: Tensor

    @property
    def real(self) -> Tensor:
        """``(batch, stretch)`` bool, which there are."""
        return length_mask(self.counts, self.starts.shape[1])

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        """``(stretches,)`` int64 both: the sequence of each stretch, and its number in it. One each needs no look at counts."""
        if self.starts.shape[1] == 1:
            return torch.arange(len(self.counts), device=self.counts.device), torch.zeros_like(self.counts)
        row, stretch = self.real.nonzero(as_tuple=True)
        return row, stretch

    @property
    def longest(self) -> int:
        """The residues of the longest stretch."""
        return int(self.sizes.max())


def stretches(lengths: Tensor, most: int | None, overlap: int) -> Stretches:
    """Lay stretches over sequences.

    Args:
        lengths: ``(batch,)`` int64, residues of each sequence, 1 or more.
        most: residues of a window; None reads every sequence as one stretch.
        overlap: residues that neighbouring windows share, fewer than ``most``.
    """
    sizes = lengths if most is None else lengths.clamp(max=most)
    step = 1 if most is None else most - overlap
    counts = 1 + (lengths - sizes + step - 1) // step
    starts = torch.arange(int(counts.max()), device=lengths.device)[None, :] * step
    return Stretches(lengths, counts, sizes, torch.minimum(starts, (lengths - sizes)[:, None]))


def tokens(residues: Tensor, laid: Stretches, alphabet: Alphabet) -> tuple[Tensor, Tensor]:
    """Write all stretches out, each enclosed as the model wants it.

    Args:
        residues: ``(batch, element)`` int64.

    Returns:
        tokens ``(stretches, token)`` int64, the padding token where none is; and which are real, ``(stretches, token)`` bool.
    """
    row, stretch = laid.places
    size, start = laid.sizes[row], laid.starts[row, stretch]
    place = torch.arange(laid.longest, device=residues.device)[None, :]
    taken = residues[row].gather(1, (start[:, None] + place).clamp(max=residues.shape[1] - 1))
    before, after = len(alphabet.before), len(alphabet.after)
    ids = residues.new_full((len(row), before + laid.longest + after), alphabet.padding)
    ids[:, :before] = residues.new_tensor(alphabet.before)
    ids[:, before : before + laid.longest] = torch.where(place < size[:, None], taken, alphabet.padding)
    for number, token in enumerate(alphabet.after):
        ids.scatter_(1, (before + size + number)[:, None], token)
    return ids, length_mask(size + alphabet.special, ids.shape[1])


def residue_vectors(hidden: Tensor, laid: Stretches, alphabet: Alphabet) -> Tensor:
    """Give one vector per residue; where windows overlap, that of the window in which it lies furthest from an end.

    Args:
        hidden: ``(stretches, token, feature)``.

    Returns:
        ``(batch, element, feature)``; anything past a sequence's end.
    """
    place = torch.arange(int(laid.lengths.max()), device=hidden.device)[None, None, :] - laid.starts[..., None]
    margin = torch.minimum(place, laid.sizes[:, None, None] - 1 - place)
    stretch = margin.masked_fill(~laid.real[..., None], -hidden.shape[1] - int(laid.lengths.max())).argmax(1)
    first = laid.counts.cumsum(0) - laid.counts
    within = place.gather(1, stretch[:, None, :])[:, 0]
    token = (within + len(alphabet.before)).clamp(max=hidden.shape[1] - 1)
    return hidden[first[:, None] + stretch, token]
