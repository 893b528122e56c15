"""Challengers: baselines that a user asks for by name. They learn from the training rows when a model is judged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.adaptation.fitted import FittedTask
from taskgraft.composition.compose import ComponentReference, ResolvedComponent, as_list
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import RenamedColumns
from taskgraft.contract.specs import BaselineSpec
from taskgraft.data.dataset import dropping_invalid_rows, eval_dataset
from taskgraft.data.examples import all_targets
from taskgraft.data.splitting import read_train_and_validation
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.baselines import raised, resolve_baseline


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline and what it learned from the training rows."""

    chosen: ResolvedComponent[BaselineSpec]
    learned: Any


def fit_requested_baselines(
    baselines: ComponentReference | Sequence[ComponentReference],
    fitted: FittedTask,
    recipe: Recipe,
    label: str,
    folder: Path,
) -> dict[str, FittedBaseline]:
    """Let baselines learn from the rows that the model learned from, read again as its recipe says.

    Args:
        label: what messages call the head.
        folder: a temporary one, for prepared rows.

    Returns:
        challengers by the name that the numbers stand under.

    Raises:
        BaselineMismatch: for one that predicts other targets.
        NoTrainingRows: when the recipe does not say where the training rows are.
        BaselineFailed: for one that cannot learn.
    """
    found = [*map(resolve_baseline, as_list(baselines))]
    if not found:
        return {}
    for chosen in found:
        if fitted.head.description.target not in chosen.spec.targets:
            raise BaselineMismatch(chosen.label, label)
    data = recipe.data
    if data.train is None:
        raise NoTrainingRows(tuple(chosen.label for chosen in found))
    rows, _ = read_train_and_validation(data.train, None, data, recipe.training.seed, catalog())
    rows, (examples, _) = dropping_invalid_rows(
        rows,
        recipe,
        lambda some: eval_dataset(
            fitted.head, fitted.target, fitted.task.backbone, some, recipe, folder / f"{len(some)}"
        ),
    )
    inputs, truth = (
        RenamedColumns(rows, data.columns),
        fitted.head.decode_targets(all_targets(examples.targets), fitted.target),
    )
    challengers = {}
    for chosen in found:
        with baseline_errors(chosen.label):
            challengers[chosen.label] = FittedBaseline(chosen, chosen.spec.fit(inputs, truth, chosen.config))
    return challengers


@contextmanager
def baseline_errors(name: str) -> Iterator[None]:
    """Turn whatever a baseline raises into a sentence. Nobody asked for those of a head; somebody did for this one."""
    try:
        yield
    except TaskgraftError:
        raise
    except Exception as error:
        raise BaselineFailed(name, raised(error)) from error


@dataclass(eq=False)
class BaselineMismatch(TaskgraftError):
    """A baseline that cannot predict this kind of target."""

    baseline: str
    head: str

    def __str__(self) -> str:
        return f"The baseline '{self.baseline}' cannot predict what '{self.head}' predicts."


@dataclass(eq=False)
class NoTrainingRows(TaskgraftError):
    """Baselines that are to learn from training rows which no recipe names."""

    baselines: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{join_words(map(repr, self.baselines))} would learn from the training rows, but they came from memory, so the recipe "
            "does not say where they are. Write them to a file, such as Parquet, and fit from that."
        )


@dataclass(eq=False)
class BaselineFailed(TaskgraftError):
    """A baseline that was asked for and raised something."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"The baseline '{self.name}' failed with {self.problem}. Judge without it, or ask for another."
