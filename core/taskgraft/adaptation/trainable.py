"""Trainable tensors of a stage: their names, groups and learning rates, and the modules that run in training mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from taskgraft.adaptation.insertion import InsertedModule, is_inserted, named_modules, original_named_tensors
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.plan import HeadSolver, Stage, Unfreeze
from taskgraft.errors import TaskgraftError
from taskgraft.storage.manifest import HEAD


@dataclass(eq=False)
class InvalidStage(TaskgraftError):
    """A stage that does not fit the backbone it was planned for."""

    stage: str
    problem: str

    def __str__(self) -> str:
        return f"The stage '{self.stage}' cannot run: {self.problem}."


@dataclass(frozen=True)
class ParameterGroup:
    """Tensors that are trained at one learning rate.

    Attributes:
        learning_rate: the peak learning rate, per step.
        tensors: names of parameters, and of the buffers that may change with them.
        factors: name of a tensor → factor of its learning rate; 1 for those not named.
    """

    name: str
    learning_rate: float
    tensors: tuple[str, ...]
    factors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainableTensors:
    """The tensors of a backbone and head, and which of them one stage trains."""

    backbone: Backbone
    head: nn.Module
    inserted: tuple[InsertedModule, ...]
    groups: tuple[ParameterGroup, ...]

    @property
    def declared(self) -> frozenset[str]:
        """The names of all tensors that may change."""
        return frozenset(name for group in self.groups for name in group.tensors)

    def tensors(self) -> dict[str, Tensor]:
        """Return the present tensors by name. Arguments as for :func:`task_tensors`."""
        return task_tensors(self.backbone, self.head, self.inserted)

    def first_part(self) -> int:
        """Return the index of the first part with a trainable tensor; the number of parts if there is none."""
        parts = self.backbone.description.parts
        layers = {name.partition(":")[0] for name in self.declared if not _is_of_head(name)}
        return next((index for index, part in enumerate(parts) if any(map(part.begins_with, layers))), len(parts))

    def set_train_modes(self) -> list[tuple[str, nn.Module]]:
        """Set training mode and ``requires_grad`` for what is trained, eval mode and no gradients for everything else.

        A frozen part runs in eval mode (no dropout, no BatchNorm updates), also inside inserted modules; so does a module whose
        statistics are not declared.

        Returns:
            the modules that must stay in eval mode, by name.
        """
        declared = self.declared
        for name, tensor in self.tensors().items():
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(name in declared)
        trained_parts = {
            part.name
            for part in self.backbone.description.parts
            if any(part.covers(name) for name in declared if not is_inserted(name))
        }
        frozen = []
        for name, module in named_modules(self.backbone, self.inserted):
            module.training = self._runs_in_training_mode(name, module, trained_parts)
            if not module.training:
                frozen.append((name, module))
        self.head.train(any(_is_of_head(name) for name in declared))
        if not self.head.training:
            frozen += [(f"{HEAD}.{name}".rstrip("."), module) for name, module in self.head.named_modules()]
        return frozen

    def _runs_in_training_mode(self, name: str, module: nn.Module, trained_parts: set[str]) -> bool:
        if is_inserted(name):
            path, _, inside = name.partition(":")
            prefix = f"{path}:{inside.partition('.')[0]}."
            return any(tensor.startswith(prefix) for tensor in self.declared)
        part = self.backbone.description.part_of(name) if name else None
        if part is None:
            return len(trained_parts) == len(self.backbone.description.parts)
        buffers = [f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)]
        return part.name in trained_parts and all(buffer in self.declared for buffer in buffers)


def task_tensors(backbone: Backbone, head: nn.Module, inserted: Sequence[InsertedModule]) -> dict[str, Tensor]:
    """Return all tensors: the backbone's as :func:`original_named_tensors` names them, the head's below ``head.``."""
    of_head = {f"{HEAD}.{name}": tensor for name, tensor in named_tensors(head).items()}
    return original_named_tensors(backbone, inserted) | of_head


@torch.no_grad()
def restore_tensors(tensors: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into the present ones of the same names."""
    for name, tensor in saved.items():
        tensors[name].copy_(tensor)


def resolve_trainable(
    stage: Stage, backbone: Backbone, layout: Layout, head: nn.Module, inserted: tuple[InsertedModule, ...]
) -> TrainableTensors:
    """Find the tensors that a stage trains. Parameters that features of the head's layout do not use stay frozen.

    Raises:
        InvalidStage: if a selection is empty or names no part, or two select the same tensor.
    """
    names = list(original_named_tensors(backbone, inserted))
    groups = [_unfreeze(stage, index, backbone, layout, inserted) for index in range(len(stage.unfreeze))]
    for insertion in dict.fromkeys(one.insertion for one in inserted if one.insertion in stage.insertions):
        modules = [one for one in inserted if one.insertion == insertion]
        tensors = tuple(name for name in names if any(one.has_trainable(name) for one in modules))
        groups.append(ParameterGroup(f"inserted {insertion.name}", insertion.learning_rate, tensors))
    if stage.layer_decay is not None:
        groups = [replace(group, factors=_decay_factors(stage.layer_decay, group, backbone)) for group in groups]
    if stage.head_learning_rate is not None:
        of_head = tuple(f"{HEAD}.{name}" for name in named_tensors(head))
        groups.append(ParameterGroup(HEAD, stage.head_learning_rate, of_head))
    if (problem := _find_problem(stage, groups, names)) is not None:
        raise InvalidStage(stage.name, problem)
    return TrainableTensors(backbone, head, inserted, tuple(groups))


def _find_problem(stage: Stage, groups: Sequence[ParameterGroup], names: Sequence[str]) -> str | None:
    """Return why a stage cannot run, if so. ``names`` are those of the backbone's tensors."""
    selected: dict[str, str] = {}
    for group in groups:
        for name in group.tensors:
            if name in selected:
                return f"both '{selected[name]}' and '{group.name}' select the tensor {name}"
            selected[name] = group.name
    convex, has_loss = stage.solve == HeadSolver.CONVEX, stage.loss is not None
    only_head = [group.name for group in groups] == [HEAD]
    reserved = f"the backbone has an attribute '{HEAD}', a name reserved for the tensors of the head; rename it"
    problems = {
        "it trains nothing": not groups,
        reserved: any(_is_of_head(name) for name in names),
        "a solver minimises the head's own loss, so the stage cannot have another loss": convex and has_loss,
        "it has a teacher, but no loss that uses its soft labels": stage.teacher is not None and not has_loss,
        "a solver finds the head, so the stage must train the head and nothing else": convex and not only_head,
    }
    return next((problem for problem, applies in problems.items() if applies), None)


def _unfreeze(
    stage: Stage, index: int, backbone: Backbone, layout: Layout, inserted: Sequence[InsertedModule]
) -> ParameterGroup:
    selection, description = stage.unfreeze[index], backbone.description
    parts = [part.name for part in description.parts]
    if unknown := [name for name in selection.parts if name not in parts]:
        raise InvalidStage(stage.name, f"there is no part '{unknown[0]}'; the parts are {', '.join(parts)}")
    modules = dict(named_modules(backbone, inserted))
    names = []
    for name, tensor in original_named_tensors(backbone, inserted).items():
        part = None if is_inserted(name) else description.part_of(name)
        if part is None or part.name not in selection.parts or description.leaves_out(layout, name):
            continue
        layer, _, own_name = name.rpartition(".")
        if not isinstance(tensor, nn.Parameter) and selection.chooses:
            continue
        if selection.roles is not None and part.roles.get(layer) not in selection.roles:
            continue
        if selection.modules is not None and not isinstance(modules.get(layer), selection.modules):
            continue
        by_norm = selection.norms and is_norm(modules.get(layer))
        if selection.tensors is None or own_name in selection.tensors or by_norm:
            names.append(name)
    if not names:
        problem = f"its selection {index + 1} matches no tensor of {', '.join(selection.parts)}{_names_text(selection)}"
        raise InvalidStage(stage.name, problem)
    return ParameterGroup(", ".join(selection.parts), selection.learning_rate, tuple(names))


def _names_text(selection: Unfreeze) -> str:
    """Format the own names by which tensors were selected, if they were."""
    if selection.tensors is None:
        return ""
    names = " or ".join(f"'{name}'" for name in sorted(selection.tensors))
    return f": none is called {names}{', and there is no norm' if selection.norms else ''}. Choose another strategy"


def _decay_factors(decay: float, group: ParameterGroup, backbone: Backbone) -> dict[str, float]:
    """Return the factor of each tensor's learning rate: 1 in the last part, ``decay`` in the one before, then its square."""
    parts = backbone.description.parts
    return {
        name: decay ** (len(parts) - 1 - index)
        for name in group.tensors
        for index, part in enumerate(parts)
        if part.covers(name.partition(":")[0])
    }


def is_norm(module: nn.Module | None) -> bool:
    """Return whether a module is a norm.

    Norms of other libraries (each decoder of transformers has its own RMSNorm), and torch's batch and instance norms, are
    recognised by their parameters: a ``weight`` along the feature axis, and perhaps a ``bias``. PReLU has the same.
    """
    if module is None or isinstance(module, nn.LayerNorm | nn.RMSNorm | nn.GroupNorm):
        return module is not None
    parameters = dict(module.named_parameters())
    one_axis = all(tensor.dim() == 1 for tensor in parameters.values())
    names_fit = "weight" in parameters and parameters.keys() <= {"weight", "bias"}
    return names_fit and one_axis and not isinstance(module, nn.PReLU)


def _is_of_head(name: str) -> bool:
    return name.startswith(f"{HEAD}.")
