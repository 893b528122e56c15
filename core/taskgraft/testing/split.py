"""Laws of a split: subsets that do not overlap, and depend on the seed alone."""

import builtins
from collections import Counter
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


@law_check(
    "Draw by a generator made from the seed, or by a digest (hashlib): hash() of a text differs in each process."
)
def check_split_is_the_same_in_every_process(
    law: Law, spec: SplitSpec, rows: Rows, targets: Sequence[str], config: Config
) -> None:
    """The subsets do not depend on Python's ``hash()``."""
    first, plain = spec.split(rows, targets, config, 0), builtins.hash
    builtins.hash = lambda value: plain((value, "another process"))
    try:
        with law.must_succeed("splitting in another process"):
            second = spec.split(rows, targets, config, 0)
    finally:
        builtins.hash = plain
    if {name: list(some) for name, some in first.items()} != {name: list(some) for name, some in second.items()}:
        raise law.violation("it depends on hash(), which gives other numbers in each process")


@law_check("Shuffle the rows by the seed, or divide by what a column says.")
def check_sorted_rows_are_divided_as_well(
    law: Law, spec: SplitSpec, rows: Rows, targets: Sequence[str], config: Config
) -> None:
    """Of rows sorted by their label, validation rows have several labels. With few rows, or one label, it passes."""
    known = [column for column in targets if column in rows.columns]
    labels = [str(value) for value in rows.values(known[0])] if known else []
    frequent = [label for label, count in Counter(labels).items() if 5 * count >= len(labels)]
    if len(frequent) < 2:
        return
    order = sorted(range(len(rows)), key=lambda row: labels[row])
    with law.must_succeed("splitting sorted rows"):
        held_out = spec.split(rows.take(order), targets, config, 0).get("validation", ())
    found = {labels[order[row]] for row in held_out}
    if len(held_out) >= 10 and len(found) == 1:
        raise law.violation(
            f"of rows that are sorted by label, all {len(held_out)} validation rows have the label {found.pop()!r:.40}"
        )
