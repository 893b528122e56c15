"""Which tensors a stage lets learn, under which names and rates, and which modules therefore run in training mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from taskgraft.adaptation.insertion import InsertedModule, is_inserted, named_modules, original_named_tensors
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.plan import HeadSolver, Stage, Unfreeze
from taskgraft.errors import TaskgraftError

HEAD = "head"
"""The first word of the name of every tensor of the head."""

NORMS = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)
"""The norms of torch. Libraries have some of their own, which :func:`is_norm` knows by their tensors."""


@dataclass(frozen=True)
class ParameterGroup:
    """Tensors that learn at one rate.

    Attributes:
        rate: the peak learning rate, per step.
        tensors: names of parameters, and of the buffers that may change with them.
        factors: name of a tensor → what its rate is multiplied by; 1 for those not named.
    """

    name: str
    rate: float
    tensors: tuple[str, ...]
    factors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainableTensors:
    """What one stage does with the tensors of a backbone and head."""

    backbone: Backbone
    head: nn.Module
    inserted: tuple[InsertedModule, ...]
    groups: tuple[ParameterGroup, ...]

    @property
    def declared(self) -> frozenset[str]:
        """The names of all tensors that may change."""
        return frozenset(name for group in self.groups for name in group.tensors)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, as they are now."""
        head = dict(self.head.named_parameters()) | dict(self.head.named_buffers())
        named = original_named_tensors(self.backbone, self.inserted)
        return named | {f"{HEAD}.{name}": tensor for name, tensor in head.items()}

    def first_part(self) -> int:
        """The index of the first part that has something to learn; the number of parts when none has."""
        parts = self.backbone.description.parts
        for index, part in enumerate(parts):
            if any(part.begins_with(name.partition(":")[0]) for name in self.declared if not _of_head(name)):
                return index
        return len(parts)

    def set_train_modes(self) -> list[tuple[str, nn.Module]]:
        """Put what learns in training mode and let it have gradients, and everything else in eval mode.

        A part that does not learn runs in eval mode, also below inserted modules; so does a module whose statistics are
        not declared to change.

        Returns:
            the modules that must stay in eval mode, by name.
        """
        declared, now = self.declared, self.tensors()
        for name, tensor in now.items():
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(name in declared)
        parts = self.backbone.description.parts
        learning = {part.name for part in parts if any(part.covers(n) for n in declared if not is_inserted(n))}
        frozen = []
        for name, module in named_modules(self.backbone, self.inserted):
            trains = self._trains(name, module, learning)
            module.training = trains
            if not trains:
                frozen.append((name, module))
        head_learns = any(_of_head(name) for name in declared)
        self.head.train(head_learns)
        if not head_learns:
            frozen += [(f"{HEAD}.{name}".rstrip("."), module) for name, module in self.head.named_modules()]
        return frozen

    def _trains(self, name: str, module: nn.Module, learning: set[str]) -> bool:
        if is_inserted(name):
            path, _, inside = name.partition(":")
            whole = f"{path}:{inside.partition('.')[0]}."
            return any(tensor.startswith(whole) for tensor in self.declared)
        part = self.backbone.description.part_of(name) if name else None
        if part is None:
            return len(learning) == len(self.backbone.description.parts)
        buffers = [f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)]
        return part.name in learning and all(buffer in self.declared for buffer in buffers)


def resolve_trainable(
    stage: Stage, backbone: Backbone, layout: Layout, head: nn.Module, inserted: tuple[InsertedModule, ...]
) -> TrainableTensors:
    """Find the tensors that a stage means. What the features of the head's layout do not depend on keeps still.

    Raises:
        InvalidStage: when a choice is empty, names no part, or two choices claim one tensor.
    """
    groups = [_group(stage, number, learn, backbone, layout, inserted) for number, learn in enumerate(stage.unfreeze)]
    names = original_named_tensors(backbone, inserted)
    for insertion in dict.fromkeys(one.insertion for one in inserted if one.insertion in stage.insertions):
        around = [one for one in inserted if one.insertion == insertion]
        mine = tuple(name for name in names if any(one.learns(name) for one in around))
        groups.append(ParameterGroup(f"inserted {insertion.name}", insertion.learning_rate, mine))
    if stage.layer_decay is not None:
        groups = [replace(group, factors=_factors(stage.layer_decay, group, backbone)) for group in groups]
    if stage.head_learning_rate is not None:
        of_head = (*(name for name, _ in head.named_parameters()), *(name for name, _ in head.named_buffers()))
        groups.append(ParameterGroup(HEAD, stage.head_learning_rate, tuple(f"{HEAD}.{name}" for name in of_head)))
    claimed: dict[str, str] = {}
    for group in groups:
        for name in group.tensors:
            if name in claimed:
                raise InvalidStage(stage.name, f"both '{claimed[name]}' and '{group.name}' claim the tensor {name}")
            claimed[name] = group.name
    if not groups:
        raise InvalidStage(stage.name, "nothing learns in it")
    if any(name.startswith(f"{HEAD}.") for name in names):
        raise InvalidStage(
            stage.name, f"the backbone has tensors below an attribute '{HEAD}', which names the head's; rename it"
        )
    if stage.solve == HeadSolver.CONVEX and stage.loss is not None:
        raise InvalidStage(stage.name, "a solver minimises the head's own loss, so the stage cannot give another")
    if stage.teacher is not None and stage.loss is None:
        raise InvalidStage(stage.name, "it has a teacher, but no loss that learns from it")
    if stage.solve == HeadSolver.CONVEX and [group.name for group in groups] != [HEAD]:
        raise InvalidStage(stage.name, "a solver finds the head, so the head must learn in it and nothing else")
    return TrainableTensors(backbone, head, inserted, tuple(groups))


def _group(
    stage: Stage, number: int, learn: Unfreeze, backbone: Backbone, layout: Layout, inserted: Sequence[InsertedModule]
) -> ParameterGroup:
    parts = {part.name: part for part in backbone.description.parts}
    if unknown := [name for name in learn.parts if name not in parts]:
        raise InvalidStage(stage.name, f"there is no part '{unknown[0]}'; the parts are {', '.join(parts)}")
    modules = dict(named_modules(backbone, inserted))
    chosen = []
    for name, tensor in original_named_tensors(backbone, inserted).items():
        part = None if is_inserted(name) else backbone.description.part_of(name)
        if part is None or part.name not in learn.parts or backbone.description.leaves_out(layout, name):
            continue
        layer, _, own = name.rpartition(".")
        if not isinstance(tensor, nn.Parameter) and learn.chooses:
            continue
        if learn.roles is not None and part.roles.get(layer) not in learn.roles:
            continue
        if learn.modules is not None and not isinstance(modules.get(layer), learn.modules):
            continue
        if learn.tensors is None or own in learn.tensors or (learn.norms and is_norm(modules.get(layer))):
            chosen.append(name)
    if not chosen:
        raise InvalidStage(
            stage.name, f"its choice {number + 1} fits no tensor of {', '.join(learn.parts)}{_sought(learn)}"
        )
    return ParameterGroup(", ".join(learn.parts), learn.learning_rate, tuple(chosen))


def _sought(learn: Unfreeze) -> str:
    """Say by which names tensors were chosen, where they were."""
    if learn.tensors is None:
        return ""
    names = " or ".join(f"'{name}'" for name in sorted(learn.tensors))
    return f": none is called {names}{', and there is no norm' if learn.norms else ''}. Choose another strategy"


def _factors(decay: float, group: ParameterGroup, backbone: Backbone) -> dict[str, float]:
    """Give the factor of each tensor's rate: 1 in the last part, ``decay`` in the one before, its square before that."""
    parts = backbone.description.parts
    return {
        name: decay ** (len(parts) - 1 - index)
        for name in group.tensors
        for index, part in enumerate(parts)
        if part.covers(name.partition(":")[0])
    }


def is_norm(module: nn.Module | None) -> bool:
    """Say whether a module is a norm: one of torch's, or one like them of another library.

    Those (each decoder of transformers brings an RMSNorm) hold nothing but a ``weight`` along the feature axis, and perhaps
    a ``bias``. So does torch's PReLU, which is none.
    """
    if module is None or isinstance(module, NORMS):
        return module is not None
    held = dict(module.named_parameters())
    one_axis = all(tensor.dim() == 1 for tensor in held.values())
    return "weight" in held and held.keys() <= {"weight", "bias"} and one_axis and not isinstance(module, nn.PReLU)


def _of_head(name: str) -> bool:
    return name.startswith(f"{HEAD}.")


@dataclass(eq=False)
class InvalidStage(TaskgraftError):
    """A stage that does not fit the backbone it was planned for."""

    stage: str
    problem: str

    def __str__(self) -> str:
        return f"The stage '{self.stage}' cannot run: {self.problem}."
