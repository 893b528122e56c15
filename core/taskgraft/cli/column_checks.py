"""Columns and metrics that do not exist, found before torch is imported: it takes seconds."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.builtin.readers.columns import column_names
from taskgraft.composition.resolve import ComponentReference, resolve
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import BaselineSpec, MetricSpec
from taskgraft.data.column_matching import check_excluded
from taskgraft.discovery.catalog import UnknownComponent, catalog
from taskgraft.reading.read import has_reader, reader_of
from taskgraft.reading.splitting import split_columns
from taskgraft.recipe import DataConfig, Recipe
from taskgraft.storage.consent import check_consent
from taskgraft.storage.manifest import read_manifest


def check_recipe_columns(recipe: Recipe, test: str | None = None) -> None:
    """Look for the columns of a recipe in the headers of its files.

    Args:
        test: another file with the same columns, but for those of the split.

    Raises:
        MissingColumn, UnreadableFile: for a column, or a file, that is not there.
    """
    with suppress(UnknownComponent):  # composing says which plugin is missing
        _check_recipe_columns(recipe.data, test)


def _check_recipe_columns(data: DataConfig, test: str | None) -> None:
    columns = (*data.target, *_inputs(data))
    with_split = (*columns, *split_columns(data, catalog()))
    check_header(data.train, with_split, data.reader, data.exclude, data.target)
    for path in (data.validation, test):
        check_header(path, columns, data.reader)


def check_artifact_columns(
    artifact: Path, data: Sequence[str] | None, settings: Mapping[str, Any], *, target: bool, keep: Iterable[str] = ()
) -> None:
    """Look for the columns that a fitted model reads in the header of a file.

    Args:
        data: one file of rows; anything else is not looked into.
        settings: of the data, where they differ from those of the fit.
        target: whether the target columns are needed.
    """
    recipe = read_manifest(artifact).recipe
    check_consent(artifact, recipe, catalog())
    fitted = recipe.data
    if data and not settings and _is_file(data[0]) and has_reader(Path(data[0]), fitted.reader):
        columns = (*(fitted.target if target else ()), *_inputs(fitted), *keep)
        check_header(data[0], columns, fitted.reader)


def check_metrics(metrics: Sequence[ComponentReference], baselines: Sequence[ComponentReference]) -> None:
    """Look up metrics and baselines.

    Raises:
        UnknownComponent, ConfigError: for one that does not exist, or its settings.
    """
    for metric in metrics:
        resolve(catalog(), MetricSpec, metric)
    for baseline in baselines:
        resolve(catalog(), BaselineSpec, baseline)


def check_header(
    data: str | None,
    columns: Iterable[str],
    reader: ComponentReference | None,
    exclude: Sequence[str] = (),
    target: Sequence[str] = (),
) -> None:
    """Look for columns in the header of a file, if only that needs to be read to know them."""
    if data is None or catalog().has_scheme(data):
        return
    path, spec, config = reader_of(data, reader, catalog())
    names = column_names(path, spec, config)
    if names is not None:
        rows = Rows(pa.table({name: pa.array([], pa.string()) for name in names if name}), path.name)
        for column in columns:
            rows.column(column)
        check_excluded(exclude, rows, target)


def _is_file(text: str) -> bool:
    """Say whether a text is the path of a file."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _inputs(data: DataConfig) -> tuple[str, ...]:
    return tuple(data.inputs.values()) if isinstance(data.inputs, dict) else data.inputs
