"""Insertion of modules around layers of a backbone, and their removal without a trace."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.plan import Insertion, SharedWrap, Wrap
from taskgraft.engine.new_tensors import limit_new_tensors
from taskgraft.errors import TaskgraftError

_Value = TypeVar("_Value")


@dataclass(eq=False)
class InvalidInsertion(TaskgraftError):
    """An insertion that the backbone does not allow."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"The insertion '{self.name}' cannot be made: {self.problem}."


@dataclass(frozen=True)
class InsertedModule:
    """A module inserted around the layer at a dotted path of the original backbone.

    Attributes:
        inside: dotted path of that layer below the inserted module.
        frozen: names of inserted parameters that are never trained, as :func:`original_named_tensors` returns them.
    """

    path: str
    insertion: Insertion
    inside: str
    frozen: frozenset[str] = frozenset()

    def has_trainable(self, name: str) -> bool:
        """Return whether a tensor belongs to this module and is trainable."""
        return name.startswith(f"{self.path}:{self.insertion.name}.") and name not in self.frozen


def insert_modules(
    backbone: Backbone, insertions: Iterable[Insertion], before: Sequence[InsertedModule] = ()
) -> tuple[InsertedModule, ...]:
    """Wrap the layers that insertions select by part and role, or whole parts. Modules inserted ``before`` stay.

    A layer in a module that the backbone uses in several places is wrapped once, under its first path.

    Raises:
        InvalidInsertion: if an insertion selects no layer, or one that is wrapped under the same name already, or if its module
            does not contain the layer. Nothing is inserted then.
    """
    selected = [(insertion, path) for insertion in insertions for path in _select_layers(backbone, insertion, before)]
    inserted: list[InsertedModule] = []
    shared: dict[SharedWrap, Wrap] = {}
    try:
        with limit_new_tensors("The inserted modules", planned=True):
            for insertion, path in selected:
                inserted.append(_insert_one(backbone, insertion, path, selected, shared, (*before, *inserted)))
    except BaseException:
        remove_modules(backbone, inserted, before)
        raise
    return tuple(inserted)


def _insert_one(
    backbone: Backbone,
    insertion: Insertion,
    path: str,
    selected: Sequence[tuple[Insertion, str]],
    shared: dict[SharedWrap, Wrap],
    present: Sequence[InsertedModule],
) -> InsertedModule:
    if any(one.path == path and one.insertion.name == insertion.name for one in present):
        raise InvalidInsertion(insertion.name, f"{path} has an insertion of that name already")
    wrap = insertion.wrap
    if isinstance(wrap, SharedWrap):
        if wrap not in shared:
            paths = [other for one, other in selected if one.wrap is wrap]
            shared[wrap] = wrap.begin([_layer(backbone, other, present) for other in paths])
        wrap = shared[wrap]
    return _insert(backbone, insertion, path, wrap, present)


def remove_modules(
    backbone: Backbone, inserted: Sequence[InsertedModule], before: Sequence[InsertedModule] = ()
) -> None:
    """Remove inserted modules, the last one first. Those inserted ``before`` stay."""
    for index in reversed(range(len(inserted))):
        one = inserted[index]
        path = _outermost_path(one.path, (*before, *inserted[:index]))
        backbone.set_submodule(path, backbone.get_submodule(f"{path}.{one.inside}"))


def put_back_modules(backbone: Backbone, inserted: Sequence[InsertedModule], around: Sequence[nn.Module]) -> None:
    """Undo :func:`remove_modules`, with the modules that were removed in the order of their insertion."""
    for index, (one, module) in enumerate(zip(inserted, around, strict=True)):
        backbone.set_submodule(_outermost_path(one.path, inserted[:index]), module)


def current_path(one: InsertedModule, others: Sequence[InsertedModule]) -> str:
    """Return the present dotted path of an inserted module. ``others`` around the same layer are around this one."""
    around = [other.inside for other in others if other.path == one.path]
    return ".".join((_outermost_path(one.path, others), *reversed(around)))


def original_named_tensors(backbone: Backbone, inserted: Sequence[InsertedModule]) -> dict[str, Tensor]:
    """Return all tensors of a backbone, under the names that they have without insertions.

    An inserted tensor is called ``<path of the layer>:<name of the insertion>.<tensor>``.
    """
    return dict(_with_original_names(named_tensors(backbone).items(), inserted))


def named_modules(backbone: Backbone, inserted: Sequence[InsertedModule]) -> list[tuple[str, nn.Module]]:
    """Return all modules of a backbone, under the names that they have without insertions."""
    return _with_original_names(backbone.named_modules(), inserted)


def original_name(name: str, inserted: Sequence[InsertedModule]) -> str:
    """Return the name that a present tensor or module has without insertions."""
    return _with_original_names([(name, None)], inserted)[0][0]


def is_inserted(name: str) -> bool:
    """Return whether a name, as :func:`original_named_tensors` returns it, belongs to an inserted module."""
    return ":" in name


def _select_layers(backbone: Backbone, insertion: Insertion, before: Sequence[InsertedModule]) -> list[str]:
    parts = [part for part in backbone.description.parts if part.name in insertion.parts]
    if insertion.roles is None:
        modules = dict(backbone.named_modules())
        if without := [part.name for part in parts if part.module not in modules]:
            raise InvalidInsertion(insertion.name, f"no single module has the output of the part {without[0]}")
        return [str(part.module) for part in parts]
    paths = [path for part in parts for path, role in part.roles.items() if role in insertion.roles]
    if not paths:
        roles = ", ".join(sorted(insertion.roles))
        raise InvalidInsertion(insertion.name, f"no layer of {', '.join(insertion.parts)} has one of the roles {roles}")
    first: dict[tuple[nn.Module, str], str] = {}
    for path in paths:
        parent, _, name = path.rpartition(".")
        first.setdefault((backbone.get_submodule(_outermost_path(parent, before)), name), path)
    return list(first.values())


def _insert(
    backbone: Backbone, insertion: Insertion, path: str, wrap: Wrap, before: Sequence[InsertedModule]
) -> InsertedModule:
    layer = _layer(backbone, path, before)
    around = wrap(layer)
    inside = next((name for name, module in around.named_modules() if module is layer and name), None)
    if inside is None:
        raise InvalidInsertion(insertion.name, f"the module around {path} does not contain that layer")
    frozen = [
        f"{path}:{insertion.name}.{name}"
        for name, parameter in around.named_parameters()
        if not parameter.requires_grad and not name.startswith(f"{inside}.")
    ]
    backbone.set_submodule(_outermost_path(path, before), around)
    return InsertedModule(path, insertion, inside, frozenset(frozen))


def _layer(backbone: Backbone, path: str, before: Sequence[InsertedModule]) -> nn.Module:
    return backbone.get_submodule(_outermost_path(path, before))


def _outermost_path(path: str, inserted: Sequence[InsertedModule]) -> str:
    """Translate the original path of a layer to the present one; of a wrapped layer, the outermost module's around it."""
    for one in sorted(inserted, key=lambda one: -len(one.path)):
        if path.startswith(f"{one.path}."):
            path = f"{one.path}.{one.inside}{path.removeprefix(one.path)}"
    return path


def _with_original_names(
    named: Iterable[tuple[str, _Value]], inserted: Sequence[InsertedModule]
) -> list[tuple[str, _Value]]:
    around = list(reversed(inserted))
    around.sort(key=lambda one: len(one.path))  # as in a dotted path; of modules at one path, the last is the outermost
    return [(_original_name(name, around), value) for name, value in named]


def _original_name(name: str, around: Sequence[InsertedModule]) -> str:
    for one in around:
        if not name.startswith(one.path):
            continue
        rest = name.removeprefix(one.path)
        if rest == f".{one.inside}" or rest.startswith(f".{one.inside}."):
            name = one.path + rest.removeprefix(f".{one.inside}")
        elif not rest or rest.startswith("."):
            return f"{one.path}:{one.insertion.name}{rest}"
    return name
