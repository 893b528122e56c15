"""Mistakes of a head."""

from author_mistakes import Catcher, violation

from taskgraft import testing as kit

HEAD_MISTAKES = (
    violation(
        "A field of the target description has the type Any.",
        Catcher.HEAD,
        "head",
        {"labels: tuple[str, ...]\n\n\nclass Kinds(": "labels: Any\n\n\nclass Kinds("},
        kit.check_target_description_is_json,
        "written as JSON and read again, KindsTarget(labels=('a', 'b', 'c')) becomes KindsTarget(labels=['a', "
        "'b', 'c'])",
    ),
    violation(
        "The loss is a mean.",
        Catcher.HEAD,
        "head",
        {'reduction="sum"': 'reduction="mean"'},
        kit.check_loss_is_a_sum_over_rows,
        "for vector features, the total of 6 rows is #, but # row by row",
    ),
    violation(
        "The head normalizes its features with the statistics of the batch.",
        Catcher.HEAD,
        "head",
        {"self.readout(value)": "self.readout(value - value.mean(0))"},
        kit.check_outputs_do_not_depend_on_the_batch,
        "for vector features, row 0 is predicted as 'a' in a batch and as 'b' alone",
    ),
    violation(
        "predict decodes labels in a different order than encode.",
        Catcher.HEAD,
        "head",
        {"[self.labels[number] for": "[self.labels[::-1][number] for"},
        kit.check_lowest_loss_predicts_the_targets,
        "for vector features, at the lowest loss, 4 of 6 rows are not predicted as their target: row 0 as 'c', "
        "not as 'a'",
    ),
    violation(
        "encode accepts labels that only validation rows have.",
        Catcher.HEAD,
        "head",
        {
            "if invalid:\n            raise InvalidTargets(invalid)\n": "known = [*target.labels, "
            "*{labels[row] for row in invalid}]\n",
            "[target.labels.index(label)": "[known.index(label)",
        },
        kit.check_invalid_targets_are_reported,
        "encode accepts 'a_label_outside_the_training_split', which is not in the training split",
    ),
)
