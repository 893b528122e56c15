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
        "with the seed 0, it puts line 7 into 'train' and into 'validation'",
    ),
    violation(
        "A split ignores the seed.",
        Catcher.SPLIT,
        "data",
        {"default_rng(seed)": "default_rng()"},
        kit.check_split_is_repeatable,
        "two splits with the seed 0 differ",
    ),
    violation(
        "A split divides rows by hash().",
        Catcher.SPLIT,
        "data",
        {
            "np.random.default_rng(seed).permutation(len(rows)).tolist()": "sorted(range(len(rows)), "
            "key=lambda row: hash((seed, rows.value('text', row), row)))"
        },
        kit.check_split_is_the_same_in_every_process,
        "it depends on hash(), which gives other numbers in each process",
    ),
    violation(
        "A split holds out the last rows, whatever they are.",
        Catcher.SPLIT,
        "data",
        {
            '{"train": [row for place, row in enumerate(order) if place % 10], "validation": order[::10]}': "{'train': "
            "range(len(order) * 9 // 10), 'validation': range(len(order) * 9 // 10, len(order))}"
        },
        kit.check_sorted_rows_are_divided_as_well,
        "of rows that are sorted by label, all 21 validation rows have the label 'c'",
    ),
)
