import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from taskgraft.builtin.heads.configs import MultiLabelConfig
from taskgraft.builtin.heads.multi_label import MultiLabel, MultiLabelTarget
from taskgraft.contract.config import ConfigError, parse_config
from taskgraft.contract.descriptions import Layout, vector
from taskgraft.contract.features import Features
from taskgraft.contract.targets import InvalidTargets, TargetError

COLUMNS = {"wet": ["1", "0", ""], "cold": [True, None, False]}
LISTS = {"tags": ["wet|cold", "", "cold"]}

UNREAD = Features(Layout.VECTOR, (torch.zeros(1, 5),))
"""Passed as features where they are not read."""


def head(**settings) -> MultiLabel:
    return MultiLabel(MultiLabelConfig(**settings))


def built(targets, members: int | None = None, **settings):
    return head(**settings).build_module(vector(5, members), head(**settings).fit_targets(targets))


def test_several_columns_are_the_labels_in_their_order():
    assert head().fit_targets(COLUMNS) == MultiLabelTarget(vocabulary=("wet", "cold"), column=None)


def test_one_column_of_lists_gives_a_sorted_vocabulary():
    assert head().fit_targets(LISTS) == MultiLabelTarget(vocabulary=("cold", "wet"), column="tags")


def test_an_empty_cell_of_a_label_column_is_unknown():
    encoded = head().encode(COLUMNS, head().fit_targets(COLUMNS))
    assert encoded["labels"].tolist() == [[1, 1], [0, -1], [-1, 0]]
    assert head().decode_targets(encoded, head().fit_targets(COLUMNS)) == [
        {"wet": True, "cold": True},
        {"wet": False, "cold": None},
        {"wet": None, "cold": False},
    ]


def test_an_empty_list_has_no_label():
    assert head().encode(LISTS, head().fit_targets(LISTS))["labels"].tolist() == [[1, 1], [0, 0], [1, 0]]


def test_labels_may_be_lists():
    targets = {"tags": [["wet", "cold"], [], None, ["cold", None]]}
    assert head().encode(targets, head().fit_targets(targets))["labels"].tolist() == [[1, 1], [0, 0], [0, 0], [1, 0]]


def test_spaces_around_a_label_are_stripped():
    assert head(separator=",").fit_targets({"tags": ["wet, cold ,", "wet"]}).vocabulary == ("cold", "wet")


def test_the_loss_is_the_mean_over_known_labels():
    encoded, output = head().encode(COLUMNS, head().fit_targets(COLUMNS)), torch.randn(3, 2)
    loss = built(COLUMNS).loss(output, encoded, UNREAD)
    known = encoded["labels"] >= 0
    wanted = binary_cross_entropy_with_logits(output[known], encoded["labels"][known])
    assert loss.weight == 4
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_an_unknown_label_gives_no_gradient():
    output = torch.randn(3, 2, requires_grad=True)
    encoded = head().encode(COLUMNS, head().fit_targets(COLUMNS))
    built(COLUMNS).loss(output, encoded, UNREAD).total.backward()
    assert (output.grad[encoded["labels"] < 0] == 0).all()
    assert (output.grad[encoded["labels"] >= 0] != 0).all()


def test_the_loss_of_members_is_their_mean_loss():
    encoded, output = head().encode(COLUMNS, head().fit_targets(COLUMNS)), torch.randn(3, 4, 2)
    loss = built(COLUMNS, members=4).loss(output, encoded, UNREAD)
    alone = [built(COLUMNS).loss(output[:, member], encoded, UNREAD) for member in range(4)]
    torch.testing.assert_close(loss.total / loss.weight, torch.stack([one.total / one.weight for one in alone]).mean())


def test_the_distillation_loss_is_the_sum_over_labels():
    module, output, teacher = built(LISTS), torch.randn(3, 2), torch.randn(3, 2)
    soft = module.soft_labels(teacher, UNREAD, 3.0)
    yes, own = (teacher / 3).sigmoid(), (output / 3).sigmoid()
    both = yes * (yes / own).log() + (1 - yes) * ((1 - yes) / (1 - own)).log()
    loss = module.distillation_loss(output, soft, UNREAD, 3.0)
    torch.testing.assert_close(loss.total, 9 * both.sum())
    assert float(loss.weight) == 6


def test_a_teacher_that_is_certain_gives_a_finite_loss():
    module, output = built(LISTS), torch.randn(3, 2, requires_grad=True)
    soft = module.soft_labels(torch.full((3, 2), 1e4), UNREAD, 1.0)
    module.distillation_loss(output, soft, UNREAD, 1.0).total.backward()
    assert torch.isfinite(output.grad).all()


def test_labels_at_or_above_the_threshold_are_predicted():
    found = built(LISTS, threshold=0.7).predict(torch.tensor([[0.0, 2.0], [2.0, 2.0], [-1.0, 0.0]]), UNREAD)
    assert found.values == [["wet"], ["cold", "wet"], []]
    np.testing.assert_allclose(found.probabilities[0], torch.tensor([0.0, 2.0]).sigmoid())


def test_members_are_averaged_as_probabilities():
    output = torch.randn(2, 4, 2)
    found = built(LISTS, members=4).predict(output, UNREAD)
    np.testing.assert_allclose(found.probabilities, output.sigmoid().mean(1), rtol=1e-6)


def test_a_value_that_is_neither_true_nor_false_is_reported():
    with pytest.raises(InvalidTargets) as caught:
        head().encode({"wet": ["1", "maybe"], "cold": [1, 0]}, head().fit_targets(COLUMNS))
    assert str(caught.value) == "row 1: the target column 'wet' is 'maybe', not 0, 1 or empty"


def test_an_unseen_label_is_reported():
    with pytest.raises(InvalidTargets) as caught:
        head().encode({"tags": ["wet", "cold|dry"]}, head().fit_targets(LISTS))
    assert str(caught.value) == ("row 1: the label 'dry' does not occur in the training split, which has 'cold', 'wet'")


def test_a_column_of_numbers_is_rejected():
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"tags": [1, 0]})
    assert str(caught.value) == (
        "row 0: the target column 'tags' is 1, not a list of labels\n"
        "row 1: the target column 'tags' is 0, not a list of labels"
    )


def test_lists_without_any_label_are_rejected():
    with pytest.raises(TargetError) as caught:
        head().fit_targets({"tags": ["", ""]})
    assert str(caught.value) == (
        "The target column 'tags' has no label at all in the training split; a head needs two or more to tell apart."
    )


# --- one-hot lists, dicts, and what can mean two things

ONE_HOT = [[0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]
BITS = [[0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    "convert",
    [
        lambda row: row,
        lambda row: [*map(float, row)],
        lambda row: [*map(bool, row)],
        lambda row: [*map(str, row)],
        np.array,
        lambda row: np.array(row, np.float32),
        lambda row: "|".join(map(str, row)),
    ],
)
def test_lists_of_zeros_and_ones_of_one_length_are_one_hot(convert):
    targets = {"tags": [convert(row) for row in ONE_HOT]}
    target = head().fit_targets(targets)
    assert target == MultiLabelTarget(vocabulary=("tags_0", "tags_1", "tags_2"), column="tags", cells="one-hot")
    assert head().encode(targets, target)["labels"].tolist() == BITS


def test_the_places_of_one_hot_lists_can_be_named():
    named = head(classes=("wet", "cold", "dry"))
    target = named.fit_targets({"tags": ONE_HOT})
    assert target.vocabulary == ("wet", "cold", "dry")
    assert named.summary(target) == ()
    assert named.encode({"tags": [["cold"], [], ["dry", "wet"]]}, target)["labels"].tolist() == [
        [0, 1, 0],
        [0, 0, 0],
        [1, 0, 1],
    ]


def test_places_without_names_are_reported():
    assert head().summary(head().fit_targets({"tags": ONE_HOT})) == (
        "The target column 'tags' holds 0 or 1 for each of 3 labels, called 'tags_0' to 'tags_2' by their place. Name them "
        'with head.classes = [...]; if 0 and 1 are labels, set head.lists = "labels".',
    )


def test_a_missing_place_and_an_empty_cell_are_unknown_in_one_hot_data():
    targets = {"tags": [[0, None], None, [1, float("nan")], [0, 1]]}
    target = head().fit_targets(targets)
    assert head().encode(targets, target)["labels"].tolist() == [[0, -1], [-1, -1], [1, -1], [0, 1]]


def test_zeros_and_ones_are_labels_where_the_settings_say_so():
    target = head(lists="labels").fit_targets({"tags": [[0, 1], [1], [0]]})
    assert target == MultiLabelTarget(vocabulary=(0, 1), column="tags")
    assert head(lists="labels").encode({"tags": [[0, 1], [1]]}, target)["labels"].tolist() == [[1, 1], [0, 1]]


def test_predicted_places_are_read_back_as_they_were_predicted():
    target = head().fit_targets({"tags": [[0, 1], [1, 0], [1, 1]]})
    predicted = [["tags_0", "tags_1"], [], ["tags_1"]]
    assert head().encode({"tags": predicted}, target)["labels"].tolist() == [[1, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize("no", [0, False, 0.0, "0", "false"])
def test_a_dict_has_a_value_for_each_label(no):
    targets = {"tags": [{"wet": 1, "cold": no}, {"wet": no, "cold": None}, None, {"cold": True}]}
    target = head().fit_targets(targets)
    assert target == MultiLabelTarget(vocabulary=("cold", "wet"), column="tags", cells="dicts")
    assert head().encode(targets, target)["labels"].tolist() == [[0, 1], [-1, 0], [-1, -1], [1, -1]]


def test_decoded_targets_can_be_encoded_again():
    for targets in (COLUMNS, LISTS, {"tags": ONE_HOT}):
        target = head().fit_targets(targets)
        encoded = head().encode(targets, target)
        again = MultiLabelTarget(vocabulary=target.vocabulary, column="again")
        assert (
            head().encode({"again": head().decode_targets(encoded, target)}, again)["labels"].equal(encoded["labels"])
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [[0, 1], [1], [0, 1, 1]],
            "The target column 'tags' holds lists of 0 and 1 of different lengths (1 to 3). If each list has 0 or 1 for every "
            'label, all need one length; if 0 and 1 are labels, set head.lists = "labels".',
        ),
        (
            ["0", "1", "1"],
            "The target column 'tags' holds a single 0 or 1 per row. To predict one label per row, choose the head "
            "'classification'; if 0 and 1 are labels of which a row may have several, set head.lists = \"labels\".",
        ),
        (
            ["wet,cold", "cold,dry", "dry"],
            "The target column 'tags' has no '|' (head.separator), but ',' in 2 of 3 different texts ('cold,dry'), each of "
            "which would be a label of its own. If ',' separates labels, set head.separator = ','; if each text is one label, "
            "choose the head 'classification'.",
        ),
        (
            ["python pandas", "pandas numpy", "numpy", "python"],
            "The target column 'tags' has no '|' (head.separator), but ' ' in 2 of 4 different texts ('pandas numpy'), each of "
            "which would be a label of its own. If ' ' separates labels, set head.separator = ' '; if each text is one label, "
            "choose the head 'classification'.",
        ),
        (
            [{"wet": 1}, {"cold": 1, "wet": None}],
            "The target column 'tags' holds 1 and no other value, so there is nothing to tell apart. If an empty cell means 0, "
            'set data.labels = {"" = "0"}.',
        ),
        ([[0, 0], [0, 0]], "The target column 'tags' holds 0 and no other value, so there is nothing to tell apart."),
    ],
)
def test_values_that_can_mean_two_things_are_rejected(values, message):
    with pytest.raises(TargetError) as caught:
        head().fit_targets({"tags": values})
    assert str(caught.value) == message


def test_columns_that_say_yes_or_nothing_are_rejected():
    with pytest.raises(TargetError) as caught:
        head().fit_targets({"wet": [1, None, 1], "cold": ["", "1", "1"]})
    assert str(caught.value) == (
        "The target columns 'wet', 'cold' hold 1 and no other value, so there is nothing to tell apart. If an empty cell means "
        '0, set data.labels = {"" = "0"}.'
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([["a"], [["b"]]], "row 1: the target column 'tags' holds ['b'], which is not a label (text or integer)"),
        ([["a"], [0.2, 0.8]], "row 1: the target column 'tags' holds 0.2, which is not a label (text or integer)"),
        ([{"a": 1}, {"a": 0.7}], "row 1: the target column 'tags' has 0.7, not 0, 1 or empty for the label 'a'"),
        (
            [{"a": 1}, {"a": -1}],
            "row 1: the target column 'tags' has -1, not 0, 1 or empty (if -1 stands for unknown, set "
            'data.labels = {"-1" = ""}) for the label \'a\'',
        ),
        ([["a"], 5], "row 1: the target column 'tags' is 5, not a list of labels"),
    ],
)
def test_a_cell_that_holds_neither_labels_nor_zeros_and_ones_is_reported(values, reason):
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"tags": values})
    assert str(caught.value) == reason


def test_a_one_hot_list_of_another_length_is_reported():
    target = head().fit_targets({"tags": ONE_HOT})
    with pytest.raises(InvalidTargets) as caught:
        head().encode({"tags": [[0, 1, 1], [0, 1]]}, target)
    assert str(caught.value) == "row 1: the target column 'tags' has 2 values for 3 labels"
    with pytest.raises(InvalidTargets) as caught:
        head(classes=("wet", "cold")).fit_targets({"tags": [[0, 1], [0, 1, 1]]})
    assert str(caught.value) == "row 1: the target column 'tags' is [0, 1, 1], not 0 or 1 for each of 2 labels"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"classes": ("a", "a ")}, "classes names a label twice"),
        ({"classes": ("0", "b")}, "the class '0' would look like a value of a one-hot list; choose another name"),
        (
            {"classes": ("a", "b"), "lists": "labels"},
            "classes names the places of one-hot lists, so lists cannot be labels",
        ),
    ],
)
def test_settings_of_one_hot_lists_that_contradict_are_rejected(settings, problem):
    with pytest.raises(ConfigError) as caught:
        parse_config(MultiLabelConfig, settings, "head 'multi-label'")
    assert str(caught.value) == f"head 'multi-label': {problem}."
