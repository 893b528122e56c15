"""Settings of the baselines, and what the regression learns, known without scikit-learn."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from taskgraft.config import Config


class LogisticRegressionConfig(Config):
    """Logistic regression over standardised numbers and one column per category."""

    strength: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty, scikit-learn's C")


class GradientBoostingConfig(Config):
    """Gradient boosting of decision trees, with the library's own settings."""

    argument: ClassVar[str | None] = "library"

    library: Literal["lightgbm", "scikit-learn"] | None = Field(
        default=None, description="whose trees; lightgbm where it is installed, if left out"
    )


class RandomForestConfig(Config):
    """A forest of decision trees, each grown to the end on rows drawn again."""

    trees: int = Field(default=100, ge=1, description="how many")


class NumberColumn(Config):
    """A column of numbers, as the training rows had them.

    Attributes:
        mean, scale: of the numbers that are there; the scale is their standard deviation, or 1 where they do not vary.
        gaps: whether some were missing.
    """

    kind: Literal["number"] = "number"
    name: str
    mean: float
    scale: float
    gaps: bool


class CategoryColumn(Config):
    """A column of anything else.

    Attributes:
        levels: texts of the most frequent values, the most frequent first. A missing value is the level "".
    """

    kind: Literal["category"] = "category"
    name: str
    levels: tuple[str, ...]


AnyColumn = Annotated[NumberColumn | CategoryColumn, Field(discriminator="kind")]


class LogisticRegressionLearned(Config):
    """What logistic regression learned.

    Attributes:
        columns: of the inputs. A number gives its standardised value, 0 where it is missing, and where there are gaps a column
            of 0 and 1 that says so; a category gives a column of 0 and 1 per level.
        classes: the labels.
        coefficients: for each class one per column so made.
        intercepts: one per class. Probabilities are the softmax of both.
    """

    columns: tuple[AnyColumn, ...]
    classes: tuple[str | bool | int | float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
