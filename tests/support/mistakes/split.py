"""Mistakes of a split."""

from author_mistakes import Catcher, violation

from taskgraft import testing as kit

SPLIT_MISTAKES = (
    violation(
        "A split puts a row into two subsets.",
        Catcher.SPLIT,
        "data",
        {"if place % 10]": "]"},
        kit.check_split_divides_the_rows,
        "with the seed 0, it puts line 11 into 'train' and into 'validation'",
    ),
    violation(
        "A split ignores the seed.",
        Catcher.SPLIT,
        "data",
        {"default_rng(seed)": "default_rng()"},
        kit.check_split_is_repeatable,
        "two splits with the seed 0 differ",
    ),
)
