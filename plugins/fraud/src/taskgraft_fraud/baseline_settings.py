"""Settings of the baselines, and what the regression learns, known without scikit-learn."""

from typing import ClassVar, Literal

from pydantic import Field

from taskgraft.plugin import Config
from taskgraft_fraud.settings import Column, KindsConfig


class LogisticRegressionConfig(KindsConfig):
    """Logistic regression over standardised numbers and one column per category."""

    strength: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty, scikit-learn's C")


class GradientBoostingConfig(KindsConfig):
    """Gradient boosting of decision trees, with the library's own settings."""

    positional: ClassVar[str | None] = "library"

    library: Literal["lightgbm", "scikit-learn"] | None = Field(
        default=None, description="whose trees; lightgbm where it is installed, if left out"
    )


class RandomForestConfig(KindsConfig):
    """A forest of decision trees, each grown to the end on rows drawn again."""

    trees: int = Field(default=100, ge=1, description="how many")


class LogisticRegressionLearned(Config):
    """What logistic regression learned.

    Attributes:
        columns: of the inputs, as a table backbone reads them: the numbers of all, then for each column of categories one of 0
            and 1 for what is unknown, for a missing value where there were some, and for each category.
        classes: the labels.
        coefficients: for each class one per column so made.
        intercepts: one per class. Probabilities are the softmax of both.
    """

    columns: tuple[Column, ...]
    classes: tuple[str | bool | int | float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
