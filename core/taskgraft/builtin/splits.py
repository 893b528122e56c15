"""The built-in splits. None imports numpy or Arrow until it is called."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.labels import tidy_label

if TYPE_CHECKING:
    from taskgraft.contract.rows import Rows


class ColumnConfig(Config):
    """Split by the values of a column. Test rows are left out."""

    positional = "column"

    column: str = Field(description="column that assigns each row to training, validation or test")
    train: tuple[str, ...] = Field(default=("train", "training"), description="values of training rows")
    validation: tuple[str, ...] = Field(
        default=("validation", "valid", "val", "dev"), description="values of validation rows"
    )


def by_column(rows: "Rows", targets: Sequence[str], config: ColumnConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Split rows as :func:`taskgraft.reading.splitting.split_by_column` does."""
    from taskgraft.reading.splitting import split_by_column

    return split_by_column(rows, config.column, config.train, config.validation)


class FractionConfig(Config):
    """Hold out a random share of the rows, sampled with the seed of the training."""

    positional = "validation"

    validation: float = Field(gt=0, lt=1, description="share of the rows that become validation rows")


def by_fraction(rows: "Rows", targets: Sequence[str], config: FractionConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Split stratified by class: hold out a share of each; the only row of a class stays in training.

    Where more than half of the targets are distinct, as with numbers and texts, rows are sampled without regard to them.
    """
    import numpy as np

    classes = _rows_by_class(rows, targets)
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    total = round(config.validation * len(rows))
    if 2 * len(classes) > len(rows):
        return _split(len(rows), set(order[:total]))
    rank = {row: position for position, row in enumerate(order)}
    validation_rows: set[int] = set()
    counts = _validation_counts([len(members) for members in classes], config.validation, total)
    for members, count in zip(classes, counts, strict=True):
        validation_rows.update(sorted(members, key=rank.__getitem__)[:count])
    return _split(len(rows), validation_rows)


def _rows_by_class(rows: "Rows", targets: Sequence[str]) -> list[list[int]]:
    """Group rows with equal targets, however texts are spelled; without targets, all rows are one class."""
    if not targets:
        return [list(range(len(rows)))]
    members: dict[str, list[int]] = {}
    for row, values in enumerate(zip(*(rows.values(target) for target in targets), strict=True)):
        spelled = [tidy_label(value) if isinstance(value, str) else value for value in values]
        members.setdefault(repr(spelled), []).append(row)
    return list(members.values())


def _validation_counts(sizes: Sequence[int], fraction: float, total: int) -> list[int]:
    """Round the share of each class so that the counts sum to the total, as far as each class keeps one training row."""
    exact = [size * fraction for size in sizes]
    counts = [min(int(share), size - 1) for share, size in zip(exact, sizes, strict=True)]
    by_remainder = sorted(range(len(sizes)), key=lambda index: counts[index] - exact[index])
    for index in by_remainder:
        if sum(counts) >= total:
            break
        counts[index] = min(counts[index] + 1, sizes[index] - 1)
    return counts


def _split(count: int, validation_rows: set[int]) -> Mapping[str, Sequence[int]]:
    return {
        "train": [row for row in range(count) if row not in validation_rows],
        "validation": sorted(validation_rows),
    }
