"""Honest rivals of a model: what a head's baselines learn from the training rows, and what they predict for others.

A rival is a help in judging, so whatever one raises leaves that one out and spares the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, resolve
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config, ConfigError, parse_config
from taskgraft.contract.descriptions import PER_ELEMENT, HeadDescription, TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import BaselineSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.errors import TaskgraftError
from taskgraft.storage.manifest import InvalidArtifact


def fit_baselines(
    head: HeadDescription, inputs: Columns, truth: Callable[[], Sequence[Any]]
) -> tuple[dict[str, Config], list[str]]:
    """Let the baselines of a head learn from the training rows.

    Returns:
        name → what a baseline learned, as an artifact would give it back; and a sentence for each that was left out.
    """
    learned: dict[str, Config] = {}
    problems: list[str] = []
    for name in head.baselines:
        try:
            chosen = resolve_baseline(name)
            if (reason := _unfit(chosen.spec, head.target)) is not None:
                problems.append(f"the baseline '{name}' was left out, for {reason}")
                continue
            learned[name] = _read(chosen, chosen.spec.fit(inputs, truth(), chosen.config).model_dump(mode="json"))
        except Exception as error:
            problems.append(omission_note(name, error))
    return learned, problems


def predict_baseline(
    chosen: ResolvedComponent[BaselineSpec], learned: Any, kind: TargetKind, inputs: Columns, truth: Sequence[Any]
) -> Predictions:
    """Predict for rows by what a baseline learned.

    Args:
        truth: of the rows, for how many there are, and how many elements each has.

    Raises:
        Miscounted: when it does not predict once per row.
    """
    elements = [len(labels) for labels in truth] if kind in PER_ELEMENT else None
    found = chosen.spec.predict(learned, inputs, elements, chosen.config)
    if len(found.values) != len(truth):
        raise WrongPredictionCount(len(found.values), len(truth))
    return found


def read_baselines(folder: Path, written: Mapping[str, Mapping[str, Any]]) -> dict[str, Config]:
    """Read what the baselines of an artifact learned.

    Raises:
        InvalidArtifact: when a baseline is not installed, or what is written is not what it learns.
    """
    found: dict[str, Config] = {}
    for name, raw in written.items():
        try:
            found[name] = _read(resolve_baseline(name), raw, "its ")
        except ConfigError as error:
            raise InvalidArtifact(str(folder), str(error).rstrip(".")) from None
        except TaskgraftError as error:
            raise InvalidArtifact(str(folder), " ".join(str(error).split()).rstrip(".")) from None
    return found


def baseline_sources(names: Sequence[str]) -> list[PluginSource]:
    """Say which distributions baselines came from."""
    return [resolve_baseline(name).source for name in names]


def omission_note(name: str, error: Exception) -> str:
    """Say why a baseline does without numbers."""
    return f"the baseline '{name}' was left out, for it raised {raised(error)}"


def raised(error: Exception) -> str:
    """Name an error that a baseline raised."""
    said = " ".join(str(error).split())[:200].rstrip(".")
    return f"{type(error).__name__}{f' ({said})' if said else ''}"


def resolve_baseline(reference: ComponentReference) -> ResolvedComponent[BaselineSpec]:
    """Find a baseline. Raises as :func:`taskgraft.composition.resolve.resolve` does."""
    return resolve(catalog(), BaselineSpec, reference)


def _unfit(spec: BaselineSpec, kind: TargetKind) -> str | None:
    """Say why a baseline cannot go with a model."""
    if kind not in spec.targets:
        return f"it cannot predict {kind}"
    return "what it learns is kept nowhere: ask for it when you evaluate" if spec.state is None else None


def _read(chosen: ResolvedComponent[BaselineSpec], written: Mapping[str, Any], whose: str = "") -> Config:
    if chosen.spec.state is None:
        raise BaselineNotStored(chosen.label)
    return parse_config(chosen.spec.state, written, f"{whose}baseline '{chosen.label}'")


@dataclass(eq=False)
class WrongPredictionCount(TaskgraftError):
    """A baseline that does not predict once per row."""

    predictions: int
    rows: int

    def __str__(self) -> str:
        return f"{self.predictions:,} predictions for {self.rows:,} rows"


@dataclass(eq=False)
class BaselineNotStored(TaskgraftError):
    """Something written of a baseline that writes nothing down."""

    name: str

    def __str__(self) -> str:
        return f"What the baseline '{self.name}' learns is kept nowhere."
