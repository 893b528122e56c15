"""Laws of a split: parts that do not overlap, drawn by the seed alone."""

from collections.abc import Sequence

from taskgraft.contract.config import Config
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import SplitSpec
from taskgraft.data.splitting import InvalidSplit, check_split
from taskgraft.testing.check import Check

SEEDS = (0, 1, 12_345)


def check_split_divides_the_rows(spec: SplitSpec, rows: Rows, targets: Sequence[str], config: Config) -> None:
    """Rows to learn from and rows to judge by, each row in one part at most, under any seed."""
    law = _law(spec, "a split divides the rows", "Put each row number into one part; train and validation need rows.")
    for seed in SEEDS:
        with law.runs(f"splitting with the seed {seed}"):
            parts = spec.split(rows, targets, config, seed)
        try:
            check_split(parts, rows, "it")
        except InvalidSplit as error:
            raise law.broken(f"with the seed {seed}, it {error.problem}") from None


def check_split_is_repeatable(spec: SplitSpec, rows: Rows, targets: Sequence[str], config: Config) -> None:
    """One seed gives one answer, and the rows stay as they are."""
    law = _law(
        spec, "a seed decides", "Draw with a generator made from the seed, such as numpy.random.default_rng(seed)."
    )
    before = rows.digest()
    for seed in SEEDS:
        with law.runs(f"splitting with the seed {seed}"):
            first, second = (spec.split(rows, targets, config, seed) for _ in range(2))
        if {name: list(some) for name, some in first.items()} != {name: list(some) for name, some in second.items()}:
            raise law.broken(f"two answers with the seed {seed} differ")
    if rows.digest() != before:
        raise law.broken("the rows are changed", "Answer with row numbers; leave the rows as they are.")


def _law(spec: SplitSpec, law: str, advice: str) -> Check:
    return Check(f"split '{spec.name}'", law, advice)
