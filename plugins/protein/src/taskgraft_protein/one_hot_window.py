"""The baseline for labels per residue: logistic regression over a window of one-hot residues.

The oldest way to predict secondary structure (Qian and Sejnowski, 1988, Predicting the secondary structure of globular proteins
using neural network models), without the hidden layer, which did not help them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.plugin import Columns, ElementCounts, Predictions, ignored_warnings
from taskgraft_protein.baseline_settings import OneHotWindowConfig, OneHotWindowState

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
"""The letters that have a weight each; all others share one."""

PADDING = len(LETTERS) + 1
"""The code of positions past the ends of a sequence; it has no weight."""

ITERATIONS = 200
"""Steps of the solver. More do not change the accuracy."""


def fit(inputs: Columns, truth: Sequence[Any], settings: OneHotWindowConfig) -> OneHotWindowState:
    """Fit on the labelled residues of randomly chosen sequences, always the same ones."""
    from scipy.sparse import csr_array
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    codes, labels = _sample_windows(inputs, truth, settings)
    classes = sorted(set(labels), key=str)
    class_index = {label: index for index, label in enumerate(classes)}
    positions, letters = np.arange(settings.window), PADDING
    inside = codes != PADDING
    columns = (positions * letters + codes)[inside]
    row_ends = np.concatenate([[0], np.cumsum(inside.sum(1))])
    shape = (len(codes), settings.window * letters)
    model = LogisticRegression(C=settings.strength, max_iter=ITERATIONS)
    with ignored_warnings(ConvergenceWarning):
        matrix = csr_array((np.ones(len(columns), np.float32), columns, row_ends), shape)
        model.fit(matrix, np.array([class_index[label] for label in labels]))
    weights, bias = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    if len(classes) == 2:  # scikit-learn gives one row of weights, that of the second class
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    table = weights.T.reshape(settings.window, letters, len(classes))
    return OneHotWindowState.model_validate({"classes": classes, "weights": table.tolist(), "bias": bias.tolist()})


def predict(
    state: OneHotWindowState, inputs: Columns, elements: ElementCounts, settings: OneHotWindowConfig
) -> Predictions:
    """Predict the most likely label of each residue."""
    table = np.array(state.weights)
    window = len(table)
    table = np.concatenate([table, np.zeros((window, 1, len(state.classes)))], 1)
    sequences = _sequences(inputs)
    counts = [len(sequence) for sequence in sequences] if elements is None else elements
    values = []
    for sequence, count in zip(sequences, counts, strict=True):
        codes = _encode(sequence, count, window)
        scores = sum((table[offset][codes[offset : offset + count]] for offset in range(window)), np.array(state.bias))
        values.append([state.classes[index] for index in np.asarray(scores).argmax(1).tolist()])
    return Predictions(values, classes=state.classes)


def _sample_windows(
    inputs: Columns, truth: Sequence[Any], settings: OneHotWindowConfig
) -> tuple[NDArray[np.uint8], list[Any]]:
    """Give the codes in the windows around labelled residues, ``(residue, position)``, and the labels."""
    sequences, windows, labels = _sequences(inputs), list[NDArray[np.uint8]](), list[Any]()
    for row in np.random.default_rng(0).permutation(len(truth)).tolist():
        row_labels = truth[row]
        labelled = [position for position, label in enumerate(row_labels) if label is not None]
        codes = _encode(sequences[row], len(row_labels), settings.window)
        windows.append(np.lib.stride_tricks.sliding_window_view(codes, settings.window)[labelled])
        labels += [row_labels[position] for position in labelled]
        if len(labels) >= settings.residues:
            break
    return np.concatenate(windows), labels


def _sequences(inputs: Columns) -> list[str]:
    """The values of the only input."""
    return [str(value or "") for value in next(iter(inputs.values()))]


def _letter_codes() -> NDArray[np.uint8]:
    table = np.full(256, len(LETTERS), np.uint8)
    for code, letter in enumerate(LETTERS):
        table[[ord(letter), ord(letter.lower())]] = code
    return table


_CODES = _letter_codes()
"""The code of each byte."""


def _encode(sequence: str, count: int, window: int) -> NDArray[np.uint8]:
    """Encode ``count`` residues, with half a window of padding on both sides: ``(count + window - 1,)``."""
    codes = np.full(count + window - 1, PADDING, np.uint8)
    letters = np.frombuffer(sequence[:count].encode("ascii", "replace"), np.uint8)
    codes[window // 2 : window // 2 + len(letters)] = _CODES[letters]
    return codes
