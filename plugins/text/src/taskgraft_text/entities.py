"""Scores over whole entities, as the CoNLL shared tasks count them (Tjong Kim Sang and De Meulder, 2003)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import MetricFunction

Entity = tuple[str, int, int]


def judge(predicted: Sequence[Sequence[str | None]], truth: Sequence[Sequence[str | None]]) -> MetricFunction:
    """Precision, recall and F1 over entities whose type and borders are right; each from 0 to 1.

    Labels are ``O``, ``B-type`` and ``I-type``. An ``I-`` that continues nothing begins an entity. Words that were cut off
    or have no label count as ``O``.
    """
    counts = np.zeros((len(truth), 3), dtype=np.int64)
    for row, (labels, goals) in enumerate(zip(predicted, truth, strict=True)):
        have, need = set(entities(labels)), set(entities(goals))
        counts[row] = len(have & need), len(have), len(need)

    def score(rows: NDArray[np.int64]) -> Mapping[str, float]:
        right, found, wanted = counts[rows].sum(0).tolist()
        precision = right / found if found else 0.0
        recall = right / wanted if wanted else 0.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        return {"entity_precision": precision, "entity_recall": recall, "entity_f1": f1}

    return score


def entities(labels: Sequence[str | None]) -> list[Entity]:
    """Find entities as (type, first element, element after the last)."""
    found: list[Entity] = []
    kind, start = None, 0
    for place, label in enumerate([*labels, "O"]):
        mark, _, name = (label or "O").partition("-")
        if kind is not None and not (mark == "I" and name == kind):
            found.append((kind, start, place))
            kind = None
        if kind is None and mark in ("B", "I"):
            kind, start = name, place
    return found
