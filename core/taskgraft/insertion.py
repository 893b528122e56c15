"""Modules that a strategy adds around layers of a backbone, and takes away without a trace."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from taskgraft.backbone import Backbone, tensors
from taskgraft.error import TaskgraftError
from taskgraft.plan import Insertion

WRAPPED = "wrapped"
"""The attribute under which an inserted module holds the layer it stands around."""


@dataclass(frozen=True)
class Inserted:
    """An inserted module: around the layer at a dotted path of the bare backbone."""

    path: str
    insertion: Insertion


def insert(
    backbone: Backbone, insertions: Iterable[Insertion], before: Sequence[Inserted] = ()
) -> tuple[Inserted, ...]:
    """Wrap the layers that insertions choose by part and role, or whole parts.

    Args:
        before: what was inserted earlier.

    Raises:
        BadInsertion: when an insertion chooses no layer, one that has its name already or lies in what is wrapped, or its
            module does not hold the layer as ``wrapped``.
    """
    done: list[Inserted] = []
    try:
        for insertion in insertions:
            for path in _chosen(backbone, insertion):
                if any(one.path == path and one.insertion.name == insertion.name for one in (*before, *done)):
                    raise BadInsertion(insertion.name, f"{path} has an insertion of that name already")
                if around_it := [one for one in (*before, *done) if path.startswith(f"{one.path}.")]:
                    problem = f"{path} lies in {around_it[0].path}, which has an insertion around it already"
                    raise BadInsertion(insertion.name, problem)
                layer = backbone.get_submodule(path)
                around = insertion.wrap(layer)
                if getattr(around, WRAPPED, None) is not layer:
                    problem = f"the module around {path} does not hold that layer as '{WRAPPED}'"
                    raise BadInsertion(insertion.name, problem)
                backbone.set_submodule(path, around)
                done.append(Inserted(path, insertion))
    except BaseException:
        remove(backbone, done)
        raise
    return tuple(done)


def remove(backbone: Backbone, inserted: Sequence[Inserted]) -> None:
    """Take inserted modules away; the last one added goes first."""
    for one in reversed(inserted):
        backbone.set_submodule(one.path, getattr(backbone.get_submodule(one.path), WRAPPED))


def named_tensors(backbone: Backbone, inserted: Sequence[Inserted]) -> dict[str, Tensor]:
    """All tensors of a backbone under the names that the bare backbone gives them.

    An inserted tensor is called ``<path of the layer>:<name of the insertion>.<tensor>``.
    """
    return {bare_name(name, inserted): tensor for name, tensor in tensors(backbone).items()}


def named_modules(backbone: Backbone, inserted: Sequence[Inserted]) -> list[tuple[str, nn.Module]]:
    """All modules of a backbone under translated names."""
    return [(bare_name(name, inserted), module) for name, module in backbone.named_modules()]


def bare_name(name: str, inserted: Sequence[Inserted]) -> str:
    """Translate the dotted path of a tensor or module to what it is called without insertions around it."""
    for one in reversed(inserted):
        if name == one.path:
            return f"{one.path}:{one.insertion.name}"
        if name == f"{one.path}.{WRAPPED}" or name.startswith(f"{one.path}.{WRAPPED}."):
            name = one.path + name.removeprefix(f"{one.path}.{WRAPPED}")
        elif name.startswith(f"{one.path}."):
            return f"{one.path}:{one.insertion.name}{name.removeprefix(one.path)}"
    return name


def is_inserted(name: str) -> bool:
    """Say whether a translated name belongs to an inserted module."""
    return ":" in name


def _chosen(backbone: Backbone, insertion: Insertion) -> list[str]:
    if insertion.roles is None:
        return _whole_parts(backbone, insertion)
    paths = [
        path
        for part in backbone.description.parts
        if part.name in insertion.parts
        for path, role in part.roles.items()
        if role in insertion.roles
    ]
    if not paths:
        roles = ", ".join(sorted(insertion.roles))
        raise BadInsertion(insertion.name, f"no layer of {', '.join(insertion.parts)} has one of the roles {roles}")
    return paths


def _whole_parts(backbone: Backbone, insertion: Insertion) -> list[str]:
    modules, paths = dict(backbone.named_modules()), []
    for part in backbone.description.parts:
        if part.name not in insertion.parts:
            continue
        if part.module is None or part.module not in modules:
            raise BadInsertion(insertion.name, f"no one module gives what leaves the part {part.name}")
        paths.append(part.module)
    return paths


@dataclass(eq=False)
class BadInsertion(TaskgraftError):
    """An insertion that cannot be carried out."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"The insertion '{self.name}' cannot be made: {self.problem}."
