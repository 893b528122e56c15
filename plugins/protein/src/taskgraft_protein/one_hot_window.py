"""The baseline of a label per residue: logistic regression over a window of one-hot residues.

The oldest way to tell secondary structure (Qian and Sejnowski, 1988, Predicting the secondary structure of globular proteins
using neural network models), without the hidden layer, which gave them nothing.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, ElementCounts, Predictions
from taskgraft_protein.baseline_settings import OneHotWindowConfig, OneHotWindowLearned

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
"""The letters that have a weight each; all others share one."""

NOTHING = len(LETTERS) + 1
"""The number of what stands past the ends of a sequence; it has no weight."""

ITERATIONS = 200
"""Steps of the solver. Past these, accuracy no longer changes."""


def learn(inputs: Columns, truth: Sequence[Any], settings: OneHotWindowConfig) -> OneHotWindowLearned:
    """Learn from labelled residues of sequences drawn at random, the same each time."""
    from scipy.sparse import csr_array
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    codes, labels = _drawn(inputs, truth, settings)
    classes = sorted(set(labels), key=str)
    numbers = {label: number for number, label in enumerate(classes)}
    places, letters = np.arange(settings.window), NOTHING
    known = codes != NOTHING
    columns = (places * letters + codes)[known]
    ends = np.concatenate([[0], np.cumsum(known.sum(1))])
    shape = (len(codes), settings.window * letters)
    found = LogisticRegression(C=settings.strength, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        matrix = csr_array((np.ones(len(columns), np.float32), columns, ends), shape)
        found.fit(matrix, np.array([numbers[label] for label in labels]))
    weights, bias = np.asarray(found.coef_, np.float64), np.asarray(found.intercept_, np.float64)
    if len(classes) == 2:  # there is one row of weights, that of the second
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    table = weights.T.reshape(settings.window, letters, len(classes))
    return OneHotWindowLearned.model_validate({"classes": classes, "weights": table.tolist(), "bias": bias.tolist()})


def predict(
    learned: OneHotWindowLearned, inputs: Columns, elements: ElementCounts, settings: OneHotWindowConfig
) -> Predictions:
    """Predict the likeliest label of each residue."""
    table = np.array(learned.weights)
    window = len(table)
    table = np.concatenate([table, np.zeros((window, 1, len(learned.classes)))], 1)
    sequences = _sequences(inputs)
    counts = [len(sequence) for sequence in sequences] if elements is None else elements
    values = []
    for sequence, count in zip(sequences, counts, strict=True):
        padded = _padded(sequence, count, window)
        scores = sum((table[place][padded[place : place + count]] for place in range(window)), np.array(learned.bias))
        values.append([learned.classes[number] for number in np.asarray(scores).argmax(1).tolist()])
    return Predictions(values, classes=learned.classes)


def _drawn(inputs: Columns, truth: Sequence[Any], settings: OneHotWindowConfig) -> tuple[NDArray[np.uint8], list[Any]]:
    """Give what stands in the windows around labelled residues, ``(residue, place)``, and their labels."""
    sequences, windows, labels = _sequences(inputs), list[NDArray[np.uint8]](), list[Any]()
    for row in np.random.default_rng(0).permutation(len(truth)).tolist():
        goals = truth[row]
        known = [place for place, label in enumerate(goals) if label is not None]
        padded = _padded(sequences[row], len(goals), settings.window)
        windows.append(np.lib.stride_tricks.sliding_window_view(padded, settings.window)[known])
        labels += [goals[place] for place in known]
        if len(labels) >= settings.residues:
            break
    return np.concatenate(windows), labels


def _sequences(inputs: Columns) -> list[str]:
    """Give the one input that sequences are."""
    return [str(value or "") for value in next(iter(inputs.values()))]


def _codes() -> NDArray[np.uint8]:
    table = np.full(256, len(LETTERS), np.uint8)
    for number, letter in enumerate(LETTERS):
        table[[ord(letter), ord(letter.lower())]] = number
    return table


CODES = _codes()
"""The number of each letter, by its byte."""


def _padded(sequence: str, count: int, window: int) -> NDArray[np.uint8]:
    """Number the letters of ``count`` residues, with as much nothing around them as a window reaches."""
    padded = np.full(count + window - 1, NOTHING, np.uint8)
    letters = np.frombuffer(sequence[:count].encode("ascii", "replace"), np.uint8)
    padded[window // 2 : window // 2 + len(letters)] = CODES[letters]
    return padded
