"""The baseline ``morgan-forest``: what chemists try first. A forest is no JSON, so it is kept nowhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from taskgraft.plugin import Columns, ElementCounts, Predictions, sort_labels

from plugin_molecule.molecule import molecules
from plugin_molecule.settings import SMILES, MorganForestConfig


@dataclass(frozen=True)
class Forest:
    """What was learned.

    Attributes:
        models: one for numbers or a category; of several labels one each.
        classes: the labels; None for numbers.
        several: whether any number of the labels may be true.
    """

    models: Sequence[Any]
    classes: Sequence[Any] | None
    several: bool


def learn(inputs: Columns, truth: Sequence[Any], config: MorganForestConfig) -> Forest:
    """Grow trees; of labels that may be unknown, on the rows where they are known."""
    prints = fingerprints(inputs[SMILES], config)
    if isinstance(truth[0], Mapping):
        classes = tuple(truth[0])
        return Forest([_of_label(prints, [row[one] for row in truth], config) for one in classes], classes, True)
    if isinstance(truth[0], float | list):
        model = RandomForestRegressor(config.trees, random_state=0).fit(prints, np.array(truth))
        return Forest([model], None, False)
    classes = tuple(sort_labels(set(truth)))
    numbers = [classes.index(label) for label in truth]
    return Forest([RandomForestClassifier(config.trees, random_state=0).fit(prints, numbers)], classes, False)


def predict(learned: Forest, inputs: Columns, elements: ElementCounts, config: MorganForestConfig) -> Predictions:
    """Predict numbers, the likeliest label, or the labels that are likelier than not."""
    prints = fingerprints(inputs[SMILES], config)
    if learned.classes is None:
        return Predictions(learned.models[0].predict(prints).tolist())
    if not learned.several:
        shares = learned.models[0].predict_proba(prints)
        return Predictions([learned.classes[place] for place in shares.argmax(1)], list(shares), learned.classes)
    shares = np.stack([_share(model, prints) for model in learned.models], axis=1)
    chosen = [[label for label, yes in zip(learned.classes, row >= 0.5, strict=True) if yes] for row in shares]
    return Predictions(chosen, list(shares), learned.classes)


def fingerprints(values: Sequence[Any], config: MorganForestConfig) -> NDArray[np.uint8]:
    """Compute Morgan fingerprints (Rogers and Hahn, 2010, Extended-connectivity fingerprints): ``(row, bit)``, 0 or 1."""
    generator = GetMorganGenerator(radius=config.radius, fpSize=config.bits)
    return np.stack([generator.GetFingerprintAsNumPy(molecule) for molecule in molecules(values)])


def _of_label(prints: NDArray[np.uint8], known: Sequence[bool | None], config: MorganForestConfig) -> Any:
    """Grow trees for one label, or give the share of rows that have it where it is the same in all rows."""
    rows = [row for row, value in enumerate(known) if value is not None]
    values = [bool(known[row]) for row in rows]
    if len(set(values)) < 2:
        return float(any(values))
    return RandomForestClassifier(config.trees, random_state=0).fit(prints[rows], values)


def _share(model: Any, prints: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.full(len(prints), model) if isinstance(model, float) else model.predict_proba(prints)[:, 1]
