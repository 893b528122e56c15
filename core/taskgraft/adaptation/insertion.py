"""Modules that a strategy adds around layers of a backbone, and takes away without a trace."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.plan import Insertion, SharedWrap
from taskgraft.errors import TaskgraftError

if TYPE_CHECKING:
    from taskgraft.contract.plan import Wrap


@dataclass(frozen=True)
class InsertedModule:
    """An inserted module: around the layer at a dotted path of the bare backbone.

    Attributes:
        inside: dotted path of that layer below the inserted module.
        fixed: names of inserted parameters that never learn, as :func:`named_tensors` gives them.
    """

    path: str
    insertion: Insertion
    inside: str
    fixed: frozenset[str] = frozenset()

    def learns(self, name: str) -> bool:
        """Say whether a tensor is inserted here and learns."""
        return name.startswith(f"{self.path}:{self.insertion.name}.") and name not in self.fixed


def insert_modules(
    backbone: Backbone, insertions: Iterable[Insertion], before: Sequence[InsertedModule] = ()
) -> tuple[InsertedModule, ...]:
    """Wrap the layers that insertions choose by part and role, or whole parts.

    Args:
        before: what was inserted earlier.

    Raises:
        InvalidInsertion: when an insertion chooses no layer, one that has its name already, or its module does not hold the
            layer.
    """
    done: list[InsertedModule] = []
    chosen = [(insertion, path) for insertion in insertions for path in _chosen(backbone, insertion)]
    begun: dict[SharedWrap, Wrap] = {}
    try:
        for insertion, path in chosen:
            if any(one.path == path and one.insertion.name == insertion.name for one in (*before, *done)):
                raise InvalidInsertion(insertion.name, f"{path} has an insertion of that name already")
            wrap = insertion.wrap
            if isinstance(wrap, SharedWrap):
                if wrap not in begun:
                    mine = [other for one, other in chosen if one.wrap is wrap]
                    begun[wrap] = wrap.begin([_layer(backbone, other, (*before, *done)) for other in mine])
                wrap = begun[wrap]
            done.append(_around(backbone, insertion, path, wrap, (*before, *done)))
    except BaseException:
        remove_modules(backbone, done, before)
        raise
    return tuple(done)


def remove_modules(
    backbone: Backbone, inserted: Sequence[InsertedModule], before: Sequence[InsertedModule] = ()
) -> None:
    """Take inserted modules away; the last one added goes first.

    Args:
        before: what was inserted earlier, and stays.
    """
    for number in reversed(range(len(inserted))):
        one = inserted[number]
        here = _place(one.path, (*before, *inserted[:number]))
        backbone.set_submodule(here, backbone.get_submodule(f"{here}.{one.inside}"))


def current_path(one: InsertedModule, others: Sequence[InsertedModule]) -> str:
    """Find where an inserted module lies now.

    Args:
        others: the other inserted modules that are there; those around the same layer stand around it.
    """
    around = [other.inside for other in others if other.path == one.path]
    return ".".join((_place(one.path, others), *reversed(around)))


def original_named_tensors(backbone: Backbone, inserted: Sequence[InsertedModule]) -> dict[str, Tensor]:
    """All tensors of a backbone under the names that the bare backbone gives them.

    An inserted tensor is called ``<path of the layer>:<name of the insertion>.<tensor>``.
    """
    around = _outermost_first(inserted)
    return {_bare_name(name, around): tensor for name, tensor in named_tensors(backbone).items()}


def named_modules(backbone: Backbone, inserted: Sequence[InsertedModule]) -> list[tuple[str, nn.Module]]:
    """All modules of a backbone under translated names."""
    around = _outermost_first(inserted)
    return [(_bare_name(name, around), module) for name, module in backbone.named_modules()]


def bare_name(name: str, inserted: Sequence[InsertedModule]) -> str:
    """Translate the dotted path of a tensor or module to what it is called without insertions around it."""
    return _bare_name(name, _outermost_first(inserted))


def is_inserted(name: str) -> bool:
    """Say whether a translated name belongs to an inserted module."""
    return ":" in name


def _around(
    backbone: Backbone, insertion: Insertion, path: str, wrap: "Wrap", before: Sequence[InsertedModule]
) -> InsertedModule:
    layer = _layer(backbone, path, before)
    around = wrap(layer)
    inside = next((name for name, module in around.named_modules() if module is layer and name), None)
    if inside is None:
        raise InvalidInsertion(insertion.name, f"the module around {path} does not hold that layer")
    fixed = [
        f"{path}:{insertion.name}.{name}"
        for name, parameter in around.named_parameters()
        if not parameter.requires_grad and not name.startswith(f"{inside}.")
    ]
    backbone.set_submodule(_place(path, before), around)
    return InsertedModule(path, insertion, inside, frozenset(fixed))


def _layer(backbone: Backbone, path: str, before: Sequence[InsertedModule]) -> nn.Module:
    return backbone.get_submodule(_place(path, before))


def _place(path: str, before: Sequence[InsertedModule]) -> str:
    """Find where a module of the bare backbone lies now; of one that is wrapped, the outermost module around it."""
    for one in sorted(before, key=lambda one: -len(one.path)):
        if path.startswith(f"{one.path}."):
            path = f"{one.path}.{one.inside}{path.removeprefix(one.path)}"
    return path


def _outermost_first(inserted: Sequence[InsertedModule]) -> list[InsertedModule]:
    """Sort insertions as they are met on the way from the backbone to a tensor."""
    numbered = sorted(enumerate(inserted), key=lambda pair: (len(pair[1].path), -pair[0]))
    return [one for _, one in numbered]


def _bare_name(name: str, around: Sequence[InsertedModule]) -> str:
    for one in around:
        if not name.startswith(one.path):
            continue
        rest = name.removeprefix(one.path)
        if rest == f".{one.inside}" or rest.startswith(f".{one.inside}."):
            name = one.path + rest.removeprefix(f".{one.inside}")
        elif not rest or rest.startswith("."):
            return f"{one.path}:{one.insertion.name}{rest}"
    return name


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
        raise InvalidInsertion(insertion.name, f"no layer of {', '.join(insertion.parts)} has one of the roles {roles}")
    return paths


def _whole_parts(backbone: Backbone, insertion: Insertion) -> list[str]:
    modules, paths = dict(backbone.named_modules()), []
    for part in backbone.description.parts:
        if part.name not in insertion.parts:
            continue
        if part.module is None or part.module not in modules:
            raise InvalidInsertion(insertion.name, f"no one module gives what leaves the part {part.name}")
        paths.append(part.module)
    return paths


@dataclass(eq=False)
class InvalidInsertion(TaskgraftError):
    """An insertion that cannot be carried out."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"The insertion '{self.name}' cannot be made: {self.problem}."
