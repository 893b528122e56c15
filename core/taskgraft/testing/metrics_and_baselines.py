"""Laws of metrics and baselines: what judges rows counts each as often as it is drawn, and a rival is plain and honest."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import BaselineSpec, MetricFunction, MetricSpec, Spec
from taskgraft.testing.check import Check
from taskgraft.testing.plugin import config_of, specs

TOLERANCE = 1e-5
"""How far numbers of the same rows may differ, relative to their size and absolutely."""


@dataclass(frozen=True)
class LabelledRows:
    """Rows to try a metric or a baseline with.

    Attributes:
        predictions: of a model, for a metric.
        truth: as a head's ``decode_targets`` gives it.
        columns: of the data, for a metric; the inputs, for a baseline.
    """

    kind: TargetKind
    predictions: Predictions
    truth: Sequence[Any]
    columns: Columns

    def take(self, rows: Sequence[int]) -> "LabelledRows":
        """Write some rows out."""
        found = self.predictions.probabilities
        predictions = replace(
            self.predictions,
            values=[self.predictions.values[row] for row in rows],
            probabilities=None if found is None else [found[row] for row in rows],
        )
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return replace(self, predictions=predictions, truth=[self.truth[row] for row in rows], columns=columns)


def check_metrics_count_rows(module: str, configs: Mapping[str, Config], labelled: Mapping[str, LabelledRows]) -> None:
    """A judge gives finite numbers, always the same, whatever the order of rows, and counts a row as often as it is drawn.

    Args:
        configs: name of a spec → settings to try it with. A spec whose settings all have defaults needs none.
        labelled: name of a metric → rows to try it with, where it needs columns or labels of its own.
    """
    for spec, config in _of(MetricSpec, module, configs):
        law = Check(
            f"metric '{spec.name}' of {module}",
            "a judge counts each row as often as it is drawn",
            "Give the numbers that the drawn rows alone would have.",
        )
        for rows in _rows_for(spec, spec.targets, labelled):
            _check_judge(law, spec, config, rows)


def _check_judge(law: Check, spec: MetricSpec, config: Config, rows: LabelledRows) -> None:
    judge = _judge(law, spec, config, rows)
    count = len(rows.truth)
    one, other = np.random.default_rng(0).integers(count, size=(2, count))
    chosen_rows = {"all rows": np.arange(count), "a resample": one, "another resample": other, "one row": np.array([0])}
    for what, chosen in chosen_rows.items():
        found = _numbers(law, judge, chosen, what)
        if _differs(found, _numbers(law, judge, chosen, what)):
            raise law.broken(f"asked twice for {what} it answers differently", "Draw nothing at random, keep nothing.")
        if (name := _differs(found, _numbers(law, judge, chosen[::-1].copy(), what))) is not None:
            raise law.broken(f"'{name}' of {what} changes with their order", "Do not look at the order of rows.")
        alone = _judge(law, spec, config, rows.take(chosen.tolist()))
        written_out = _numbers(law, alone, np.arange(len(chosen)), what)
        if (name := _differs(found, written_out)) is not None:
            raise law.broken(
                f"'{name}' of {what} is {found.get(name)}, but {written_out.get(name)} for a table of those rows"
            )


def _judge(law: Check, spec: MetricSpec, config: Config, rows: LabelledRows) -> MetricFunction:
    with law.runs("build"):
        return spec.build(rows.predictions, rows.truth, rows.columns, config)


def _numbers(law: Check, judge: MetricFunction, rows: NDArray[np.int64], what: str) -> Mapping[str, float]:
    with law.runs(f"judging {what}"):
        found = dict(judge(rows.copy()))
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, float) or not math.isfinite(value):
            raise law.broken(
                f"{name!r} of {what} is {value!r}, no finite float", "Leave out what cannot be had; convert the rest."
            )
    return found


def _differs(one: Mapping[str, float], other: Mapping[str, float]) -> str | None:
    """Name a number that one has and the other has not, or that differs."""
    for name in {**one, **other}:
        if name not in one or name not in other:
            return name
        if not math.isclose(one[name], other[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return name
    return None


def check_figures_are_files(module: str, configs: Mapping[str, Config], labelled: Mapping[str, LabelledRows]) -> None:
    """A metric that draws writes files into the folder it is given, and answers with all of them.

    Args: as for :func:`check_metrics_count_rows`.
    """
    for spec, config in _of(MetricSpec, module, configs):
        if spec.plot is None:
            continue
        law = Check(
            f"metric '{spec.name}' of {module}",
            "figures are files in the folder that is given",
            "Write figures into the folder, and answer with their paths.",
        )
        for rows in _rows_for(spec, spec.targets, labelled):
            with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
                with law.runs("draw"):
                    drawn = spec.plot(rows.predictions, rows.truth, rows.columns, config, Path(folder))
                written = sorted(path for path in Path(folder).iterdir() if path.stat().st_size)
                if not written or sorted(drawn) != written:
                    names = [[path.name for path in paths] for paths in (sorted(drawn), written)]
                    raise law.broken(f"it answers with {names[0]}, but the folder holds {names[1]}")


def check_baselines_predict_row_by_row(
    module: str, configs: Mapping[str, Config], labelled: Mapping[str, LabelledRows]
) -> None:
    """What a baseline learned is JSON, if it is kept, and it predicts each row by itself, in the words of the truth.

    Args:
        configs: name of a spec → settings to try it with. A spec whose settings all have defaults needs none.
        labelled: name of a baseline → rows to try it with, where it needs inputs or labels of its own.
    """
    for spec, config in _of(BaselineSpec, module, configs):
        law = Check(
            f"baseline '{spec.name}' of {module}",
            "what a baseline learned is JSON, and it predicts row by row",
            "Learn from the training rows alone, and predict from what was learned and the row.",
        )
        for rows in _rows_for(spec, spec.targets, labelled):
            _check_baseline(law, spec, config, rows)


def _check_baseline(law: Check, spec: BaselineSpec, config: Config, rows: LabelledRows) -> None:
    with law.runs("learn"):
        learned, again = (spec.fit(rows.columns, rows.truth, config) for _ in range(2))
    if spec.state is not None:
        if not isinstance(learned, spec.state):
            raise law.broken(
                f"learn answers {learned!r:.60}, no {spec.state.__name__}", "Answer with the class 'learned'."
            )
        if learned != again:
            raise law.broken("learning twice from the same rows differs", "Draw nothing at random without a seed.")
        learned = _from_json(law, spec.state, learned)
    found = _predicted(law, spec, config, learned, rows)
    if found != _predicted(law, spec, config, again, rows):  # what is no JSON may not compare
        raise law.broken("learning twice from the same rows differs", "Draw nothing at random without a seed.")
    known = _words(rows.kind, rows.truth)
    if strange := [value for value in _words(rows.kind, found) if value not in known]:
        raise law.broken(f"it predicts {strange[0]!r}, which is no word of the truth", "Predict as the truth is given.")
    some = list(range(len(rows.truth) - 1, -1, -2))
    if [found[row] for row in some] != _predicted(law, spec, config, learned, rows.take(some)):
        raise law.broken("it predicts otherwise for a row when other rows stand beside it")


def _from_json(law: Check, kind: type[Config], learned: Config) -> Config:
    with law.runs(f"writing {kind.__name__} as JSON"):
        text = json.dumps(learned.model_dump(mode="json"), allow_nan=False)
    try:
        read = kind.model_validate(json.loads(text))
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise law.broken(f"{kind.__name__} written as JSON cannot be read: {reason}") from None
    if read != learned:
        raise law.broken(f"{learned!r:.150} written as JSON is read as {read!r:.150}")
    return read


def _predicted(law: Check, spec: BaselineSpec, config: Config, learned: Any, rows: LabelledRows) -> list[Any]:
    """Predict, and count rows and elements."""
    elements = [len(row) for row in rows.truth] if rows.kind in PER_ELEMENT else None
    with law.runs("predict"):
        found = spec.predict(learned, rows.columns, elements, config)
    lengths = {"values": len(found.values)}
    if found.probabilities is not None:
        lengths["probabilities"] = len(found.probabilities)
    for what, length in lengths.items():
        if length != len(rows.truth):
            raise law.broken(f"it gives {length} {what} for {len(rows.truth)} rows", "Predict once per row.")
    if elements is not None and (counts := [len(labels) for labels in found.values]) != elements:
        raise law.broken(f"it gives {counts} labels for rows of {elements} elements", "Predict once per element.")
    return found.values


def _words(kind: TargetKind, rows: Sequence[Any]) -> list[Any]:
    """Give what may stand in a row: labels, or for numbers how many."""
    if kind == TargetKind.NUMBERS:
        return [len(row) if isinstance(row, list) else 1 for row in rows]
    if kind == TargetKind.CATEGORY:
        return list(rows)
    return [label for row in rows for label in row if label is not None]


def _of(kind: type[Any], module: str, configs: Mapping[str, Config]) -> Iterator[tuple[Any, Config]]:
    for spec in specs(module):
        if isinstance(spec, kind) and (config := config_of(spec, configs)) is not None:
            yield spec, config


def _rows_for(spec: Spec, kinds: frozenset[TargetKind], labelled: Mapping[str, LabelledRows]) -> Iterator[LabelledRows]:
    if spec.name in labelled:
        yield labelled[spec.name]
    else:
        yield from (sample_rows(kind) for kind in sorted(kinds))


def sample_rows(kind: TargetKind, count: int = 12) -> LabelledRows:
    """Make rows of a kind of target: labels ``a``, ``b`` and ``c``, or a number, or both hidden, by an input ``text``."""
    chance = np.random.default_rng(1)
    classes = ("a", "b", "c")
    shares = chance.random((count, len(classes))).astype(np.float32)
    truth, probabilities = [classes[row % 3] for row in range(count)], list(shares / shares.sum(1, keepdims=True))
    columns = {"text": [f"text number {row}" for row in range(count)]}
    if kind == TargetKind.NUMBERS:
        numbers = chance.normal(size=(2, count)).tolist()
        return LabelledRows(kind, Predictions(numbers[0]), numbers[1], columns)
    given = [classes[int(row.argmax())] for row in shares]
    if kind == TargetKind.CATEGORY:
        return LabelledRows(kind, Predictions(given, probabilities, classes), truth, columns)
    if kind == TargetKind.CATEGORIES:
        several = [[label for label, share in zip(classes, row, strict=True) if share > 0.5] for row in shares]
        known = [
            {one: None if row % 5 == 4 and one == "a" else one == label for one in classes}
            for row, label in enumerate(truth)
        ]
        return LabelledRows(kind, Predictions(several, list(shares), classes), known, columns)
    sizes = [1 + row % 4 for row in range(count)]
    if kind == TargetKind.INPUTS:
        recovered = [{"label": one, "size": float(share[0])} for one, share in zip(given, shares, strict=True)]
        hidden = [
            {"label": one if row % 3 else None, "size": float(row % 5) if row % 2 else None}
            for row, one in enumerate(truth)
        ]
        return LabelledRows(kind, Predictions(recovered), hidden, columns)
    if kind == TargetKind.PAIR_CATEGORIES:
        return _pairs(chance, sizes, classes, columns)
    elements = [[truth[(row + place) % count] for place in range(size)] for row, size in enumerate(sizes)]
    guesses = [[given[(row + place) % count] for place in range(size)] for row, size in enumerate(sizes)]
    return LabelledRows(kind, Predictions(guesses, None, classes), elements, columns)


def _pairs(
    chance: np.random.Generator, sizes: Sequence[int], classes: tuple[str, ...], columns: Columns
) -> LabelledRows:
    """Make rows with a label for each pair of some elements."""
    shares = [chance.random((size, size, len(classes))).astype(np.float32) for size in sizes]
    guesses = [np.array(classes)[row.argmax(-1)] for row in shares]
    truth = [np.array(classes)[chance.integers(len(classes), size=(size, size))] for size in sizes]
    probabilities = [row / row.sum(-1, keepdims=True) for row in shares]
    return LabelledRows(TargetKind.PAIR_CATEGORIES, Predictions(guesses, probabilities, classes), truth, columns)
