"""Errors of prediction and feature extraction."""

from dataclasses import dataclass

from taskgraft.contract.descriptions import Layout
from taskgraft.errors import TaskgraftError


class InferenceError(TaskgraftError):
    """A request that this model, backbone or output file cannot serve."""


@dataclass(eq=False)
class NoProbabilities(TaskgraftError):
    """Probabilities requested from a head that predicts none."""

    head: str | None = None

    def __str__(self) -> str:
        model = "This model" if self.head is None else f"'{self.head}'"
        return f"{model} predicts without probabilities. Ask for the predictions alone."


@dataclass(eq=False)
class DuplicateColumn(TaskgraftError):
    """Two output columns of one name."""

    column: str

    def __str__(self) -> str:
        return f"The output would have two columns named '{self.column}'. Keep other columns."


@dataclass(eq=False)
class FeatureShapeMismatch(TaskgraftError):
    """Rows whose features have different shapes."""

    layout: Layout
    shapes: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        shapes = " and ".join(" × ".join(map(str, shape)) for shape in self.shapes)
        return (
            f"The {self.layout} features of the rows have different shapes ({shapes}), so they do not fit into one array. "
            "Choose another layout, or give rows of one size."
        )
