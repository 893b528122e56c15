"""Card precision: of the cards that a team can review each day, the share that is compromised."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.plugin import to_arrow
from taskgraft_fraud.parse_cells import factorize, parse_texts, to_arrow_array


class CardPrecision:
    """Card precision top-k, computed for many resamples of the same rows.

    From Le Borgne, Siblini, Lebichot and Bontempi, 2022, Reproducible machine learning for credit card fraud detection:
    practical handbook, chapter 4. Each day, the k cards of highest score (each by its highest of the day) are reviewed; the
    day's precision is the share of them with a fraud on that day. A card that was reviewed on a day of its fraud is known
    from then on, and left out of later days. The result is the mean over days, without days that have no card left.

    If ties straddle rank k, each of those cards counts by the share that fits, and none of them becomes known. A row without
    customer is a card of its own. Rows that agree in every column are one row that was resampled, and a card of such rows
    counts as often as its most frequent one.
    """

    def __init__(
        self,
        customers: Sequence[Any],
        days: NDArray[np.int64],
        scores: NDArray[np.float64],
        fraud: NDArray[np.bool_],
        columns: Mapping[str, Sequence[Any]],
    ):
        """Group the rows by day and card.

        Args:
            columns: all columns of the rows, to distinguish different rows from copies of one row.
        """
        codes, names = factorize(parse_texts(to_arrow_array(customers), "customer").values)
        ranks = np.unique(scores, return_inverse=True)[1]
        first, self._row = _distinct_rows(np.stack([codes, days, ranks, fraud]), columns)
        customer = codes[first]
        missing = customer < 0
        customer[missing] = len(names) + np.arange(missing.sum())
        self._customers = len(names) + int(missing.sum())
        self._order = np.lexsort((customer, days[first]))
        day, customer = days[first][self._order], customer[self._order]
        self._ranks, self._fraud = ranks[first][self._order], fraud[first][self._order]
        self._starts = _run_starts(np.stack([day, customer]))  # of each card on each day
        self._customer = customer[self._starts]
        self._days = np.append(_run_starts(day[None, self._starts]), len(self._starts))

    def precision(self, counts: NDArray[np.int64], k: int) -> float:
        """Compute the mean daily precision of the k highest cards, from 0 to 1.

        Args:
            counts: ``(row,)``, how often each row is in the resample; not all 0.
        """
        copies = np.bincount(self._row, counts, len(self._order)).astype(np.int64)[self._order]
        present = copies > 0
        card_copies = np.maximum.reduceat(copies, self._starts)
        highest = np.maximum.reduceat(np.where(present, self._ranks, -1), self._starts)
        fraud = np.logical_or.reduceat(present & self._fraud, self._starts)
        known = np.zeros(self._customers, dtype=np.bool_)
        precisions = []
        for start, stop in zip(self._days[:-1], self._days[1:], strict=True):
            cards = start + np.flatnonzero((card_copies[start:stop] > 0) & ~known[self._customer[start:stop]])
            if len(cards):
                precision, detected = _precision_of_day(highest[cards], card_copies[cards], fraud[cards], k)
                known[self._customer[cards[detected]]] = True
                precisions.append(precision)
        return float(np.mean(precisions))


def _precision_of_day(
    ranks: NDArray[np.int64], copies: NDArray[np.int64], fraud: NDArray[np.bool_], k: int
) -> tuple[float, NDArray[np.bool_]]:
    """Review the k highest cards of a day: the share of fraud among them, and the cards detected, ``(card,)`` bool."""
    if (total := copies.sum()) <= k:
        return float(copies[fraud].sum() / total), fraud
    top = np.argpartition(ranks, -k)[-k:] if len(ranks) > k else np.arange(len(ranks))
    top = top[np.argsort(-ranks[top])]
    limit = ranks[top[np.searchsorted(np.cumsum(copies[top]), k)]]
    above, tied = ranks > limit, ranks == limit
    room, tied_count = k - copies[above].sum(), copies[tied].sum()
    hits = copies[above & fraud].sum() + room / tied_count * copies[tied & fraud].sum()
    return float(hits / k), fraud & (ranks >= limit if room == tied_count else above)


def _distinct_rows(
    keys: NDArray[np.int64], columns: Mapping[str, Sequence[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the distinct rows: first by a few keys ``(key, row)``, then, only for rows that agree in these, by every column.

    Returns:
        the index of the first row of each distinct row, and for each row the index of its distinct row.
    """
    order = np.lexsort(keys)
    opens_run = np.zeros(len(order), dtype=np.bool_)
    opens_run[_run_starts(keys[:, order])] = True
    repeated = np.append(~opens_run[1:], False) | ~opens_run
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(opens_run) - 1
    rows = np.sort(order[repeated])
    cells = [to_arrow(values).take(pa.array(rows)).to_pylist() for values in columns.values()]
    numbers: dict[tuple[int, str], int] = {}
    for row, *content in zip(rows.tolist(), *cells, strict=True):
        number[row] = numbers.setdefault((int(number[row]), repr(content)), len(order) + len(numbers))
    _, first, row_of = np.unique(number, return_index=True, return_inverse=True)
    return first, row_of


def _run_starts(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find where runs of equal columns start in ``(key, position)``."""
    return np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(0))[: keys.shape[1]])
