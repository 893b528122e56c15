"""Every strategy with every backbone: which pairs train, save and load to the same bits, and why the others do not fit."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taskgraft.adaptation.dry_run import InsertionFailed
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head
from taskgraft.contract.specs import StrategySpec
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError
from taskgraft.model.compose import compose, load
from taskgraft.testing.check import Law, describe_error, title_of
from taskgraft.testing.plugin import config_to_try
from taskgraft.testing.strategy import RELOAD_ADVICE, check_trained_model_reloads_bit_for_bit, train_and_reload


class Verdict(StrEnum):
    """The result of a strategy with a backbone."""

    KEPT = "kept"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True)
class MatrixCell:
    """One strategy with one backbone.

    Attributes:
        text: why the two do not fit, or what is broken; empty when every law is kept.
    """

    strategy: str
    backbone: str
    verdict: Verdict
    text: str = ""


def installed_strategies() -> dict[str, ComponentReference]:
    """Return each strategy of the catalog that its defaults, or its example, suffice to try; by its name."""
    strategies: dict[str, ComponentReference] = {}
    for spec, source in catalog().specs(StrategySpec):
        if config_to_try(spec, {}) is not None:
            settings = {} if spec.example is None else spec.example.settings
            strategies[spec.name] = {"name": f"{source.distribution}/{spec.name}", **settings}
    return strategies


def matrix(
    backbones: Mapping[str, tuple[ComponentReference | Backbone, Columns]],
    strategies: Mapping[str, ComponentReference | Strategy],
    head: ComponentReference | Head[Any] = "classification",
    target: str = "label",
) -> Iterator[MatrixCell]:
    """Train each strategy with each backbone for two steps, save, load and predict. Each cell is yielded once it is known.

    A pair is refused when composing says that it does not fit, or the dry run of its insertions does (on the first rows, for a
    backbone without ``build_on_meta``). Any exception after that is a fault.

    Args:
        backbones: by a short name: what to compose with, and four rows or more for it, with the target column.
        strategies: by a short name.
    """
    for name, (backbone, rows) in backbones.items():
        for label, strategy in strategies.items():
            yield MatrixCell(label, name, *_try_pair(backbone, head, strategy, rows, target))


def matrix_table(cells: Iterable[MatrixCell]) -> str:
    """Format a matrix as text: a line per strategy, a column per backbone, and below them the reasons by number."""
    by_pair = {(cell.strategy, cell.backbone): cell for cell in cells}
    strategies, backbones = (list(dict.fromkeys(pair[index] for pair in by_pair)) for index in (0, 1))
    reasons = list(dict.fromkeys(cell.text for cell in by_pair.values() if cell.text))
    lines = [["", *backbones]]
    for strategy in strategies:
        row = (by_pair.get((strategy, backbone)) for backbone in backbones)
        lines.append([strategy, *("" if cell is None else _cell_text(cell, reasons) for cell in row)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    counts = [sum(cell.verdict is verdict for cell in by_pair.values()) for verdict in Verdict]
    total = ", ".join(f"{count} {verdict}" for count, verdict in zip(counts, Verdict, strict=True))
    notes = [f"({number}) {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*aligned, "", *notes, f"{total}."])


def _try_pair(backbone: Any, head: Any, strategy: Any, rows: Columns, target: str) -> tuple[Verdict, str]:
    try:
        model = compose(deepcopy(backbone), head, strategy)
    except TaskgraftError as error:
        return Verdict.REFUSED, str(error)
    who = f"'{model.composition.strategy.label}' in '{model.composition.backbone.label}'"
    law = Law(who, title_of(check_trained_model_reloads_bit_for_bit), RELOAD_ADVICE)
    objects: dict[str, Any] = {
        axis: deepcopy(value)
        for axis, value in (("backbone", backbone), ("head", head), ("strategy", strategy))
        if isinstance(value, Backbone | Head | Strategy)
    }
    inputs = {name: values for name, values in rows.items() if name != target}
    try:
        train_and_reload(law, model, lambda path: load(path, **objects), inputs, {target: rows[target]})
    except InsertionFailed as error:
        return Verdict.REFUSED, str(error)
    except Exception as error:  # any exception of a plugin is a fault, and the next pair is tried all the same
        return Verdict.BROKEN, describe_error(error)
    return Verdict.KEPT, ""


def _cell_text(cell: MatrixCell, reasons: list[str]) -> str:
    verdict = cell.verdict.upper() if cell.verdict is Verdict.BROKEN else str(cell.verdict)
    return f"{verdict} ({reasons.index(cell.text) + 1})" if cell.text else verdict
