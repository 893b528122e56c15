"""Laws of metrics and baselines: a metric counts each row as often as it is drawn, a baseline predicts row by row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.specs import BaselineSpec, MetricFunction, MetricSpec, Spec
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import nearly_equal
from taskgraft.testing.labelled_rows import LabelledRows, sample_rows
from taskgraft.testing.plugin import config_to_try, json_round_trip, load_specs

_Labelled = Mapping[str, LabelledRows]
_Case = tuple[Law, Any, Config, LabelledRows]

_TOLERANCE = 1e-5
"""How far metrics of the same rows may differ, relative to their size and absolutely."""


@law_check("Return the values that a table of the drawn rows alone would have.")
def check_metrics_count_rows(law: Law, module: str, configs: Mapping[str, Config], labelled: _Labelled) -> None:
    """A metric is finite, repeatable, independent of the order of rows, and counts a row as often as it is drawn.

    Args:
        configs: name of a spec → settings to try it with. A spec whose settings all have defaults needs none.
        labelled: name of a metric → rows to try it with, when it needs columns or labels of its own.
    """
    for spec_law, spec, config, rows in _cases(MetricSpec, law, module, configs, labelled):
        _check_metric(spec_law, spec, config, rows)


@law_check("Name every value that is better when lower in 'lower_is_better', and what says neither in 'descriptive'.")
def check_perfect_predictions_are_best(
    law: Law, module: str, configs: Mapping[str, Config], labelled: _Labelled
) -> None:
    """No value is worse for the truth than for other predictions. Metrics of one label or number per row; others pass.

    Args: as for :func:`check_metrics_count_rows`.
    """
    for spec_law, spec, config, rows in _cases(MetricSpec, law, module, configs, labelled):
        perfect = _perfect(rows)
        if perfect is None:
            continue
        every = np.arange(len(rows.truth))
        best, others = (
            _values(spec_law, _build(spec_law, spec, config, one), every, "all rows") for one in (perfect, rows)
        )
        for name in best.keys() & others.keys() - spec.descriptive:
            lower = name in spec.lower_is_better
            gain = (others[name] - best[name]) * (1 if lower else -1)
            if gain < -_TOLERANCE * max(1.0, abs(best[name]), abs(others[name])):
                marked = "is" if lower else "is not"
                raise spec_law.violation(
                    f"'{name}' is {best[name]:.3g} for perfect predictions and {others[name]:.3g} for others, but {marked} in "
                    "'lower_is_better'"
                )


@law_check("Write figures into the folder, and return their paths.")
def check_figures_are_files(law: Law, module: str, configs: Mapping[str, Config], labelled: _Labelled) -> None:
    """A metric that plots writes files into the given folder, and returns all of them.

    Args: as for :func:`check_metrics_count_rows`.
    """
    for spec_law, spec, config, rows in _cases(MetricSpec, law, module, configs, labelled):
        if spec.plot is None:
            continue
        with temporary_folder() as folder:
            with spec_law.must_succeed("plot"):
                returned = spec.plot(rows.predictions, rows.truth, rows.columns, config, folder)
            written = sorted(path for path in folder.iterdir() if path.stat().st_size)
            if not written or sorted(returned) != written:
                names = [[path.name for path in paths] for paths in (sorted(returned), written)]
                raise spec_law.violation(f"it returns {names[0]}, but the folder holds {names[1]}")


@law_check("Fit to the training rows alone, and predict from the fitted state and the row.")
def check_baselines_predict_row_by_row(
    law: Law, module: str, configs: Mapping[str, Config], labelled: _Labelled
) -> None:
    """The fitted state of a baseline is JSON, if it is stored, and it predicts each row by itself, in the labels of the truth.

    Args:
        configs: name of a spec → settings to try it with. A spec whose settings all have defaults needs none.
        labelled: name of a baseline → rows to try it with, when it needs inputs or labels of its own.
    """
    for spec_law, spec, config, rows in _cases(BaselineSpec, law, module, configs, labelled):
        _check_baseline(spec_law, spec, config, rows)


def _perfect(rows: LabelledRows) -> LabelledRows | None:
    """Return the same rows with perfect predictions; None where they are, or where the kit cannot make them."""
    predictions = rows.predictions
    if rows.kind not in (TargetKind.CATEGORY, TargetKind.NUMBERS) or list(predictions.values) == list(rows.truth):
        return None
    certain = None
    if predictions.probabilities is not None:
        if any(label not in predictions.classes for label in rows.truth):
            return None
        eye = np.eye(len(predictions.classes), dtype=np.float32)
        certain = [eye[predictions.classes.index(label)] for label in rows.truth]
    return replace(rows, predictions=replace(predictions, values=list(rows.truth), probabilities=certain))


def _check_metric(law: Law, spec: MetricSpec, config: Config, rows: LabelledRows) -> None:
    metric = _build(law, spec, config, rows)
    _check_positive(law, spec, config, rows)
    count = len(rows.truth)
    one, other = np.random.default_rng(0).integers(count, size=(2, count))
    draws = {"all rows": np.arange(count), "a resample": one, "another resample": other, "one row": np.array([0])}
    for what, drawn in draws.items():
        values = _values(law, metric, drawn, what)
        if _difference(values, _values(law, metric, drawn, what)):
            raise law.violation(f"two calls for {what} differ", "Use no random numbers, and keep nothing.")
        if (name := _difference(values, _values(law, metric, drawn[::-1].copy(), what))) is not None:
            raise law.violation(f"'{name}' of {what} changes with their order", "Do not depend on the order of rows.")
        table = _build(law, spec, config, rows.take(drawn.tolist()))
        of_table = _values(law, table, np.arange(len(drawn)), what)
        if (name := _difference(values, of_table)) is not None:
            raise law.violation(
                f"'{name}' of {what} is {values.get(name)}, but {of_table.get(name)} for a table of those rows"
            )


def _check_positive(law: Law, spec: MetricSpec, config: Config, rows: LabelledRows) -> None:
    """Check that values which are about one class name a class of the predictions."""
    if spec.positive is None:
        return
    with law.must_succeed("positive"):
        positive = dict(spec.positive(rows.predictions, config))
    for name, label in positive.items():
        if label not in rows.predictions.classes:
            raise law.violation(
                f"positive says that '{name}' is about {label!r}, which is not a class",
                "Name a label of the predictions.",
            )


def _build(law: Law, spec: MetricSpec, config: Config, rows: LabelledRows) -> MetricFunction:
    with law.must_succeed("build"):
        return spec.build(rows.predictions, rows.truth, rows.columns, config)


def _values(law: Law, metric: MetricFunction, rows: NDArray[np.int64], what: str) -> Mapping[str, float]:
    with law.must_succeed(f"evaluating {what}"):
        values = dict(metric(rows.copy()))
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, float) or not math.isfinite(value):
            raise law.violation(
                f"{name!r} of {what} is {value!r}, not a finite float", "Leave out what is undefined; convert the rest."
            )
    return values


def _difference(one: Mapping[str, float], other: Mapping[str, float]) -> str | None:
    """Name a value that only one has, or that differs."""
    for name in {**one, **other}:
        if name not in one or name not in other:
            return name
        if not math.isclose(one[name], other[name], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            return name
    return None


def _check_baseline(law: Law, spec: BaselineSpec, config: Config, rows: LabelledRows) -> None:
    differs = law.violation("fitting twice to the same rows differs", "Use no random numbers without a seed.")
    with law.must_succeed("fit"):
        state, again = (spec.fit(rows.columns, rows.truth, config) for _ in range(2))
    if spec.state is not None:
        if not isinstance(state, spec.state):
            raise law.violation(
                f"fit returns {state!r:.60}, not {spec.state.__name__}", "Return an instance of the class 'state'."
            )
        if state != again:
            raise differs
        state = json_round_trip(law, state)
    values = _predict(law, spec, config, state, rows)
    if values != _predict(law, spec, config, again, rows):  # a state that is not JSON may not compare
        raise differs
    known = _labels(rows.kind, rows.truth)
    if unknown := [value for value in _labels(rows.kind, values) if value not in known]:
        raise law.violation(
            f"it predicts {unknown[0]!r}, which is not a label of the truth", "Predict in the form of the truth."
        )
    if spec.state is not None:
        backward = list(range(len(rows.truth)))[::-1]
        reverse = rows.take(backward)
        with law.must_succeed("fit"):
            other = spec.fit(reverse.columns, reverse.truth, config)
        if not nearly_equal(values, _predict(law, spec, config, other, rows), 1e-9):
            raise law.violation(
                "fitted to the same rows in reverse order, it predicts something else",
                "Do not depend on the order of rows: of equally frequent labels, take the first in sorted order.",
            )
    some = list(range(len(rows.truth) - 1, -1, -2))
    if [values[row] for row in some] != _predict(law, spec, config, state, rows.take(some)):
        raise law.violation("its prediction for a row depends on the other rows")


def _predict(law: Law, spec: BaselineSpec, config: Config, state: Any, rows: LabelledRows) -> list[Any]:
    """Predict, and check the number of rows and elements."""
    elements = [len(row) for row in rows.truth] if rows.kind in PER_ELEMENT else None
    with law.must_succeed("predict"):
        predictions = spec.predict(state, rows.columns, elements, config)
    lengths = {"values": len(predictions.values)}
    if predictions.probabilities is not None:
        lengths["probabilities"] = len(predictions.probabilities)
    for what, length in lengths.items():
        if length != len(rows.truth):
            raise law.violation(f"it returns {length} {what} for {len(rows.truth)} rows", "Predict once per row.")
    if elements is not None and (counts := [len(labels) for labels in predictions.values]) != elements:
        raise law.violation(f"it returns {counts} labels for rows of {elements} elements", "Predict once per element.")
    return predictions.values


def _labels(kind: TargetKind, rows: Sequence[Any]) -> list[Any]:
    """List what may appear in a row: labels; for numbers, how many."""
    if kind == TargetKind.NUMBERS:
        return [len(row) if isinstance(row, list) else 1 for row in rows]
    if kind == TargetKind.CATEGORY:
        return list(rows)
    return [label for row in rows for label in row if label is not None]


def _cases(
    kind: type[Spec], law: Law, module: str, configs: Mapping[str, Config], labelled: _Labelled
) -> Iterator[_Case]:
    """List what to try: each spec of a kind, with the law for it, its settings, and rows of each kind of its targets."""
    for spec in load_specs(module):
        if not isinstance(spec, MetricSpec | BaselineSpec) or not isinstance(spec, kind):
            continue
        if (config := config_to_try(spec, configs)) is not None:
            given = labelled.get(spec.name)
            for rows in map(sample_rows, sorted(spec.targets)) if given is None else (given,):
                yield law.about(spec, module), spec, config, rows
