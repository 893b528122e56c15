"""The optimizer of a stage: parameters grouped by learning rate and weight decay, and the state that a checkpoint restores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from taskgraft.adaptation.trainable import TrainableTensors
from taskgraft.composition.resolve import ResolvedComponent, resolve
from taskgraft.contract.plan import MakeOptimizer, ParameterGroups, Stage
from taskgraft.contract.specs import OptimizerSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import join_words
from taskgraft.preparation.errors import TrainingError
from taskgraft.recipe import TrainingConfig


@dataclass(frozen=True)
class OptimizerMaker:
    """Makes the optimizer of a stage, and says in messages which one that is."""

    label: str
    make: MakeOptimizer

    @classmethod
    def of(cls, stage: Stage, settings: TrainingConfig) -> "OptimizerMaker":
        """Take the optimizer of the stage, or else that of the training settings."""
        if stage.optimizer is not None:
            return cls(f"the optimizer of the stage '{stage.name}'", stage.optimizer)
        found = resolve_optimizer(settings)
        return cls(f"the optimizer '{found.label}'", lambda groups: found.spec.build(groups, found.config))

    def __call__(self, groups: ParameterGroups) -> Optimizer:
        """Make it.

        Raises:
            TrainingError: when it rejects its settings or the parameters, or is no optimizer of all of them.
        """
        given = {id(parameter) for group in groups for parameter in group["params"]}
        label = self.label[:1].upper() + self.label[1:]
        try:
            optimizer = self.make(groups)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{label} cannot train these parameters: {error}") from error
        if not isinstance(optimizer, Optimizer):
            raise TrainingError(f"{label} is of the type {type(optimizer).__name__}, not a torch.optim.Optimizer.")
        if any("lr" not in group for group in optimizer.param_groups):
            raise TrainingError(f"{label} has a group of parameters without 'lr', which schedules change.")
        if {id(parameter) for group in optimizer.param_groups for parameter in group["params"]} != given:
            raise TrainingError(f"{label} trains other parameters than it was given.")
        return optimizer


def resolve_optimizer(settings: TrainingConfig) -> ResolvedComponent[OptimizerSpec]:
    """Find the optimizer that training settings name, and validate its settings."""
    return resolve(catalog(), OptimizerSpec, settings.optimizer)


def make_optimizer(maker: OptimizerMaker, trainable: TrainableTensors, settings: TrainingConfig) -> Optimizer:
    """Make the optimizer of a stage.

    Raises:
        TrainingError: as :meth:`OptimizerMaker.__call__`, and for a weight decay that was set but has no effect.
    """
    optimizer = maker(parameter_groups(trainable, settings))
    if settings.weight_decay not in (0.0, TrainingConfig().weight_decay) and "weight_decay" not in optimizer.defaults:
        raise TrainingError(
            f"training.weight_decay = {settings.weight_decay:g} would have no effect: {maker.label} has no weight decay. "
            "Leave it out, or choose another optimizer."
        )
    return optimizer


def parameter_groups(trainable: TrainableTensors, settings: TrainingConfig) -> list[dict[str, Any]]:
    """Group parameters by learning rate, and by weight decay: matrices decay, biases and norms do not."""
    tensors = trainable.tensors()
    groups: list[dict[str, Any]] = []
    for group in trainable.groups:
        by_options: dict[tuple[float, bool], list[Tensor]] = {}
        for name in group.tensors:
            if isinstance(tensors[name], nn.Parameter):
                is_matrix = tensors[name].dim() > 1 and not name.endswith("bias")
                by_options.setdefault((group.factors.get(name, 1.0), is_matrix), []).append(tensors[name])
        for (factor, is_matrix), parameters in sorted(by_options.items(), key=lambda item: item[0], reverse=True):
            decay = settings.weight_decay if is_matrix else 0.0
            groups.append({"params": parameters, "lr": group.learning_rate * factor, "weight_decay": decay})
    return groups


def restore_optimizer(maker: OptimizerMaker, optimizer: Optimizer, state: Any) -> None:
    """Continue from a ``state_dict``, bit for bit.

    Raises:
        ValueError: with a clause, if it is not the state of such an optimizer over these parameters.
    """
    _check_state(maker, optimizer, state)
    optimizer.load_state_dict(state)
    parameters = _parameters(optimizer)
    for index, saved in state["state"].items():  # load_state_dict casts to the dtype of the parameter
        for key, value in saved.items():
            if isinstance(value, Tensor) and optimizer.state[parameters[index]][key].dtype != value.dtype:
                optimizer.state[parameters[index]][key] = value.to(parameters[index].device)


def _check_state(maker: OptimizerMaker, optimizer: Optimizer, state: Any) -> None:
    """Compare a saved state with one that the optimizer itself makes for such parameters."""
    now, count = optimizer.state_dict()["param_groups"], len(_parameters(optimizer))
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    indices = [group["params"] for group in now]
    if not isinstance(groups, list) or [one.get("params") for one in groups if isinstance(one, Mapping)] != indices:
        raise ValueError(f"the state of {maker.label} has other groups of parameters")
    states = state.get("state")
    if not isinstance(states, Mapping) or not all(isinstance(one, Mapping) for one in states.values()):
        raise ValueError(f"the state of {maker.label} has no states of parameters")
    if foreign := sorted(str(index) for index in states if not isinstance(index, int) or not 0 <= index < count):
        raise ValueError(f"the state of {maker.label} has parameters that do not exist: {join_words(foreign, 3)}")
    for index, expected in _example_states(maker, optimizer).items():
        saved = states.get(index)
        if saved is None:  # it had no gradient so far
            continue
        for key, value in expected.items():
            if _form(value) != _form(saved.get(key)):
                found = _form(saved.get(key)) if key in saved else "missing"
                raise ValueError(f"of the state of {maker.label}, {index}.{key} is {found}, not {_form(value)}")


def _example_states(maker: OptimizerMaker, optimizer: Optimizer) -> dict[int, Mapping[str, Any]]:
    """Return states after one step: without memory, on the meta device, unless the optimizer reads values."""
    for device in ("meta", "cpu"):
        groups = [
            {**group, "params": [_zeros(one, device) for one in group["params"]]} for group in optimizer.param_groups
        ]
        example = maker(groups)
        try:
            example.step()
        except (NotImplementedError, RuntimeError):
            continue
        return dict(example.state_dict()["state"])
    return {}


def _zeros(parameter: Tensor, device: str) -> nn.Parameter:
    zeros = nn.Parameter(torch.zeros(parameter.shape, dtype=parameter.dtype, device=device))
    zeros.grad = torch.zeros_like(zeros)
    return zeros


def _form(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _parameters(optimizer: Optimizer) -> Sequence[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
