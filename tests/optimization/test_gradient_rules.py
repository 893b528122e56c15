"""Rules that compute the gradient of a step from several evaluations of the loss; sharpness-aware minimization."""

import copy
import math
import re
from typing import ClassVar

import pytest
import torch
from small_tasks import (
    Planned,
    assert_same_bits,
    classification,
    copied,
    fit_with,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)
from torch import nn

import taskgraft as tg
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.head import LossSum
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.optimization.train_step import TrainingDiverged
from taskgraft.plugin import Callback
from taskgraft.preparation.errors import TrainingError

PARTS = ("embedding", "block-0", "block-1")
NO_DROPOUT = {"dropout": 0.0}


class Interrupted(Exception):
    pass


def once(evaluate, parameters):
    evaluate()


def twice(evaluate, parameters):
    """The same gradient twice: the second takes the place of the first."""
    evaluate()
    evaluate()


def far(evaluate, parameters):
    """The gradient here, after an evaluation far away."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(1.0)
    evaluate()
    with torch.no_grad():
        for parameter in parameters:
            parameter.sub_(1.0)
    evaluate()


def by_rule(rule, backbone=words, parts=PARTS, **more):
    return weights(trained(backbone(), training_stage(*parts, gradient=rule), **more))


@pytest.mark.parametrize("rule", [once, twice])
def test_a_rule_that_changes_nothing_gives_the_bits_of_none(rule):
    assert_same_bits(by_rule(rule), by_rule(None))


def test_statistics_of_the_batch_count_once():
    parts = ("stem", "middle", "last")
    assert_same_bits(by_rule(twice, pictures, parts), by_rule(None, pictures, parts))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_rule_works_in_half_precision(precision):
    assert_same_bits(by_rule(twice, precision=precision), by_rule(None, precision=precision))


def test_the_loss_that_is_logged_is_that_of_the_first_evaluation():
    seen = []

    def noting(evaluate, parameters):
        seen.append(float(evaluate()))
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(3.0)
        evaluate()

    model = tg.compose(
        words(**NO_DROPOUT), classification(), Planned(training_stage("block-1", gradient=noting, epochs=1))
    )
    report = model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)
    assert report.stages[0].losses[0] == pytest.approx(sum(seen) / 3, rel=1e-6)


def test_moved_parameters_are_put_back_bit_for_bit():
    kept = []

    def moving(evaluate, parameters):
        before = [parameter.detach().clone() for parameter in parameters]
        evaluate()
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(torch.randn_like(parameter))
        kept.append((parameters, before))

    def stays(backbone, step):
        (parameters, before), done = kept[-1], step
        moved = [float((one.detach() - other).abs().max()) for one, other in zip(parameters, before, strict=True)]
        assert max(moved) < 0.5, done

    trained(words(), training_stage("block-1", gradient=moving, rate=1e-3, head_learning_rate=1e-3, on_step_end=stays))


def forgetful(evaluate, parameters):
    evaluate()
    for parameter in parameters:
        parameter.grad = None


WRONG = {
    "no gradient": (
        forgetful,
        TrainingError,
        "The gradient rule of the stage 'first' left no gradient. Let it leave one in 'grad' of the parameters.",
    ),
    "a gradient that is not finite": (
        lambda evaluate, parameters: (evaluate(), parameters[-1].grad.fill_(math.inf)),
        TrainingDiverged,
        "The loss of stage 'first' is # at step 1, but its gradient is not finite. The model keeps the weights of the step "
        "before. Lower the learning rate, or look for inputs that are not finite.",
    ),
    "no evaluation": (
        lambda evaluate, parameters: None,
        TrainingError,
        "The gradient rule of the stage 'first' did not evaluate the loss. Let it call its first argument.",
    ),
    "weights that are not finite": (
        lambda evaluate, parameters: (nn.init.constant_(parameters[0], math.nan), evaluate()),
        TrainingDiverged,
        "The loss of stage 'first' became nan at step 1. The model keeps the weights of the step before. Lower the learning "
        "rate, or look for inputs that are not finite.",
    ),
}


@pytest.mark.parametrize(("rule", "error", "message"), WRONG.values(), ids=WRONG)
def test_a_rule_that_goes_wrong_is_one_sentence(rule, error, message):
    for precision in ("fp32", "fp16") if error is TrainingError else ("fp32",):
        with pytest.raises(error) as caught:
            by_rule(rule, precision=precision)
        assert re.sub(r"is [\d.]+ at", "is # at", str(caught.value)) == message


class Torn(Exception):
    pass


def torn_inside(head, output, targets, features):
    raise Torn


@pytest.mark.parametrize("loss", [None, torn_inside], ids=["by the rule", "by the loss"])
def test_an_exception_names_the_stage_if_it_is_of_the_rule(loss):
    def torn(evaluate, parameters):
        evaluate()
        raise Torn

    with pytest.raises(Torn) as caught:
        trained(words(), training_stage("block-1", gradient=torn, loss=loss))
    expected = [] if loss else ["The gradient rule of the stage 'first' raised this at step 1."]
    assert getattr(caught.value, "__notes__", []) == expected


def failing_far(problem):
    """A rule that moves the parameters, and meets a problem there."""

    def rule(evaluate, parameters):
        evaluate()
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(1.0)
        problem(evaluate, parameters)

    return rule


def tear(evaluate, parameters):
    raise Torn


def diverge(evaluate, parameters):
    nn.init.constant_(parameters[0], math.nan)
    evaluate()


@pytest.mark.parametrize(("problem", "error"), [(tear, Torn), (diverge, TrainingDiverged)])
def test_whatever_happens_the_parameters_are_put_back(problem, error):
    stage = training_stage(*PARTS, gradient=failing_far(problem))
    backbone = words()
    before = copied(backbone)
    model = tg.compose(backbone, classification(), Planned(stage))
    with pytest.raises(error):
        model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)
    assert_same_bits(copied(backbone), before)


def test_an_overflow_in_any_evaluation_skips_the_step(monkeypatch):
    """In fp16, a gradient that overflows at the second evaluation skips the step and lowers the loss scale."""
    steps, scales = [], []

    class Enlarged:
        """The head's loss; in the second evaluation of the first step with a gradient that fp16 cannot hold."""

        count = 0

        def __call__(self, head, output, targets, features):
            self.count += 1
            loss = head.loss(output, targets, features)
            return LossSum(_Overflowing.apply(loss.total), loss.weight) if self.count == 2 else loss

    def noted(backbone, step):
        steps.append(copied(backbone))

    update = torch.amp.GradScaler.update

    def noting(scaler):
        update(scaler)
        scales.append(scaler.get_scale())

    monkeypatch.setattr(torch.amp.GradScaler, "update", noting)
    stage = training_stage("block-1", gradient=twice, loss=Enlarged(), epochs=1, on_step_end=noted)
    backbone = words()
    start = copied(backbone)
    trained(backbone, stage, precision="fp16", warmup=0.0)
    assert scales[:2] == [2.0**15, 2.0**15]
    assert_same_bits(steps[0], start)
    with pytest.raises(AssertionError):
        assert_same_bits(steps[1], start)


class _Overflowing(torch.autograd.Function):
    @staticmethod
    def forward(context, total):
        return total.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * math.inf


@pytest.mark.parametrize(("when", "rows"), [(1, [8, 4, 4]), (2, [8, 8, 4, 4])])
def test_when_memory_runs_out_the_whole_rule_starts_again(when, rows):
    calls = []

    class Failing:
        def __call__(self, head, output, targets, features):
            calls.append(len(targets))
            if len(calls) == when:
                raise MemoryError
            return head.loss(output, targets, features)

    stage = training_stage("block-1", gradient=far, loss=Failing(), epochs=1)
    divided = weights(trained(words(**NO_DROPOUT), stage))
    assert calls[: len(rows)] == rows
    plain = weights(trained(words(**NO_DROPOUT), training_stage("block-1", gradient=far, epochs=1), micro_batch=4))
    assert_same_bits(divided, plain)


# --- sharpness-aware minimization


def around(strategy, **settings):
    return {"name": "sharpness-aware", "strategy": strategy, **settings}


FULL = {"name": "full", "learning_rate": 1e-2, "head_learning_rate": 1e-2}
PLAIN = {"optimizer": "sgd", "weight_decay": 0.0, "clip": None, "warmup": 0.0, "schedule": "constant"}


def fit(strategy, backbone=None, **settings):
    return fit_with(strategy, backbone or words(**NO_DROPOUT), **{"epochs": 2, **settings})[0]


class Start(Callback):
    """Copies the model before the first step."""

    copies: ClassVar[list] = []

    def __init__(self, run):
        super().__init__(run)
        self.copies[:] = [copy.deepcopy(run.backbone).requires_grad_(True), copy.deepcopy(run.head)]


def by_hand(target, radius, adaptive, steps, rate=1e-2):
    """SAM (Foret et al. 2021, algorithm 1) and ASAM (Kwon et al. 2021, algorithm 1) over all rows at once."""
    backbone, head = Start.copies
    rows = sentences()
    inputs = backbone.processor.prepare({"text": rows["text"]}).batch
    encoded = classification().encode({"label": rows["label"]}, target)
    parameters = [*backbone.parameters(), *head.parameters()]

    def gradient():
        features = backbone(inputs, Layout.VECTOR)
        loss = head.loss(head(features), encoded, features)
        return torch.autograd.grad(loss.total / loss.weight, parameters, allow_unused=True)

    for _ in range(steps):
        before = [parameter.detach().clone() for parameter in parameters]
        slopes = [
            torch.zeros_like(one) if slope is None else slope for one, slope in zip(before, gradient(), strict=True)
        ]
        if adaptive:
            slopes = [one.abs() * slope for one, slope in zip(before, slopes, strict=True)]
        norm = sum(float(slope.square().sum()) for slope in slopes) ** 0.5
        for parameter, slope in zip(parameters, slopes, strict=True):
            scale = parameter.detach().abs() if adaptive else 1.0
            parameter.data.add_(scale * slope, alpha=radius / norm)
        for parameter, one, slope in zip(parameters, before, gradient(), strict=True):
            parameter.data.copy_(one if slope is None else one - rate * slope)
    parts = {"backbone": backbone, "head": head}
    return {f"{kind}.{name}": tensor for kind, one in parts.items() for name, tensor in copied(one).items()}


@pytest.mark.parametrize(("radius", "adaptive"), [(0.05, False), (0.5, True)])
def test_it_equals_the_algorithm_of_the_paper(radius, adaptive):
    model = fit(around(FULL, radius=radius, adaptive=adaptive), callbacks=[Start], batch_size=24, epochs=4, **PLAIN)
    expected = by_hand(model.fitted.target, radius, adaptive, steps=4)
    plain = weights(fit(FULL, batch_size=24, epochs=4, **PLAIN))
    found = weights(model)
    assert found.keys() == expected.keys()
    wrong = {
        name: float((found[name] - expected[name]).abs().max()) for name in found if found[name].is_floating_point()
    }
    assert max(wrong.values()) < 2e-6
    assert max(float((found[name] - plain[name]).abs().max()) for name in wrong) > 1e-4


def test_micro_batches_give_the_same_gradient():
    whole, divided = (weights(fit(around(FULL), micro_batch=size, **PLAIN)) for size in (None, 3))
    assert max(float((whole[name] - divided[name]).abs().max()) for name in whole) < 1e-6


@pytest.mark.parametrize("strategy", ["full", {"name": "average", "strategy": "full"}], ids=str)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, strategy):
    armed = [True]

    class Stop(Callback):
        def on_step_end(self, step):
            if step == 4 and armed:
                armed.clear()
                raise Interrupted

    chosen = {"strategy": around("full"), "name": "average"} if strategy != "full" else around("full")
    with pytest.raises(Interrupted):
        fit(chosen, words(), callbacks=[Stop], run=tmp_path / "run", checkpoint_every=1)
    resumed = fit(chosen, words(), callbacks=[Stop], run=tmp_path / "run", resume=True, checkpoint_every=1)
    assert_same_bits(weights(resumed), weights(fit(chosen, words())))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_works_on_cached_features_with_patience(precision):
    model = tg.compose(words(), classification(), around("partial:1"))
    training = {"batch_size": 8, "epochs": 4, "patience": 1, "precision": precision}
    report = model.fit(sentences(), validation=sentences(8, seed=1), target="label", training=training, quiet=True)
    (stage,) = report.stages
    assert stage.stored_at == 2
    assert stage.chosen["epoch"] in range(1, 5)


def test_it_trains_images_with_batch_norm():
    model = fit(around("full"), pictures())
    assert len(model.predict(images(4))) == 4


def test_a_solved_head_has_no_steps_to_change():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), "sharpness-aware:linear-probe")
    assert str(caught.value) == (
        "'sharpness-aware' changes the steps of gradient descent, but the strategy that it contains takes none: it solves for "
        "the head. Let it contain one that trains in steps, such as 'partial' or 'full'."
    )


def test_only_the_stages_that_descend_are_changed():
    model = tg.compose(words(), classification(), "sharpness-aware:probe-then-tune")
    assert [stage.gradient is not None for stage in model.composition.plan] == [False, True]


def test_it_is_not_nested_in_itself():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), "sharpness-aware:sharpness-aware:full")
    assert str(caught.value) == (
        "'sharpness-aware' computes the gradient of each step, and so does the strategy that it contains. Keep one."
    )


def test_the_label_names_what_is_nested():
    assert tg.compose(words(), classification(), "sharpness-aware:partial:1").composition.strategy.label == (
        "sharpness-aware:partial:1"
    )
