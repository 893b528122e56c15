"""Divide sequences into the windows that go through a model, and assemble the residue vectors of the windows again."""

from dataclasses import dataclass

import torch
from torch import Tensor

from taskgraft.plugin import length_mask
from taskgraft_protein.alphabet import Alphabet


@dataclass(frozen=True)
class Windows:
    """The windows of a batch of sequences.

    A sequence up to the greatest length allowed is one window. A longer one has several windows of that length, which start at
    even distances, except that the last one ends with the sequence.

    Attributes:
        lengths: ``(batch,)`` int64, residues of each sequence.
        counts: ``(batch,)`` int64, windows of each sequence.
        sizes: ``(batch,)`` int64, residues of each window of the sequence.
        starts: ``(batch, window)`` int64, where a window starts in its sequence; any value at padding.
    """

    lengths: Tensor
    counts: Tensor
    sizes: Tensor
    starts: Tensor

    @property
    def real(self) -> Tensor:
        """``(batch, window)`` bool, False at padding."""
        return length_mask(self.counts, self.starts.shape[1])

    @property
    def indices(self) -> tuple[Tensor, Tensor]:
        """Both ``(windows,)`` int64: the sequence of each window, and its index in that sequence.

        If each sequence has one window, they are computed without reading ``counts``, which would wait for the GPU.
        """
        if self.starts.shape[1] == 1:
            return torch.arange(len(self.counts), device=self.counts.device), torch.zeros_like(self.counts)
        row, window = self.real.nonzero(as_tuple=True)
        return row, window

    @property
    def longest(self) -> int:
        """Residues of the longest window."""
        return int(self.sizes.max())


def split_windows(lengths: Tensor, max_size: int | None, overlap: int) -> Windows:
    """Divide sequences into windows.

    Args:
        lengths: ``(batch,)`` int64, residues of each sequence, 1 or more.
        max_size: residues of a window; None makes one window of each sequence.
        overlap: residues that neighbouring windows share, fewer than ``max_size``.
    """
    sizes = lengths if max_size is None else lengths.clamp(max=max_size)
    step = 1 if max_size is None else max_size - overlap
    counts = 1 + (lengths - sizes + step - 1) // step
    starts = torch.arange(int(counts.max()), device=lengths.device)[None, :] * step
    return Windows(lengths, counts, sizes, torch.minimum(starts, (lengths - sizes)[:, None]))


def window_tokens(residues: Tensor, windows: Windows, alphabet: Alphabet) -> tuple[Tensor, Tensor]:
    """Make the token ids of all windows, with special tokens.

    Args:
        residues: ``(batch, element)`` int64.

    Returns:
        ``(windows, token)`` int64 with the padding token at padding, and ``(windows, token)`` bool, False at padding.
    """
    row, window = windows.indices
    size, start = windows.sizes[row], windows.starts[row, window]
    position = torch.arange(windows.longest, device=residues.device)[None, :]
    inside = residues[row].gather(1, (start[:, None] + position).clamp(max=residues.shape[1] - 1))
    before, after = len(alphabet.before), len(alphabet.after)
    ids = residues.new_full((len(row), before + windows.longest + after), alphabet.padding)
    ids[:, :before] = residues.new_tensor(alphabet.before)
    ids[:, before : before + windows.longest] = torch.where(position < size[:, None], inside, alphabet.padding)
    for index, token in enumerate(alphabet.after):
        ids.scatter_(1, (before + size + index)[:, None], token)
    return ids, length_mask(size + alphabet.special, ids.shape[1])


def residue_vectors(hidden: Tensor, windows: Windows, alphabet: Alphabet) -> Tensor:
    """Give one vector per residue. Where windows overlap, take the window in which the residue is furthest from an end.

    Args:
        hidden: ``(windows, token, feature)``.

    Returns:
        ``(batch, element, feature)``; any value at padding.
    """
    longest = int(windows.lengths.max())
    position = torch.arange(longest, device=hidden.device)[None, None, :] - windows.starts[..., None]
    margin = torch.minimum(position, windows.sizes[:, None, None] - 1 - position)
    window = margin.masked_fill(~windows.real[..., None], -hidden.shape[1] - longest).argmax(1)
    first = windows.counts.cumsum(0) - windows.counts
    inside = position.gather(1, window[:, None, :])[:, 0]
    token = (inside + len(alphabet.before)).clamp(max=hidden.shape[1] - 1)
    return hidden[first[:, None] + window, token]
