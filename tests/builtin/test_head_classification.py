import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_tasks import sentences, words
from torch.nn.functional import cross_entropy, one_hot

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification, ClassificationTarget
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.batch import Batch
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import Layout, vector
from taskgraft.contract.features import Features
from taskgraft.contract.plan import HeadSolver
from taskgraft.contract.targets import InvalidTargets, TargetError

LABELS = ["b", "a", "c", "a", "a", "b"]

UNREAD = Features(Layout.VECTOR, (torch.zeros(1, 5),))
"""Passed as features where they are not read."""


def head(**settings) -> Classification:
    return Classification(ClassificationConfig(**settings))


def built(head: Classification, labels=LABELS, members: int | None = None):
    torch.manual_seed(0)
    return head.build_module(vector(5, members), head.fit_targets({"label": labels}))


def encoded(head: Classification, labels=LABELS) -> Batch:
    return head.encode({"label": labels}, head.fit_targets({"label": labels}))


def test_the_vocabulary_of_texts_is_sorted():
    assert head().fit_targets({"label": LABELS}) == ClassificationTarget(column="label", vocabulary=("a", "b", "c"))


def test_the_vocabulary_of_numbers_is_sorted_by_value():
    assert head().fit_targets({"label": [10, 9, 100]}).vocabulary == (9, 10, 100)


def test_numpy_numbers_become_python_numbers():
    learned = head().fit_targets({"label": list(np.array([1, 0]))})
    assert [type(label) for label in learned.vocabulary] == [int, int]


def test_the_target_description_is_json():
    learned = head(class_weights="balanced").fit_targets({"label": LABELS})
    assert ClassificationTarget.model_validate_json(learned.model_dump_json()) == learned


def test_encoded_labels_are_decoded_to_the_same_labels():
    target = head().fit_targets({"label": LABELS})
    batch = head().encode({"label": LABELS}, target)
    assert batch["label"].tolist() == [1, 0, 2, 0, 0, 1]
    assert head().decode_targets(batch, target) == LABELS


def test_a_label_is_found_by_its_text():
    assert head().encode({"label": ["7", 8]}, head().fit_targets({"label": [7, "8"]}))["label"].tolist() == [0, 1]


def test_the_loss_is_the_mean_cross_entropy_in_nats():
    module, batch, output = built(head()), encoded(head()), torch.randn(6, 3)
    loss = module.loss(output, batch, UNREAD)
    torch.testing.assert_close(loss.total / loss.weight, cross_entropy(output, batch["label"]))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(
    ("asked", "weights"),
    [("balanced", [6 / 9, 1.0, 2.0]), ({"a": 1, "b": 5, "c": 0.5}, [1.0, 5.0, 0.5])],
)
def test_a_weighted_loss_is_the_weighted_mean_of_torch(asked, weights, smoothing):
    chosen = head(class_weights=asked, label_smoothing=smoothing)
    module, batch, output = built(chosen), encoded(chosen), torch.randn(6, 3)
    loss = module.loss(output, batch, UNREAD)
    wanted = cross_entropy(output, batch["label"], torch.tensor(weights), label_smoothing=smoothing)
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_label_smoothing_is_that_of_torch():
    chosen = head(label_smoothing=0.2)
    output = torch.randn(6, 3)
    loss = built(chosen).loss(output, encoded(chosen), UNREAD)
    wanted = cross_entropy(output, encoded(chosen)["label"], label_smoothing=0.2)
    torch.testing.assert_close(loss.total / loss.weight, wanted)


@pytest.mark.parametrize("asked", ["none", "balanced"])
def test_a_soft_label_is_a_distribution_over_classes(asked):
    chosen = head(class_weights=asked)
    module, output, soft = built(chosen), torch.randn(6, 3), torch.rand(6, 3).softmax(-1)
    loss = module.loss(output, Batch({"label": soft}), UNREAD)
    weights = None if asked == "none" else torch.tensor([6 / 9, 1.0, 2.0])
    torch.testing.assert_close(loss.total / loss.weight, cross_entropy(output, soft, weights))


def test_the_loss_of_members_is_their_mean_loss():
    module, batch, output = built(head(), members=4), encoded(head()), torch.randn(6, 4, 3)
    loss = module.loss(output, batch, UNREAD)
    wanted = torch.stack([cross_entropy(output[:, member], batch["label"]) for member in range(4)]).mean()
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_soft_labels_work_with_ensemble_members():
    module, output, soft = built(head(), members=4), torch.randn(6, 4, 3), torch.rand(6, 3).softmax(-1)
    loss = module.loss(output, Batch({"label": soft}), UNREAD)
    wanted = torch.stack([cross_entropy(output[:, member], soft) for member in range(4)]).mean()
    torch.testing.assert_close(loss.total / loss.weight, wanted)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_distillation_loss_and_its_gradient_are_those_of_the_paper(temperature):
    module, output, teacher = built(head()), torch.randn(6, 3, requires_grad=True), torch.randn(6, 3)
    shares = (teacher / temperature).softmax(-1)
    soft = module.soft_labels(teacher, UNREAD, temperature)
    loss = module.distillation_loss(output, soft, UNREAD, temperature)
    loss.total.backward()
    own = (output.detach() / temperature).softmax(-1)
    torch.testing.assert_close(soft["shares"], shares)
    torch.testing.assert_close(loss.total, temperature**2 * (shares * (shares.log() - own.log())).sum())
    torch.testing.assert_close(output.grad, temperature * (own - shares))
    assert float(loss.weight) == 6


def test_each_member_is_trained_on_the_mean_of_the_teachers_members():
    module, output, teacher = built(head(), members=4), torch.randn(6, 4, 3), torch.randn(6, 4, 3)
    soft = module.soft_labels(teacher, UNREAD, 2.0)
    shares = (teacher / 2).softmax(-1).mean(1)
    wanted = [4 * (shares * (shares.log() - (output[:, member] / 2).log_softmax(-1))).sum() for member in range(4)]
    torch.testing.assert_close(module.distillation_loss(output, soft, UNREAD, 2.0).total, torch.stack(wanted).mean())


def focal(output, shares, gamma, weights=(1.0, 1.0, 1.0)):
    """The focal loss of rows, class by class, as the paper writes it."""
    chances = output.double().softmax(-1)
    return (-shares * torch.tensor(weights) * (1 - chances) ** gamma * chances.log()).sum()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_down_weights_easy_rows(gamma):
    module, batch, output = built(head(focal=gamma)), encoded(head()), torch.randn(6, 3)
    loss = module.loss(output, batch, UNREAD)
    torch.testing.assert_close(loss.total.double(), focal(output, one_hot(batch["label"], 3), gamma))
    assert float(loss.weight) == 6


def test_smoothing_and_weights_apply_to_each_term_of_the_focal_loss():
    chosen = head(focal=2.0, label_smoothing=0.3, class_weights={"a": 1, "b": 5, "c": 0.5})
    batch, output = encoded(chosen), torch.randn(6, 3)
    loss = built(chosen).loss(output, batch, UNREAD)
    shares = one_hot(batch["label"], 3) * 0.7 + 0.1
    torch.testing.assert_close(loss.total.double(), focal(output, shares, 2.0, (1.0, 5.0, 0.5)))
    assert float(loss.weight) == 1 * 3 + 5 * 2 + 0.5


def test_the_focal_loss_of_a_soft_label_is_the_weighted_sum_over_its_classes():
    output, soft = torch.randn(6, 3), torch.rand(6, 3).softmax(-1)
    loss = built(head(focal=2.0)).loss(output, Batch({"label": soft}), UNREAD)
    torch.testing.assert_close(loss.total.double(), focal(output, soft, 2.0))


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.3, "class_weights": "balanced"}])
def test_without_gamma_the_loss_is_cross_entropy_bit_for_bit(settings):
    chosen = head(focal=0.0, **settings)
    module, batch, output = built(chosen), encoded(chosen), torch.randn(6, 3)
    weights = torch.tensor([6 / 9, 1.0, 2.0]) if settings else None
    smoothing = settings.get("label_smoothing", 0.0)
    wanted = cross_entropy(output, batch["label"], weights, reduction="sum", label_smoothing=smoothing)
    assert torch.equal(module.loss(output, batch, UNREAD).total, wanted)


def test_a_tiny_gamma_gives_nearly_the_cross_entropy():
    settings = {"label_smoothing": 0.3, "class_weights": "balanced"}
    batch, output = encoded(head()), torch.randn(6, 3)
    nearly, none = (built(head(focal=gamma, **settings)).loss(output, batch, UNREAD) for gamma in (1e-6, 0.0))
    torch.testing.assert_close(nearly.total, none.total, rtol=1e-4, atol=0)


def test_the_gradient_of_the_focal_loss_is_finite_for_a_certain_row():
    output = (torch.eye(3) * 200).requires_grad_()
    chosen = head(focal=0.5)
    batch = chosen.encode({"label": ["a", "b", "a"]}, chosen.fit_targets({"label": LABELS}))
    built(chosen).loss(output, batch, UNREAD).total.backward()
    assert output.grad.isfinite().all()


def test_the_focal_loss_is_not_convex_so_a_probe_uses_gradient_descent():
    assert head().description.convex
    assert not head(focal=2.0).description.convex
    model = tg.compose(words(), head(focal=2.0), "linear-probe")
    assert [stage.solve for stage in model.composition.plan] == [HeadSolver.DESCENT]
    run = model.fit(sentences(), target="label", quiet=True)
    assert run.stages[0].losses[-1] < run.stages[0].losses[0]


def test_losses_of_batches_add_up_to_the_loss_of_all():
    chosen = head(class_weights="balanced")
    module, batch, output = built(chosen), encoded(chosen), torch.randn(6, 3)
    whole = module.loss(output, batch, UNREAD)
    parts = [module.loss(output[rows], batch.select(rows), UNREAD) for rows in ([0, 1], [2, 3, 4, 5])]
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)
    torch.testing.assert_close(sum(part.weight for part in parts), whole.weight)


def test_a_prediction_is_the_most_likely_label_with_probabilities():
    output = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    found = built(head()).predict(output, UNREAD)
    assert found.values == ["b", "a"]
    assert found.classes == ("a", "b", "c")
    np.testing.assert_allclose(found.probabilities, output.softmax(-1))


def test_members_are_averaged_as_probabilities():
    output = torch.randn(2, 4, 3)
    found = built(head(), members=4).predict(output, UNREAD)
    np.testing.assert_allclose(found.probabilities, output.softmax(-1).mean(1), rtol=1e-6)


def test_each_member_has_its_own_weights():
    module = built(head(), members=4)
    value = torch.randn(2, 4, 5)
    output = module(Features(Layout.VECTOR, (value,)))
    assert module.readout.weight.shape == (4, 3, 5)
    torch.testing.assert_close(output[:, 1], value[:, 1] @ module.readout.weight[1].T + module.readout.bias[1])


def test_features_in_half_precision_are_cast_to_the_precision_of_the_head():
    assert built(head())(Features(Layout.VECTOR, (torch.randn(2, 5).bfloat16(),))).dtype == torch.float32


def test_class_weights_are_not_saved_as_a_tensor():
    assert not any("weights" in name for name in built(head(class_weights="balanced")).state_dict())


def test_an_unseen_label_is_reported_with_its_row():
    target = head().fit_targets({"label": LABELS})
    with pytest.raises(InvalidTargets) as caught:
        head().encode({"label": ["a", "d"]}, target)
    assert str(caught.value) == ("row 1: the label 'd' does not occur in the training split, which has 'a', 'b', 'c'")


@pytest.mark.parametrize("empty", [None, "", float("nan")])
def test_an_empty_cell_is_reported_with_its_row(empty):
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"label": ["a", empty, "b"]})
    assert str(caught.value) == "row 1: the target column 'label' is empty"


def test_of_more_than_five_invalid_rows_the_rest_is_counted():
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"label": [""] * 8})
    assert str(caught.value).splitlines()[-1] == "… and 3 more rows."


def test_a_single_label_is_rejected():
    with pytest.raises(TargetError) as caught:
        head().fit_targets({"label": ["a", "a"]})
    assert str(caught.value) == (
        "The target column 'label' has only the label 'a' in the training split; "
        "a head needs two or more to tell apart."
    )


def test_weights_by_label_must_name_every_label():
    with pytest.raises(ConfigError) as caught:
        head(class_weights={"a": 1.0}).fit_targets({"label": LABELS})
    assert str(caught.value) == (
        "head 'classification': class_weights has no weight for 'b', 'c'. Give each label one weight."
    )

    with pytest.raises(ConfigError) as caught:
        head(class_weights={"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}).fit_targets({"label": LABELS})
    assert str(caught.value) == (
        "head 'classification': class_weights names 'd', which does not occur in the data. Give each label one weight."
    )


def test_two_target_columns_are_rejected():
    with pytest.raises(TargetError) as caught:
        head().fit_targets({"label": LABELS, "other": LABELS})
    assert str(caught.value) == "'classification' reads one target column, but was given 2: label, other."


@pytest.mark.parametrize(
    "weights",
    [
        {1: 3.0, 0: 2.0},
        {"1": 3.0, "0": 2.0},
        {1.0: 3.0, 0.0: 2.0},
        {True: 3.0, False: 2.0},
        {"true": 3.0, "FALSE": 2.0},
    ],
)
@pytest.mark.parametrize(
    "labels", [[0, 1, 1], ["0", "1"], [0.0, 1.0], [False, True], ["false", "true"], ["0.0", "1.0"]]
)
def test_class_weights_take_labels_of_any_type(weights, labels):
    assert head(class_weights=weights).fit_targets({"label": labels}).weights == (2.0, 3.0)


def test_class_weights_take_any_spelling_of_a_label():
    weights = {" b\u200b": 3.0, "a": 2.0}
    assert head(class_weights=weights).fit_targets({"label": ["a", "b "]}).weights == (2.0, 3.0)


def test_two_keys_of_one_label_are_rejected():
    with pytest.raises(ValidationError, match="two keys name the same label"):
        head(class_weights={1: 2.0, "1": 3.0})
    with pytest.raises(ConfigError) as caught:
        head(class_weights={"1": 2.0, "true": 3.0, "0": 1.0}).fit_targets({"label": [0, 1]})
    assert str(caught.value) == (
        "head 'classification': class_weights names a label twice. Give each label one weight."
    )


def test_a_vocabulary_of_an_old_artifact_may_spell_a_label_twice():
    target = ClassificationTarget(column="label", vocabulary=("a", "a ", "b"))
    assert head().encode({"label": ["a ", "b"]}, target)["label"].tolist() == [0, 2]
