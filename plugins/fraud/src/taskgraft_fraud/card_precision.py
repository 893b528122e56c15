"""Card precision: of the cards that a team can look at each day, how many are compromised."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgraft.plugin import to_arrow
from taskgraft_fraud.cells import codes, column_of, texts


class Cards:
    """The cards of each day, each with its highest score of that day, for many resamples of the same rows.

    Card precision top-k (Le Borgne, Siblini, Lebichot, Bontempi, 2022, Reproducible machine learning for credit card fraud
    detection: practical handbook, chapter 4). Of each day, the k cards of the highest scores are looked at; its precision is
    the share of those with a fraud on that day. A card that was looked at on a day of its fraud is known from then on, and left
    out of later days. The mean over days is given, without those that have no card left.

    Where equal scores straddle the k-th place, each card counts by the share of them that fits, and none of them gets known. A
    row without customer is a card of its own. Rows that are equal in every column are one row that was drawn again, and a card
    of such rows counts as often as the one of them that was drawn most.
    """

    def __init__(
        self,
        customers: Sequence[Any],
        days: NDArray[np.int64],
        scores: NDArray[np.float64],
        fraud: NDArray[np.bool_],
        columns: Mapping[str, Sequence[Any]],
    ):
        """Put rows of a card and a day together.

        Args:
            columns: all that is known of the rows, to tell a row from one that was drawn again.
        """
        of_row, names = codes(texts(column_of(customers), "customer").values)
        ranks = np.unique(scores, return_inverse=True)[1]
        first, self._row = _different(np.stack([of_row, days, ranks, fraud]), columns)
        customer = of_row[first]
        alone = customer < 0
        customer[alone] = len(names) + np.arange(alone.sum())
        self._customers = len(names) + int(alone.sum())
        self._order = np.lexsort((customer, days[first]))
        day, customer = days[first][self._order], customer[self._order]
        self._ranks, self._fraud = ranks[first][self._order], fraud[first][self._order]
        self._starts = _run_starts(np.stack([day, customer]))  # of each card on each day
        self._customer = customer[self._starts]
        self._days = np.append(_run_starts(day[None, self._starts]), len(self._starts))

    def precision(self, times: NDArray[np.int64], k: int) -> float:
        """Compute the precision of the k highest cards per day, from 0 to 1.

        Args:
            times: ``(row,)``, how often each row counts; not all 0.
        """
        drawn = np.bincount(self._row, times, len(self._order)).astype(np.int64)[self._order]
        there = drawn > 0
        copies = np.maximum.reduceat(drawn, self._starts)
        highest = np.maximum.reduceat(np.where(there, self._ranks, -1), self._starts)
        fraud = np.logical_or.reduceat(there & self._fraud, self._starts)
        known = np.zeros(self._customers, dtype=np.bool_)
        shares = []
        for start, stop in zip(self._days[:-1], self._days[1:], strict=True):
            cards = start + np.flatnonzero((copies[start:stop] > 0) & ~known[self._customer[start:stop]])
            if len(cards):
                share, found = _looked_at(highest[cards], copies[cards], fraud[cards], k)
                known[self._customer[cards[found]]] = True
                shares.append(share)
        return float(np.mean(shares))


def _looked_at(
    ranks: NDArray[np.int64], copies: NDArray[np.int64], fraud: NDArray[np.bool_], k: int
) -> tuple[float, NDArray[np.bool_]]:
    """Look at the k highest cards of a day: the share of fraud, and which are known then."""
    if (total := copies.sum()) <= k:
        return float(copies[fraud].sum() / total), fraud
    some = np.argpartition(ranks, -k)[-k:] if len(ranks) > k else np.arange(len(ranks))
    some = some[np.argsort(-ranks[some])]
    limit = ranks[some[np.searchsorted(np.cumsum(copies[some]), k)]]
    above, equal = ranks > limit, ranks == limit
    room, tied = k - copies[above].sum(), copies[equal].sum()
    right = copies[above & fraud].sum() + room / tied * copies[equal & fraud].sum()
    return float(right / k), fraud & (ranks >= limit if room == tied else above)


def _different(
    keys: NDArray[np.int64], columns: Mapping[str, Sequence[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tell rows apart: first by a few keys ``(key, row)``, and only those that agree in these by every column.

    Returns:
        the first row of each different one, and for each row which of those it is.
    """
    order = np.lexsort(keys)
    opens = np.zeros(len(order), dtype=np.bool_)
    opens[_run_starts(keys[:, order])] = True
    again = np.append(~opens[1:], False) | ~opens
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(opens) - 1
    some = np.sort(order[again])
    cells = [to_arrow(values).take(pa.array(some)).to_pylist() for values in columns.values()]
    contents: dict[tuple[int, str], int] = {}
    for row, *content in zip(some.tolist(), *cells, strict=True):
        number[row] = contents.setdefault((int(number[row]), repr(content)), len(order) + len(contents))
    _, first, row_of = np.unique(number, return_index=True, return_inverse=True)
    return first, row_of


def _run_starts(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find where runs of equal columns begin, in ``(key, place)``."""
    return np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(0))[: keys.shape[1]])
