"""Settings of the baselines, and the state of the logistic regression; importing them does not import scikit-learn."""

from typing import ClassVar, Literal

from pydantic import Field

from taskgraft.plugin import Config
from taskgraft_fraud.settings import Column, ColumnKindsConfig


class LogisticRegressionConfig(ColumnKindsConfig):
    """Logistic regression over standardized numbers and one-hot categories."""

    strength: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty, scikit-learn's C")


class GradientBoostingConfig(ColumnKindsConfig):
    """Gradient boosting of decision trees, with the library's default hyperparameters."""

    positional: ClassVar[str | None] = "library"

    library: Literal["lightgbm", "scikit-learn"] | None = Field(
        default=None, description="implementation; by default lightgbm if it is installed"
    )


class RandomForestConfig(ColumnKindsConfig):
    """A forest of fully grown decision trees on bootstrap samples."""

    trees: int = Field(default=100, ge=1, description="number of trees")


class LogisticRegressionState(Config):
    """A fitted logistic regression.

    Attributes:
        columns: of the inputs, as a table backbone reads them. The design matrix has their numbers, then per categorical column
            one-hot values for unknown, for missing (if it was in training), and for each category.
        classes: the labels.
        coefficients: per class, one per column of the design matrix.
        intercepts: one per class. Probabilities are the softmax of both.
    """

    columns: tuple[Column, ...]
    classes: tuple[str | bool | int | float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
