"""Optimizers by name and as objects: all of torch's, resumed to the same bits, or refused in a sentence."""

import inspect

import pytest
import torch
from small_tasks import Planned, assert_same_bits, classification, sentences, training_stage, weights, words
from torch import nn
from torch.optim import Optimizer

import taskgraft as tg
from taskgraft.builtin.optimizers import OPTIMIZERS
from taskgraft.contract.config import ConfigError
from taskgraft.contract.plan import Unfreeze
from taskgraft.discovery.catalog import UnknownComponent
from taskgraft.errors import TaskgraftError
from taskgraft.preparation.errors import TrainingError

REFUSED = {
    "LBFGS": "its step evaluates the loss through a closure",
    "SparseAdam": "it takes sparse gradients alone",
}
"""Class of torch.optim that is no built-in optimizer → why."""

SETTINGS = {
    "sgd": {"momentum": 0.9, "nesterov": True},
    "adam": {"amsgrad": True},
    "rmsprop": {"centered": True, "momentum": 0.5},
}
NAMES = sorted(spec.name for spec in OPTIMIZERS)


class Interrupted(Exception):
    pass


class Odd(Optimizer):
    """Plain gradient descent whose state is of every kind that a checkpoint holds."""

    def __init__(self, groups):
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "note": "before the first step", "scale": 1.0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["note"], group["scale"] = "after a step", group["scale"] * 0.75
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                state["last"] = [parameter.grad.double(), *state.get("last", [])[:1]]
                state["count"] = state.get("count", 0) + 1
                mean = sum(state["last"]) / len(state["last"])
                parameter.sub_((group["lr"] * group["scale"] / state["count"] * mean).to(parameter.dtype))


def fit(folder=None, stop=None, resume=False, stage=None, **training):
    stopped = []

    def on_step_end(backbone, step):
        if step == stop and not stopped:
            stopped.append(step)
            raise Interrupted

    stage = stage or {}
    model = tg.compose(words(), classification(), Planned(training_stage("block-1", on_step_end=on_step_end, **stage)))
    training = {"batch_size": 8, "checkpoint_every": 1, **training}
    model.fit(sentences(), target="label", training=training, quiet=True, run=folder, resume=resume)
    return weights(model)


def resumed(folder, **settings):
    with pytest.raises(Interrupted):
        fit(folder, stop=4, **settings)
    return fit(folder, resume=True, **settings)


def test_every_optimizer_of_torch_is_built_in_or_refused_with_a_reason():
    classes = {name for name, one in vars(torch.optim).items() if inspect.isclass(one) and issubclass(one, Optimizer)}
    assert classes - {"Optimizer"} == {spec.build.args[0] for spec in OPTIMIZERS} | REFUSED.keys()


@pytest.mark.parametrize("spec", OPTIMIZERS, ids=lambda spec: spec.name)
def test_settings_have_the_names_and_the_defaults_of_torch(spec):
    theirs = inspect.signature(getattr(torch.optim, spec.build.args[0])).parameters
    ours = {name: field.default for name, field in spec.config.model_fields.items()}
    differing = {name: value for name, value in ours.items() if theirs[name].default != value}
    assert differing == ({"eps": 1e-6} if spec.name == "adamw" else {})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "muon"])
def test_a_run_with_any_optimizer_resumes_to_the_same_bits(name, tmp_path):
    chosen = {"name": name, **SETTINGS.get(name, {})}
    assert_same_bits(resumed(tmp_path / "run", optimizer=chosen), fit(optimizer=chosen))


def test_muon_trains_matrices_and_resumes_to_the_same_bits(tmp_path):
    matrices = Unfreeze(("block-1",), 1e-2, tensors=frozenset({"weight"}), modules=(nn.Linear,))
    stage = {"head_learning_rate": None, "unfreeze": (matrices,)}
    assert_same_bits(resumed(tmp_path / "run", stage=stage, optimizer="muon"), fit(stage=stage, optimizer="muon"))


def test_an_optimizer_with_odd_state_resumes_to_the_same_bits(tmp_path):
    assert_same_bits(resumed(tmp_path / "run", stage={"optimizer": Odd}), fit(stage={"optimizer": Odd}))


def test_the_optimizer_of_a_stage_takes_the_place_of_the_settings():
    by_stage = fit(
        stage={"optimizer": lambda groups: torch.optim.SGD(groups, momentum=0.9, fused=True)}, optimizer="adagrad"
    )
    assert_same_bits(by_stage, fit(optimizer="sgd:0.9"))


def test_the_default_is_adamw_as_before():
    by_hand = fit(stage={"optimizer": lambda groups: torch.optim.AdamW(groups, eps=1e-6, fused=True)})
    assert_same_bits(by_hand, fit())
    assert_same_bits(by_hand, fit(optimizer="adamw", schedule="linear"))


def test_a_run_is_not_resumed_with_another_optimizer(tmp_path):
    with pytest.raises(Interrupted):
        fit(tmp_path / "run", stop=4, optimizer="sgd")
    with pytest.raises(TaskgraftError) as caught:
        fit(tmp_path / "run", resume=True, optimizer="sgd:0.5")
    assert str(caught.value) == (
        f'Cannot resume {tmp_path / "run"}: training.optimizer was "sgd" and is now "sgd:0.5". Undo this, or start again '
        "without resume (on the command line: --overwrite instead of --resume)."
    )


ERRORS = {
    "an unknown name": ({"optimizer": "adamq"}, UnknownComponent, "No optimizer named 'adamq'. Did you mean 'adam'"),
    "an unknown setting": (
        {"optimizer": {"name": "sgd", "betas": [0.9, 0.99]}},
        ConfigError,
        "optimizer 'sgd': there is no setting 'betas'. Settings: momentum, dampening, nesterov.",
    ),
    "momentum that is missing": (
        {"optimizer": {"name": "sgd", "nesterov": True}},
        ConfigError,
        "optimizer 'sgd': nesterov needs momentum above 0 and dampening = 0",
    ),
    "a decay without effect": (
        {"optimizer": "rprop", "weight_decay": 0.1},
        TrainingError,
        "training.weight_decay = 0.1 would have no effect: the optimizer 'rprop' has no weight decay. Leave it out, or choose "
        "another optimizer.",
    ),
    "matrices alone": (
        {"optimizer": "muon"},
        TrainingError,
        "The optimizer 'muon' cannot train these parameters: Muon only supports 2D parameters",
    ),
}


@pytest.mark.parametrize(("training", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_an_optimizer_that_cannot_be_is_one_sentence(training, error, message):
    with pytest.raises(error) as caught:
        fit(**training)
    assert str(caught.value).startswith(message)


WRONG = {
    "no optimizer": (
        lambda groups: "sgd",
        "The optimizer of the stage 'first' is of the type str, not a torch.optim.Optimizer.",
    ),
    "fewer parameters": (
        lambda groups: torch.optim.SGD(groups[:1]),
        "The optimizer of the stage 'first' trains other parameters than it was given.",
    ),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_an_object_that_is_no_optimizer_of_all_parameters_is_refused(make, message):
    with pytest.raises(TrainingError) as caught:
        fit(stage={"optimizer": make})
    assert str(caught.value) == message


def test_a_name_that_is_not_there_is_found_before_the_data_are_read():
    with pytest.raises(UnknownComponent, match="No schedule named 'lineal'"):
        tg.compose(words(), classification(), "full").fit(
            "nowhere.csv", target="label", training={"schedule": "lineal"}, quiet=True
        )


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_a_run_in_fp16_resumes_to_the_same_bits_with_its_loss_scale(name, tmp_path):
    settings = {"optimizer": name, "precision": "fp16"}
    assert_same_bits(resumed(tmp_path / "run", **settings), fit(**settings))
