"""The baseline ``morgan-forest``, a common first model in chemistry. Forests are not JSON, so artifacts do not store them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from taskgraft.plugin import Columns, ElementCounts, Predictions, sort_labels

from plugin_molecule.molecule import parse_all
from plugin_molecule.settings import SMILES, MorganForestConfig


@dataclass(frozen=True)
class Forest:
    """Fitted forests.

    Attributes:
        models: one for numbers or a category; one per label for several labels.
        classes: the labels; None for numbers.
        several: whether any number of labels can be true.
    """

    models: Sequence[Any]
    classes: Sequence[Any] | None
    several: bool


def fit(inputs: Columns, targets: Sequence[Any], config: MorganForestConfig) -> Forest:
    """Fit a forest; with several labels one each, on the rows where the label is known."""
    bits = fingerbits(inputs[SMILES], config)
    if isinstance(targets[0], Mapping):
        classes = tuple(targets[0])
        return Forest([_fit_label(bits, [row[label] for row in targets], config) for label in classes], classes, True)
    if isinstance(targets[0], float | list):
        model = RandomForestRegressor(config.trees, random_state=0).fit(bits, np.array(targets))
        return Forest([model], None, False)
    classes = tuple(sort_labels(set(targets)))
    indices = [classes.index(label) for label in targets]
    return Forest([RandomForestClassifier(config.trees, random_state=0).fit(bits, indices)], classes, False)


def predict(forest: Forest, inputs: Columns, elements: ElementCounts, config: MorganForestConfig) -> Predictions:
    """Predict numbers, the most likely label, or all labels with a probability of at least 0.5."""
    bits = fingerbits(inputs[SMILES], config)
    if forest.classes is None:
        return Predictions(forest.models[0].predict(bits).tolist())
    if not forest.several:
        probabilities = forest.models[0].predict_proba(bits)
        return Predictions(
            [forest.classes[index] for index in probabilities.argmax(1)], list(probabilities), forest.classes
        )
    probabilities = np.stack([_probability(model, bits) for model in forest.models], axis=1)
    values = [[label for label, yes in zip(forest.classes, row >= 0.5, strict=True) if yes] for row in probabilities]
    return Predictions(values, list(probabilities), forest.classes)


def fingerbits(values: Sequence[Any], config: MorganForestConfig) -> NDArray[np.uint8]:
    """Compute Morgan fingerbits (Rogers and Hahn, 2010, Extended-connectivity fingerbits): ``(row, bit)``, 0 or 1."""
    generator = GetMorganGenerator(radius=config.radius, fpSize=config.bits)
    return np.stack([generator.GetFingerprintAsNumPy(molecule) for molecule in parse_all(values)])


def _fit_label(bits: NDArray[np.uint8], known: Sequence[bool | None], config: MorganForestConfig) -> Any:
    """Fit a forest for one label, or return a constant if all known rows agree."""
    rows = [row for row, value in enumerate(known) if value is not None]
    values = [bool(known[row]) for row in rows]
    if len(set(values)) < 2:
        return float(any(values))
    return RandomForestClassifier(config.trees, random_state=0).fit(bits[rows], values)


def _probability(model: Any, bits: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.full(len(bits), model) if isinstance(model, float) else model.predict_proba(bits)[:, 1]
