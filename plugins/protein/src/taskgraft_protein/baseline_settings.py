"""Settings of the baselines of sequences, and what they learn, known without scikit-learn."""

from pydantic import Field

from taskgraft.plugin import Config

Label = str | bool | int | float


class OneHotWindowConfig(Config):
    """Logistic regression over the residues around each residue, each one-hot."""

    window: int = Field(default=15, ge=1, le=99, description="residues that are read, the middle one included")
    residues: int = Field(default=200_000, ge=100, description="residues to learn from, of sequences drawn at random")
    strength: float = Field(default=1.0, gt=0, description="inverse of the strength of the penalty on squared weights")


class OneHotWindowLearned(Config):
    """The weights of a window.

    Attributes:
        classes: the labels.
        weights: ``(place, letter, class)``; places from the first residue of the window to the last, letters as
            :data:`taskgraft_protein.one_hot_window.LETTERS` has them, then any other.
        bias: ``(class,)``.
    """

    classes: tuple[Label, ...]
    weights: tuple[tuple[tuple[float, ...], ...], ...]
    bias: tuple[float, ...]


class OneHotRidgeConfig(Config):
    """Ridge regression over one-hot residues of sequences of one length, else over how often each word occurs."""

    penalty: float = Field(default=1.0, gt=0, description="on squared weights")
    k: int = Field(default=2, ge=1, le=4, description="letters per word, where sequences differ in length")


class OneHotRidgeLearned(Config):
    """The weights of features.

    Attributes:
        length: of all training sequences, in residues; None where they differ.
        k: letters per word, where they differ.
        weights: feature → its weight for each target column, in the column's unit. A feature is a letter with its place, from
            0 ("41D"), or a word.
        bias: one per target column.
    """

    length: int | None
    k: int
    weights: dict[str, tuple[float, ...]]
    bias: tuple[float, ...]
