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
        "The loss compares the rows of a batch, and the description does not say so.",
        Catcher.HEAD,
        "head",
        {"cross_entropy(output.float(),": "cross_entropy(output.float() - output.float().mean(0),"},
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
            "[target.labels.index(label_key(label))": "[known.index(label)",
        },
        kit.check_invalid_targets_are_reported,
        "encode accepts 'a_label_outside_the_training_split', which is not in the training split",
    ),
    violation(
        "The head keeps the labels on itself.",
        Catcher.HEAD,
        "head",
        {
            "        return KindsTarget(labels=tuple(sorted(set(map(label_key, labels)))))": "        self._labels = "
            "sorted(set(map(label_key, labels)))\n"
            "        return KindsTarget(labels=tuple(self._labels))",
            "return [target.labels[number] for": "return [self._labels[number] for",
        },
        kit.check_head_remembers_no_targets,
        "after it was fitted to other targets, decode_targets returns something else",
    ),
    violation(
        "The scale of the features is a plain attribute of the module.",
        Catcher.HEAD,
        "head",
        {
            "        self.readout = nn.Linear": "        self.scale = 1.0\n        self.readout = nn.Linear",
            "    def loss(self": "    def fit_feature_scale(self, features: Features) -> None:\n"
            "        self.scale = float(features.value.std())\n\n    def loss(self",
            "self.readout(value)": "self.readout(value / self.scale)",
        },
        kit.check_module_state_is_in_the_state_dict,
        "for vector features, a new module with its state dict predicts something else",
    ),
    violation(
        "Labels are in the order of their first appearance.",
        Catcher.HEAD,
        "head",
        {"tuple(sorted(set(map(label_key, labels))))": "tuple(dict.fromkeys(map(label_key, labels)))"},
        kit.check_row_order_does_not_matter,
        "'labels' is ['a', 'b', 'c'], and ['c', 'b', 'a'] when the rows are in reverse order",
    ),
    violation(
        "1 and '1' are two labels.",
        Catcher.HEAD,
        "head",
        {
            "labels: tuple[str, ...]\n\n\nclass Kinds(": "labels: tuple[str | int, ...]\n\n\nclass Kinds(",
            "tuple(sorted(set(map(label_key, labels))))": "tuple(sorted(set(labels), key=repr))",
            "if label_key(one) not in": "if one not in",
            "target.labels.index(label_key(label))": "target.labels.index(label)",
        },
        kit.check_labels_are_equal_in_any_type,
        "1 and '1' are two labels: '1' and 1",
    ),
    violation(
        "A missing label is encoded as the first class.",
        Catcher.HEAD,
        "head",
        {
            "if label_key(one) not in target.labels": "if one == one and one and label_key(one) not in target.labels",
            "target.labels.index(label_key(label)) for": "(target.labels.index(label_key(label)) "
            "if label_key(label) in target.labels else 0) for",
        },
        kit.check_missing_targets_are_no_label,
        "a target that is None is encoded as 'a'",
    ),
    violation(
        "Probabilities are rounded before the most probable class is chosen.",
        Catcher.HEAD,
        "head",
        {"for number in shares.argmax(-1)": "for number in (shares * 100).round().argmax(-1)"},
        kit.check_predictions_are_not_rounded,
        "for vector features, with nearly equal probabilities, 'a' is predicted, but 'b' is more probable",
    ),
)
