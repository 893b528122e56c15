import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig, ElementClassificationConfig, RegressionConfig
from taskgraft.builtin.heads.element_classification import ElementClassification
from taskgraft.builtin.heads.regression import Regression
from taskgraft.contract.descriptions import Layout, sequence, vector
from taskgraft.contract.features import Features
from taskgraft.contract.head import HeadModule
from taskgraft.preparation.errors import TrainingError
from taskgraft.training.convex_solver import (
    PENALTIES,
    ConvexProblem,
    solve,
    solve_with_penalty_search,
    start_at_zero,
)

ROWS, SIZE = 240, 8


def drawn(rows: int = ROWS, seed: int = 0, noise: float = 1.0) -> tuple[torch.Tensor, list[str]]:
    """Features of an uneven scale, and three classes that overlap."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, SIZE, generator=generator) * torch.linspace(0.5, 4, SIZE)
    directions = torch.randn(SIZE, 3, generator=torch.Generator().manual_seed(99))
    scores = features @ directions + noise * torch.randn(rows, 3, generator=generator)
    return features, ["abc"[index] for index in scores.argmax(-1)]


def classifier(labels: list[str], **settings) -> tuple[HeadModule, torch.Tensor]:
    head = Classification(ClassificationConfig(**settings))
    target = head.fit_targets({"label": labels})
    module = head.build_module(vector(SIZE), target)
    start_at_zero(module)
    return module, head.encode({"label": labels}, target)


def problem(features: torch.Tensor, targets, size: int = ROWS) -> ConvexProblem:
    pieces = [list(range(start, min(start + size, len(features)))) for start in range(0, len(features), size)]
    return ConvexProblem(
        lambda: ((Features(Layout.VECTOR, (features[rows],)), targets.select(rows)) for rows in pieces)
    )


@pytest.mark.parametrize("strength", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_classification_agrees_with_scikit_learn_at_the_same_penalty(strength, weights):
    features, labels = drawn()
    module, targets = classifier(labels, class_weights=weights)
    training = problem(features, targets)
    whole = (
        ROWS
        if weights == "none"
        else float(module.loss(torch.zeros(ROWS, 3), targets, Features(Layout.VECTOR, (features,))).weight)
    )
    solve(module, training, 1 / (strength * whole * training.scale()), training.scale(), tolerance=1e-7)
    baseline = LogisticRegression(
        C=strength, tol=1e-8, max_iter=10_000, class_weight=None if weights == "none" else "balanced"
    ).fit(features.double().numpy(), labels)
    with torch.no_grad():
        found = module(Features(Layout.VECTOR, (features,))).softmax(-1)
    np.testing.assert_allclose(found, baseline.predict_proba(features.double().numpy()), atol=2e-3)
    np.testing.assert_allclose(module.readout.weight.detach(), baseline.coef_, atol=5e-3, rtol=5e-3)


def test_regression_agrees_with_the_closed_form_of_ridge():
    features, _ = drawn()
    numbers = (features @ torch.arange(SIZE).float() + 3).tolist()
    head = Regression(RegressionConfig())
    target = head.fit_targets({"price": numbers})
    module, targets = head.build_module(vector(SIZE), target), head.encode({"price": numbers}, target)
    training = problem(features, targets)
    start_at_zero(module)
    penalty = 0.1
    solve(module, training, penalty, training.scale(), tolerance=1e-7)
    # mean squared error + penalty · scale · ½‖w‖² is, times the rows, ‖Xw − y‖² + α‖w‖² with α = rows · penalty · scale / 2
    baseline = Ridge(alpha=ROWS * penalty * training.scale() / 2).fit(
        features.numpy(), targets["numbers"][:, 0].numpy()
    )
    np.testing.assert_allclose(module.readout.weight.detach()[0], baseline.coef_, atol=1e-4)
    np.testing.assert_allclose(module.readout.bias.detach()[0], baseline.intercept_, atol=1e-4)


def test_the_bias_is_not_penalised():
    features, labels = torch.ones(100, SIZE), ["a"] * 90 + ["b"] * 10
    module, targets = classifier(labels)
    training = problem(features, targets)
    solve(module, training, 100.0, training.scale(), tolerance=1e-7)
    with torch.no_grad():
        share = module(Features(Layout.VECTOR, (features[:1],))).softmax(-1)[0, 1]
    assert float(share) == pytest.approx(0.1, abs=1e-3)


def test_the_biases_of_members_are_not_penalised():
    features, labels = torch.ones(100, 2, SIZE), ["a"] * 90 + ["b"] * 10
    head = Classification(ClassificationConfig())
    target = head.fit_targets({"label": labels})
    module, targets = head.build_module(vector(SIZE, members=2), target), head.encode({"label": labels}, target)
    start_at_zero(module)
    training = ConvexProblem(lambda: [(Features(Layout.VECTOR, (features,)), targets)])
    solve(module, training, 100.0, training.scale(), tolerance=1e-7)
    with torch.no_grad():
        share = module(Features(Layout.VECTOR, (features[:1],))).softmax(-1)[0, 0, 1]
    assert float(share) == pytest.approx(0.1, abs=1e-3)


def test_the_solution_does_not_depend_on_the_scale_of_the_features():
    features, labels = drawn()
    losses = []
    for factor in (1.0, 50.0):
        module, targets = classifier(labels)
        training = problem(features * factor, targets)
        losses.append(solve(module, training, 1e-2, training.scale(), tolerance=1e-7))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_several_batches_give_the_solution_of_one():
    features, labels = drawn()
    weights = []
    for size in (ROWS, 37):
        module, targets = classifier(labels)
        training = problem(features, targets, size)
        solve(module, training, 1e-3, training.scale(), tolerance=1e-6)
        weights.append(module.readout.weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[1], atol=2e-3, rtol=1e-3)


def test_the_gradient_of_several_batches_is_that_of_one():
    features, labels = drawn()
    gradients = []
    for size in (ROWS, 37):
        module, targets = classifier(labels, class_weights="balanced")
        problem(features, targets, size).loss(module, gradients=True)
        gradients.append(module.readout.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_the_loss_that_is_given_is_the_mean_loss_without_the_penalty():
    features, labels = drawn()
    module, targets = classifier(labels)
    training = problem(features, targets)
    given = solve(module, training, 1e-2, training.scale())
    with torch.no_grad():
        read = Features(Layout.VECTOR, (features,))
        loss = module.loss(module(read), targets, read)
    assert given == pytest.approx(float(loss.total / loss.weight))


def test_the_penalty_with_the_lowest_validation_loss_is_chosen():
    features, labels = drawn(80, noise=20.0)
    others, other_labels = drawn(400, seed=1, noise=20.0)
    module, targets = classifier(labels)
    _, other_targets = classifier(other_labels)
    training, validation = problem(features, targets), problem(others, other_targets)
    solution = solve_with_penalty_search(module, training, validation, training.scale())
    assert solution.validation_loss == pytest.approx(validation.loss(module, gradients=False))
    for penalty in PENALTIES:
        baseline, _ = classifier(labels)
        solve(baseline, training, penalty, training.scale())
        assert validation.loss(baseline, gradients=False) >= solution.validation_loss - 1e-3


def test_noise_wants_a_stronger_penalty_than_order_does():
    chosen = []
    for noise in (30.0, 0.0):
        features, labels = drawn(80, noise=noise)
        others, other_labels = drawn(400, seed=1, noise=noise)
        module, targets = classifier(labels)
        _, other_targets = classifier(other_labels)
        training = problem(features, targets)
        chosen.append(
            solve_with_penalty_search(module, training, problem(others, other_targets), training.scale()).penalty
        )
    assert chosen[0] > chosen[1]


def test_the_scale_is_the_mean_squared_norm_over_real_elements():
    values = torch.ones(2, 3, 4)
    values[0, 2] = 1e6  # padding
    features = Features(Layout.SEQUENCE, (values,), torch.tensor([2, 3]))
    assert ConvexProblem(lambda: [(features, None)]).scale() == 4


def test_a_head_over_elements_can_be_solved_for():
    features = Features(Layout.SEQUENCE, (torch.randn(30, 5, SIZE),), torch.randint(1, 6, (30,)))
    labels = [
        ["ab"[int(value > 0)] for value in row[:count, 0]]
        for row, count in zip(features.value, features.lengths, strict=True)
    ]
    head = ElementClassification(ElementClassificationConfig())
    target = head.fit_targets({"tags": labels})
    module, targets = head.build_module(sequence(SIZE), target), head.encode({"tags": labels}, target)
    training = ConvexProblem(lambda: [(features, targets)])
    assert solve(module, training, 1e-6, training.scale()) < 0.05


def test_starting_at_zero_forgets_the_random_start():
    features, labels = drawn()
    weights = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module, targets = classifier(labels)
        training = problem(features, targets)
        solve(module, training, 1e-3, training.scale())
        weights.append(module.readout.weight.detach().clone())
    assert torch.equal(*weights)


def test_no_gradient_is_left_behind():
    features, labels = drawn()
    module, targets = classifier(labels)
    training = problem(features, targets)
    solve(module, training, 1e-3, training.scale())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_features_that_are_not_finite_are_rejected():
    features, labels = drawn()
    _, targets = classifier(labels)
    features[3, 0] = float("nan")
    with pytest.raises(TrainingError) as caught:
        problem(features, targets).scale()
    assert str(caught.value) == "The head cannot be solved for: the features hold values that are not finite."


def test_targets_that_are_all_unknown_are_rejected():
    features = Features(Layout.SEQUENCE, (torch.randn(2, 3, SIZE),), torch.tensor([3, 3]))
    head = ElementClassification(ElementClassificationConfig())
    target = head.fit_targets({"tags": ["a b"]})
    none = head.encode({"tags": [[None] * 3, [None] * 3]}, target)
    module = head.build_module(sequence(SIZE), target)
    with pytest.raises(TrainingError) as caught:
        ConvexProblem(lambda: [(features, none)]).loss(module, gradients=False)
    assert str(caught.value) == "The head cannot be solved for: no row has a target."
