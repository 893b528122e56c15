"""Settings and states of the baselines, without scikit-learn."""

from pydantic import Field

from taskgraft.plugin import Config, Label


class OneHotWindowConfig(Config):
    """Logistic regression over the one-hot residues around each residue."""

    window: int = Field(default=15, ge=1, le=99, description="residues in a window, the middle one included")
    residues: int = Field(default=200_000, ge=100, description="residues to fit on, from randomly chosen sequences")
    strength: float = Field(default=1.0, gt=0, description="inverse strength of the penalty on squared weights")


class OneHotWindowState(Config):
    """The weights of a window.

    Attributes:
        classes: the labels.
        weights: ``(position, letter, class)``; positions from the first residue of the window to the last, letters in the order
            of :data:`taskgraft_protein.one_hot_window.LETTERS`, then any other.
        bias: ``(class,)``.
    """

    classes: tuple[Label, ...]
    weights: tuple[tuple[tuple[float, ...], ...], ...]
    bias: tuple[float, ...]


class OneHotRidgeConfig(Config):
    """Ridge regression over one-hot residues of sequences of one length, else over k-mer counts."""

    penalty: float = Field(default=1.0, gt=0, description="penalty on squared weights")
    k: int = Field(default=2, ge=1, le=4, description="letters per k-mer, if sequences differ in length")


class OneHotRidgeState(Config):
    """The weights of features.

    Attributes:
        length: of all training sequences, in residues; None if they differ.
        k: letters per k-mer, if they differ.
        weights: feature → its weight for each target column, in the column's unit. A feature is a position, from 0, with a
            letter ("41D"), or a k-mer.
        bias: one per target column.
    """

    length: int | None
    k: int
    weights: dict[str, tuple[float, ...]]
    bias: tuple[float, ...]
