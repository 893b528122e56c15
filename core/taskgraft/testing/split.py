"""Laws of a split: subsets that do not overlap, and depend on the seed alone."""

from collections.abc import Sequence

from taskgraft.contract.config import Config
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import SplitSpec
from taskgraft.reading.splitting import InvalidSplit, check_split
from taskgraft.testing.check import Law, law_check

_SEEDS = (0, 1, 12_345)


@law_check("Put each row number into one subset; 'train' and 'validation' need rows.")
def check_split_divides_the_rows(law: Law, spec: SplitSpec, rows: Rows, targets: Sequence[str], config: Config) -> None:
    """There are training rows and validation rows, and each row is in one subset at most, under any seed."""
    for seed in _SEEDS:
        with law.must_succeed(f"splitting with the seed {seed}"):
            subsets = spec.split(rows, targets, config, seed)
        try:
            check_split(subsets, rows, "it")
        except InvalidSplit as error:
            raise law.violation(f"with the seed {seed}, it {error.problem}") from None


@law_check("Use a random generator made from the seed, such as numpy.random.default_rng(seed).")
def check_split_is_repeatable(law: Law, spec: SplitSpec, rows: Rows, targets: Sequence[str], config: Config) -> None:
    """One seed gives one result, and the rows are left unchanged."""
    before = rows.digest()
    for seed in _SEEDS:
        with law.must_succeed(f"splitting with the seed {seed}"):
            first, second = (spec.split(rows, targets, config, seed) for _ in range(2))
        if {name: list(some) for name, some in first.items()} != {name: list(some) for name, some in second.items()}:
            raise law.violation(f"two splits with the seed {seed} differ")
    if rows.digest() != before:
        raise law.violation("the rows were changed", "Return row numbers; leave the rows as they are.")
