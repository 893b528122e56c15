"""Baselines: simple models fitted on the same training rows and evaluated on the same rows as the task model.

A head names some, which are fitted with the model and stored in its artifact; an exception of one leaves out that baseline and
spares the model. A user may request others when evaluating; an exception of one of those is an error.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.composition.plugin_errors import find_plugin_failure
from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, as_list, resolve
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config, ConfigError, parse_config
from taskgraft.contract.descriptions import PER_ELEMENT, HeadDescription, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import BaselineSpec
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.dataset import LabelledDataset, eval_dataset
from taskgraft.data.examples import all_targets
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.finite import predictions_not_finite
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.baseline_tuning import TuningRows, select_tuning_columns, tunes_baselines
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.labels import label_indices, label_key
from taskgraft.reading.cell_formats import verbatim_columns
from taskgraft.reading.splitting import read_train_and_validation
from taskgraft.recipe import Recipe
from taskgraft.storage.manifest import InvalidArtifact


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline and its state: what its ``fit`` returned.

    Attributes:
        target: the target description that the head tuned for it; None if it has not been tuned.
        validation: the rows to tune it on when it is evaluated; None for one that is tuned already, or not at all.
    """

    component: ResolvedComponent[BaselineSpec]
    state: Any
    target: TargetDescription | None = None
    validation: TuningRows | None = None

    @property
    def is_tuned(self) -> bool:
        """Whether the head tunes something for it, or has done so."""
        return self.target is not None or self.validation is not None

    def predict(self, kind: TargetKind, inputs: Columns, truth: Sequence[Any]) -> Predictions:
        """Predict for some rows.

        Args:
            truth: of the rows; only their number, and the number of elements of each, is used.

        Raises:
            EvaluationError: if there is not one prediction per row, or one is not finite.
        """
        elements = [len(labels) for labels in truth] if kind in PER_ELEMENT else None
        predictions = self.component.spec.predict(self.state, inputs, elements, self.component.config)
        if (count := len(predictions.values)) != len(truth):
            label = self.component.label
            raise EvaluationError(f"The baseline '{label}' made {count:,} predictions for {len(truth):,} rows.")
        if wrong := predictions_not_finite(predictions):
            label, these = self.component.label, f"{len(wrong):,} of {count:,} rows"
            raise EvaluationError(
                f"The baseline '{label}' predicts NaN or infinity for {these} (row {wrong[0]:,} first)."
            )
        return predictions

    def predict_as_model(
        self, fitted: FittedTask, model: Predictions, columns: Mapping[str, str], rows: Rows, truth: Sequence[Any]
    ) -> Predictions:
        """Predict for some rows, with the classes of the model in its order, and decided by its threshold rule.

        Args:
            model: predictions of the model for any rows.
            columns: input role → column.
        """
        head = fitted.head
        own = align_classes(self.predict(head.description.target, rows.lazy_columns(columns), truth), model)
        if own.probabilities is None:
            return own
        if not tunes_baselines(head):
            return own if head.description.tunes else head.decide(own, fitted.target)
        target = self.target if self.validation is None else self.tune(head, fitted.target, model, columns)
        return own if target is None else head.decide(own, target)

    def tune(
        self, head: Head[Any], target: TargetDescription, model: Predictions, columns: Mapping[str, str]
    ) -> TargetDescription | None:
        """Let the head tune its target description for this baseline, as for the model; None if there are no probabilities.

        Args, with those of :meth:`predict_as_model`:
            target: that of the head.
        """
        assert self.validation is not None
        rows, encoded = self.validation.rows, self.validation.targets
        truth = head.decode_targets(encoded, target)
        own = align_classes(self.predict(head.description.target, rows.lazy_columns(columns), truth), model)
        if own.probabilities is None:
            return None
        tuned: TargetDescription = head.tune(own, encoded, select_tuning_columns(head, rows), target)
        return tuned


def fit_baselines(
    head: HeadDescription, inputs: Columns, truth: Callable[[], Sequence[Any]]
) -> tuple[dict[str, Config], list[str]]:
    """Fit a head's baselines on the training rows; return their states, and a sentence for each that was left out."""
    states: dict[str, Config] = {}
    notes: list[str] = []
    for name in head.baselines:
        try:
            component = resolve_baseline(name)
            if head.target not in component.spec.targets:
                notes.append(omission_note(name, f"it cannot predict {head.target}"))
            elif component.spec.state is None:
                notes.append(omission_note(name, "its state cannot be stored, so request it when you evaluate"))
            else:
                state = component.spec.fit(inputs, truth(), component.config)
                states[name] = _parse_state(component, state.model_dump(mode="json"))
        except Exception as error:
            notes.append(omission_note(name, error))
    return states, notes


def fit_requested_baselines(
    baselines: ComponentReference | Sequence[ComponentReference],
    fitted: FittedTask,
    recipe: Recipe,
    label: str,
    folder: Path,
) -> dict[str, FittedBaseline]:
    """Fit baselines that a user requests on the training rows of the model, which are read again by its recipe.

    Args:
        label: of the head, for messages.
        folder: a temporary one, for processed rows.

    Raises:
        EvaluationError: for a baseline that predicts other targets or fails, or if the recipe names no training data.
    """
    components = [*map(resolve_baseline, as_list(baselines))]
    if not components:
        return {}
    for component in components:
        if fitted.head.description.target not in component.spec.targets:
            raise EvaluationError(f"The baseline '{component.label}' cannot predict what '{label}' predicts.")
    data = recipe.data
    if data.train is None:
        names = join_words(repr(component.label) for component in components)
        raise EvaluationError(
            f"Baselines ({names}) are fitted on the training rows, but those came from memory, so the recipe names no file to "
            "read them from. Write them to one, such as Parquet, and fit the model from that."
        )
    verbatim = verbatim_columns(data, fitted.task.backbone.description, fitted.head.description.target)
    held_out = data.validation if tunes_baselines(fitted.head) else None
    rows, others = read_train_and_validation(data.train, held_out, data, recipe.training.seed, catalog(), verbatim)

    def labelled(some: Rows, name: str) -> LabelledDataset:
        return eval_dataset(fitted.head, fitted.target, fitted.task.backbone, some, recipe, folder / name)

    training, validation = labelled(rows, "training"), None
    if others is not None and tunes_baselines(fitted.head):
        tuning = labelled(others, "validation")
        validation = TuningRows(tuning.rows, all_targets(tuning.dataset.targets))
    truth = fitted.head.decode_targets(all_targets(training.dataset.targets), fitted.target)
    requested = {}
    for component in components:
        with baseline_errors(component.label):
            state = component.spec.fit(training.rows.lazy_columns(data.columns), truth, component.config)
            requested[component.label] = FittedBaseline(component, state, validation=validation)
    return requested


def align_classes(predictions: Predictions, model: Predictions) -> Predictions:
    """Put the classes of a baseline in the order of the model's, with its positive class, so that metrics mean the same.

    A baseline that has classes which the model lacks stays as it is.
    """
    index_of, known = label_indices(predictions.classes), [label_key(label) for label in model.classes]
    if not index_of or not index_of.keys() <= set(known):
        return predictions
    labels = dict(zip(known, model.classes, strict=True))
    probabilities = predictions.probabilities
    if probabilities is not None:
        order = [index_of.get(key, len(index_of)) for key in known]  # one column of zeros for classes that it lacks
        probabilities = [np.append(row, np.zeros_like(row[..., :1]), axis=-1)[..., order] for row in probabilities]
    values = [_translate(value, labels) for value in predictions.values]
    return Predictions(values, probabilities, model.classes, model.positive)


def read_baselines(folder: Path, written: Mapping[str, Mapping[str, Any]]) -> dict[str, Config]:
    """Parse the states in an artifact. Raises InvalidArtifact if a baseline is not installed, or its state is invalid."""
    states: dict[str, Config] = {}
    for name, raw in written.items():
        try:
            states[name] = _parse_state(resolve_baseline(name), raw, "its ")
        except TaskgraftError as error:
            text = str(error) if isinstance(error, ConfigError) else " ".join(str(error).split())
            raise InvalidArtifact(str(folder), text.rstrip(".")) from None
    return states


def resolve_baseline(reference: ComponentReference) -> ResolvedComponent[BaselineSpec]:
    """Find a baseline. Raises as :func:`taskgraft.composition.resolve.resolve` does."""
    return resolve(catalog(), BaselineSpec, reference)


def omission_note(name: str, reason: str | Exception) -> str:
    """Format why a baseline of a head was left out."""
    return f"the baseline '{name}' was left out: {_reason(reason) if isinstance(reason, Exception) else reason}"


@contextmanager
def baseline_errors(name: str) -> Iterator[None]:
    """Wrap any exception of a requested baseline. Baselines of a head are left out instead."""
    try:
        yield
    except TaskgraftError:
        raise
    except Exception as error:
        advice = "Evaluate without it, or request another"
        raise EvaluationError(f"The baseline '{name}' failed: {_reason(error)}. {advice}.") from error


def _translate(value: Any, labels: Mapping[str, Any]) -> Any:
    """Replace labels, alone or in lists, by the model's own of the same key."""
    if isinstance(value, list):
        return [_translate(one, labels) for one in value]
    return labels.get(label_key(value), value) if isinstance(value, str | bool | int | float) else value


def _reason(error: Exception) -> str:
    text, failure = " ".join(str(error).split())[:200].rstrip("."), find_plugin_failure(error)
    plugin = "" if failure is None else f" in {failure.source}"
    return f"it raised {type(error).__name__}{f' ({text})' if text else ''}{plugin}"


def _parse_state(component: ResolvedComponent[BaselineSpec], raw: Mapping[str, Any], whose: str = "") -> Config:
    if component.spec.state is None:
        raise EvaluationError(f"The state of the baseline '{component.label}' cannot be stored.")
    return parse_config(component.spec.state, raw, f"{whose}baseline '{component.label}'")
