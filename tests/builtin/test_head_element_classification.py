import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from taskgraft.builtin.heads.configs import ElementClassificationConfig
from taskgraft.builtin.heads.element_classification import ElementClassification, ElementClassificationTarget
from taskgraft.contract.descriptions import Layout, sequence
from taskgraft.contract.features import Features
from taskgraft.contract.targets import InvalidTargets

TARGETS = {"tags": ["O B", ["O", None, "B", "I"], "O O O"]}
LENGTHS = torch.tensor([2, 4, 3])


def head(**settings) -> ElementClassification:
    return ElementClassification(ElementClassificationConfig(**settings))


def built(**settings):
    return head(**settings).build_module(sequence(5), head().fit_targets(TARGETS))


def emitted(lengths):
    """Features with this number of elements; the outputs in these tests are not computed from them."""
    return Features(Layout.SEQUENCE, (torch.zeros(len(lengths), int(lengths.max()), 5),), lengths)


def encoded():
    return head().encode(TARGETS, head().fit_targets(TARGETS))


def test_the_vocabulary_is_sorted_over_all_elements():
    assert head().fit_targets(TARGETS) == ElementClassificationTarget(column="tags", vocabulary=("B", "I", "O"))


def test_encoded_labels_start_at_one_and_zero_means_no_label():
    assert encoded()["labels"].tolist() == [[3, 1, 0, 0], [3, 0, 1, 2], [3, 3, 3, 0]]
    assert encoded().lengths["element"].tolist() == [2, 4, 3]


def test_decoded_targets_have_a_label_or_none_per_element():
    assert head().decode_targets(encoded(), head().fit_targets(TARGETS)) == [
        ["O", "B"],
        ["O", None, "B", "I"],
        ["O", "O", "O"],
    ]


def test_the_loss_is_the_mean_over_labelled_elements():
    output, labels = torch.randn(3, 4, 3), encoded()["labels"]
    loss = built().loss(output, encoded(), emitted(LENGTHS))
    assert loss.weight == 8
    wanted = cross_entropy(output[labels > 0], labels[labels > 0] - 1)
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_label_smoothing_is_that_of_torch():
    output, labels = torch.randn(3, 4, 3), encoded()["labels"]
    loss = built(label_smoothing=0.2).loss(output, encoded(), emitted(LENGTHS))
    wanted = cross_entropy(output[labels > 0], labels[labels > 0] - 1, label_smoothing=0.2)
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_more_padding_does_not_change_the_loss():
    output = torch.randn(3, 4, 3)
    longer = torch.cat([output, torch.full((3, 5, 3), 1e9)], 1)
    one, other = built().loss(output, encoded(), emitted(LENGTHS)), built().loss(longer, encoded(), emitted(LENGTHS))
    assert (one.total, one.weight) == (other.total, other.weight)


def test_truncated_elements_do_not_count():
    output, cut_off = torch.randn(3, 2, 3), torch.tensor([2, 2, 2])
    loss = built().loss(output, encoded(), emitted(cut_off))
    labels = encoded()["labels"][:, :2]
    assert loss.weight == 5
    torch.testing.assert_close(loss.total / 5, cross_entropy(output[labels > 0], labels[labels > 0] - 1))


def test_a_truncated_element_is_ignored_in_its_own_row_only():
    loss = built().loss(torch.randn(3, 3, 3), encoded(), emitted(torch.tensor([2, 2, 3])))
    assert loss.weight == 6


def test_soft_labels_are_compared_where_neither_teacher_nor_student_truncated():
    module, teacher, output = built(), torch.randn(2, 3, 3), torch.randn(2, 4, 3)
    soft = module.soft_labels(teacher, emitted(torch.tensor([3, 1])), 2.0)
    loss = module.distillation_loss(output, soft, emitted(torch.tensor([2, 4])), 2.0)
    shares, own = (teacher / 2).softmax(-1), (output / 2).log_softmax(-1)
    each = [(shares[row, at] * (shares[row, at].log() - own[row, at])).sum() for row, at in ((0, 0), (0, 1), (1, 0))]
    torch.testing.assert_close(loss.total, 4 * torch.stack(each).sum())
    assert float(loss.weight) == 3


def test_a_batch_without_a_label_has_no_weight_and_a_gradient_of_zero():
    target = head().fit_targets(TARGETS)
    none = head().encode({"tags": [[None], [None, None]]}, target)
    output = torch.randn(2, 2, 3, requires_grad=True)
    loss = built().loss(output, none, emitted(torch.tensor([1, 2])))
    loss.total.backward()
    assert loss.weight == loss.total == 0
    assert not output.grad.any()


def test_the_output_of_padding_is_zero():
    output = built()(Features(Layout.SEQUENCE, (torch.randn(3, 4, 5),), LENGTHS))
    assert (output[0, 2:] == 0).all()
    assert (output[0, :2] != 0).all()


def test_a_prediction_has_a_label_and_probabilities_per_real_element():
    output = torch.randn(3, 4, 3)
    found = built().predict(output, emitted(LENGTHS))
    assert [len(row) for row in found.values] == [2, 4, 3]
    assert found.values[0] == [("B", "I", "O")[index] for index in output[0, :2].argmax(-1)]
    np.testing.assert_allclose(found.probabilities[1], output[1].softmax(-1), rtol=1e-6)
    assert found.probabilities[0].shape == (2, 3)


def test_an_unseen_label_is_reported_with_its_row():
    with pytest.raises(InvalidTargets) as caught:
        head().encode({"tags": ["O", "O X"]}, head().fit_targets(TARGETS))
    assert str(caught.value) == ("row 1: the label 'X' does not occur in the training split, which has 'B', 'I', 'O'")


@pytest.mark.parametrize("empty", ["", "  ", None, float("nan")])
def test_an_empty_cell_is_reported_with_its_row(empty):
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"tags": ["O B", empty]})
    assert str(caught.value) == "row 1: the target column 'tags' is empty"


def test_a_number_is_not_a_list_of_labels():
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"tags": ["O B", 5]})
    assert str(caught.value) == "row 1: the target column 'tags' is 5, not a list of labels"
