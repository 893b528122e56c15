"""What the built-in baselines learn, known without torch."""

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import TargetKind


class MajorityLearned(Config):
    """How often each label is true in the training rows.

    Attributes:
        kind: what one row's target is.
        labels: sorted.
        shares: one per label, from 0 to 1: of the rows, of the labelled elements, or of the rows of which the label is known.
    """

    kind: TargetKind
    labels: tuple[str | bool | int | float, ...]
    shares: tuple[float, ...]


class MeanLearned(Config):
    """The mean of each target column in the training rows, in the column's unit."""

    means: tuple[float, ...]
