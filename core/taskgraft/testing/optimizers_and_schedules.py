"""Laws of optimizers and learning-rate schedules: a resumed run takes the steps that an uninterrupted one would have taken."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from taskgraft.contract.config import Config
from taskgraft.contract.specs import OptimizerSpec, ScheduleSpec, Spec
from taskgraft.errors import TaskgraftError
from taskgraft.optimization.lr_schedule import LearningRates
from taskgraft.optimization.optimizer import OptimizerMaker, restore_optimizer
from taskgraft.optimization.saved_state import pack_state, unpack_state
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.plugin import config_to_try, load_specs

AnySpec = TypeVar("AnySpec", bound=Spec)

_SHAPES = ((4, 3), (3, 3), (4,))
"""Shapes of the parameters that an optimizer is tried with; those with one axis are left out for one that takes matrices."""

_STEPS = 3
"""Steps before and after the state is saved."""


@law_check("Keep everything that a step reads in 'state' and 'param_groups'.")
def check_optimizers_resume_exactly(law: Law, module: str, configs: Mapping[str, Config]) -> None:
    """An optimizer trains all parameters, and continues from its saved state with equal bits.

    One that takes no biases is tried with matrices alone.

    Args:
        configs: name of a spec → settings to try it with. A spec whose settings all have defaults needs none.
    """
    for spec_law, spec, config in _cases(OptimizerSpec, law, module, configs):
        _check_optimizer(spec_law, spec, config)


@law_check("Compute the factor from the two arguments alone.")
def check_schedules_are_pure(law: Law, module: str, configs: Mapping[str, Config]) -> None:
    """A schedule gives finite factors from 0, not all of them 0, and the same in any order of calls.

    Args: as for :func:`check_optimizers_resume_exactly`.
    """
    for spec_law, spec, config in _cases(ScheduleSpec, law, module, configs):
        for steps in (1, 2, 7, 100):
            _check_schedule(spec_law, spec, config, steps)


def _check_optimizer(law: Law, spec: OptimizerSpec, config: Config) -> None:
    maker = OptimizerMaker(f"the optimizer '{spec.name}'", lambda groups: spec.build(groups, config))
    parameters = _parameters()
    try:
        optimizer = _make(law, maker, parameters)
    except TaskgraftError:
        parameters = [one for one in parameters if one.dim() > 1]
        optimizer = _make(law, maker, parameters)
    before = _copies(parameters)
    _train(law, optimizer, parameters, range(_STEPS))
    for parameter, old in zip(parameters, before, strict=True):
        if not bool(parameter.isfinite().all()) or torch.equal(parameter, old):
            shape = tuple(parameter.shape)
            raise law.violation(
                f"{_STEPS} steps leave a parameter of the shape {shape} unchanged or not finite",
                "Step along the gradient of each parameter, at the 'lr' of its group.",
            )
    resumed = _copies(parameters)
    other = _make(law, maker, resumed)
    try:
        packed, tensors = pack_state(optimizer.state_dict(), maker.label)
        restore_optimizer(maker, other, unpack_state(json.loads(json.dumps(packed)), tensors))
    except (TaskgraftError, ValueError) as error:
        raise law.violation(str(error).partition(" Keep ")[0].rstrip(".")) from None
    later = range(_STEPS, 2 * _STEPS)
    _train(law, optimizer, parameters, later)
    _train(law, other, resumed, later)
    if not all(torch.equal(one, again) for one, again in zip(parameters, resumed, strict=True)):
        raise law.violation("steps after its state was saved and restored differ from those without")


def _make(law: Law, maker: OptimizerMaker, parameters: Sequence[nn.Parameter]) -> Optimizer:
    """Make an optimizer with a group per parameter; biases do not decay."""
    groups = [
        {"params": [one], "lr": 0.01 * (1 + index), "weight_decay": 0.01 if one.dim() > 1 else 0.0}
        for index, one in enumerate(parameters)
    ]
    try:
        with law.must_succeed("build"):
            return maker(groups)
    except TaskgraftError as error:
        if str(error).startswith(law.who):
            raise
        raise law.violation(
            str(error).rstrip("."), "Return a torch.optim.Optimizer of exactly the parameters of the groups."
        ) from None


def _train(law: Law, optimizer: Optimizer, parameters: Sequence[nn.Parameter], steps: range) -> None:
    """Take steps with random gradients that depend on the number of the step alone."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        with law.must_succeed("a step"):
            optimizer.step()


def _parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in _SHAPES]


def _copies(parameters: Sequence[Tensor]) -> list[nn.Parameter]:
    return [nn.Parameter(parameter.detach().clone()) for parameter in parameters]


def _check_schedule(law: Law, spec: ScheduleSpec, config: Config, steps: int) -> None:
    with law.must_succeed("build"):
        rates = LearningRates(f"the schedule '{spec.name}'", spec.build(config), steps, warmup=0.0)
    forwards = {step: _factor(law, rates, step) for step in range(steps)}
    if not any(forwards.values()):
        raise law.violation(f"all factors of {steps} steps are 0", "Return 1 for the peak rate.")
    backwards = {step: _factor(law, rates, step) for step in reversed(range(steps))}
    if differing := [step for step in forwards if forwards[step] != backwards[step]]:
        first = differing[0]
        raise law.violation(
            f"the factor of step {first} of {steps} is {forwards[first]:g}, and {backwards[first]:g} when it is asked again"
        )


def _factor(law: Law, rates: LearningRates, step: int) -> float:
    try:
        with law.must_succeed(f"step {step} of {rates.steps}"):
            return rates.factor(step)
    except TaskgraftError as error:
        if str(error).startswith(law.who):
            raise
        raise law.violation(str(error).rstrip("."), "Return a finite number from 0.") from None


def _cases(
    kind: type[AnySpec], law: Law, module: str, configs: Mapping[str, Config]
) -> Iterator[tuple[Law, AnySpec, Config]]:
    """List what to try: each spec of a kind, with the law for it and its settings."""
    for spec in load_specs(module):
        if isinstance(spec, kind) and (config := config_to_try(spec, configs)) is not None:
            yield law.about(spec, module), spec, config
