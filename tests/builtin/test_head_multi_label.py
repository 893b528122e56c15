import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from taskgraft.builtin.heads.configs import MultiLabelConfig
from taskgraft.builtin.heads.multi_label import MultiLabel, MultiLabelTarget
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
