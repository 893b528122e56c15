"""Scores over whole entities, as the CoNLL shared tasks count them (Tjong Kim Sang and De Meulder, 2003)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import DetailedMetric

Entity = tuple[str, int, int]
"""Type, first element, element after the last."""


def entity_scores(predicted: Sequence[Sequence[str | None]], truth: Sequence[Sequence[str | None]]) -> DetailedMetric:
    """Compute precision, recall and F1 over entities whose type and borders are right; each from 0 to 1.

    Labels are ``O``, ``B-type`` and ``I-type``. An ``I-`` label that continues no entity begins one. Words that were truncated
    or have no label count as ``O``.
    """
    counts = np.zeros((len(truth), 3), dtype=np.int64)
    for row, (labels, true_labels) in enumerate(zip(predicted, truth, strict=True)):
        predicted_entities, true_entities = set(extract_entities(labels)), set(extract_entities(true_labels))
        counts[row] = len(predicted_entities & true_entities), len(predicted_entities), len(true_entities)

    def score(rows: NDArray[np.int64]) -> Mapping[str, float]:
        correct, predictions, entities = counts[rows].sum(0).tolist()
        precision = correct / predictions if predictions else 0.0
        recall = correct / entities if entities else 0.0
        f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
        return {"entity_precision": precision, "entity_recall": recall, "entity_f1": f1}

    names = ("entity_precision", "entity_recall", "entity_f1")
    with_entities = int((counts[:, 1:] > 0).any(1).sum())
    return DetailedMetric(
        score, dict.fromkeys(names, (0.0, 1.0)), dict.fromkeys(names, with_entities), uneven=frozenset(names)
    )


def extract_entities(labels: Sequence[str | None]) -> list[Entity]:
    """Extract the entities from the labels of one text."""
    entities: list[Entity] = []
    kind, start = None, 0
    for index, label in enumerate([*labels, "O"]):
        prefix, _, name = (label or "O").partition("-")
        if kind is not None and not (prefix == "I" and name == kind):
            entities.append((kind, start, index))
            kind = None
        if kind is None and prefix in ("B", "I"):
            kind, start = name, index
    return entities
