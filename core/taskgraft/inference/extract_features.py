"""Feature extraction: the embeddings that a pretrained backbone computes for each row, without a head."""

from collections import Counter, UserDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.adaptation.base_weights import build_backbone
from taskgraft.artifact.load import move_to_device
from taskgraft.composition.resolve import ComponentReference, GivenObject, ResolvedComponent, resolve
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import BackboneSpec
from taskgraft.data.column_matching import index_note, match_columns
from taskgraft.data.dataset import check_not_empty
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.entry_point import entry_point
from taskgraft.engine.random_state import Use
from taskgraft.engine.task_module import restore_modes
from taskgraft.errors import closest_match
from taskgraft.inference.errors import InferenceError
from taskgraft.inference.feature_windows import FEATURE_ADVICE, ExtractionConfig, WindowedExtraction
from taskgraft.inference.prediction_table import place_column
from taskgraft.inference.row_features import RaggedFeatures, concat_features
from taskgraft.inference.writers import FEATURE_COLUMN, check_columns, check_output, open_writer
from taskgraft.inputs.input_request import InputRequest
from taskgraft.inputs.read_inputs import read_inputs
from taskgraft.progress import ProgressReporter
from taskgraft.reading.cell_formats import format_cells
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.recipe import DataConfig
from taskgraft.storage.manifest import InvalidArtifact, is_artifact, read_manifest

_Component = ResolvedComponent[BackboneSpec] | GivenObject[Backbone]


@dataclass(frozen=True)
class ExtractionResult:
    """What was written.

    Attributes:
        shape: the axes of one row; for sequence, those of one element.
        notes: what happened to how many rows ("cut to 256 pieces" → 12).
    """

    rows: int
    layout: Layout
    shape: tuple[int, ...]
    notes: Mapping[str, int]


@entry_point("compute features. Lower batch_size, or write them to a file: extract_features_to.", Use.DRAW)
def extract_features(
    backbone: ComponentReference | Path | Backbone,
    data: Any,
    *,
    inputs: str | Sequence[str] | Mapping[str, str] | None = None,
    layout: str | None = None,
    batch_size: int = 32,
    batch_elements: int | None = None,
    precision: str = "fp32",
    device: str | None = None,
    reader: ComponentReference | None = None,
    on_bad_row: str = "error",
    quiet: bool = False,
) -> RaggedFeatures:
    """Compute the features of all rows, in order.

    Args:
        backbone: a name (``"hf-text:some/checkpoint"``), a dict with the name and settings, an object, or the folder of
            an artifact, for its trained backbone.
        data: as for :meth:`taskgraft.TaskModel.predict`.
        inputs: a column, columns in the order of the backbone's inputs, or input → column. By default columns are matched
            by name; for the backbone of an artifact, they are those that it was trained on.
        layout: ``"vector"``, ``"sequence"``, …; by default the first that the backbone emits.
        batch_size: rows per forward pass.
        batch_elements: elements per forward pass, padding included, if rows differ in length; by default unlimited.
        precision: ``"fp32"``, or ``"bf16"`` for matrix products in bfloat16. Features are float32 in either case.
        device: as in torch. By default the CPU; an object stays on its device.
        reader: the reader of these files; by default chosen by suffix.
        on_bad_row: ``"error"`` lists all invalid rows and stops, ``"skip"`` leaves them out.
        quiet: show no progress.

    Raises:
        TaskgraftError: for any error that the user can fix.
    """
    settings = {"batch_size": batch_size, "batch_elements": batch_elements, "precision": precision}
    settings["on_bad_row"] = on_bad_row
    component, extraction, _ = _prepare(backbone, data, inputs, layout, reader, settings, quiet=quiet)
    with _ready_backbone(component, device) as ready:
        return concat_features(list(extraction.features(ready)))


@entry_point("compute features. Lower batch_size (--batch-size).", Use.DRAW)
def extract_features_to(
    backbone: ComponentReference | Path | Backbone,
    data: Any,
    output: str | Path,
    *,
    inputs: str | Sequence[str] | Mapping[str, str] | None = None,
    layout: str | None = None,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    batch_size: int = 32,
    batch_elements: int | None = None,
    precision: str = "fp32",
    device: str | None = None,
    reader: ComponentReference | None = None,
    on_bad_row: str = "error",
    quiet: bool = False,
) -> ExtractionResult:
    """Compute the features of any number of rows, in order, into a file.

    A .parquet file has a column ``features`` of fixed-size lists; for sequence, of lists of such lists. An .npz file has an
    array ``features``; for sequence it holds the elements of all rows, and the arrays ``starts`` and ``lengths`` locate those
    of each row in it. A .npy file is that array alone.

    Args:
        output: a .parquet, .npz or .npy file.
        keep: columns of the data to write with the features. With ``on_bad_row="skip"`` a column has the line or number of
            each row.
        overwrite: replace an existing file.

    The other arguments are those of :func:`extract_features`.

    Raises:
        TaskgraftError: for any error that the user can fix. No file is written then.
    """
    path = Path(output)
    check_output(path, "features", overwrite=overwrite, data=data)
    settings = {"batch_size": batch_size, "batch_elements": batch_elements, "precision": precision}
    settings["on_bad_row"] = on_bad_row
    component, extraction, rows = _prepare(backbone, data, inputs, layout, reader, settings, keep, quiet=quiet)
    for column in keep:
        rows.column(column)  # raises when there is no such column
    kept = rows.table.select(list(keep))
    if on_bad_row == "skip":
        name, places = place_column(rows)
        kept = kept.add_column(0, name, places)
    check_columns(path, kept, sequences=extraction.layout == Layout.SEQUENCE)
    valid = (row for row in range(len(rows)) if row not in extraction.invalid)
    written, shape = 0, tuple[int, ...]()
    with _ready_backbone(component, device) as ready, open_writer(path, "features", len(rows)) as writer:
        for features in extraction.features(ready):
            places = pa.array(islice(valid, len(features)), pa.int64())
            columns = {name: kept.column(name).take(places) for name in kept.column_names}
            writer.write(pa.table({**columns, FEATURE_COLUMN: features.to_arrow()}))
            written, shape = written + len(features), features.shape
    return ExtractionResult(written, extraction.layout, shape, dict(extraction.notes))


def _prepare(
    backbone: ComponentReference | Path | Backbone,
    data: Any,
    inputs: Any,
    layout: str | None,
    reader: ComponentReference | None,
    settings: Mapping[str, Any],
    keep: Sequence[str] = (),
    *,
    quiet: bool,
) -> tuple[_Component, WindowedExtraction, Rows]:
    """Check the request without reading any weights; also return the rows as they were read."""
    config = parse_config(ExtractionConfig, settings, "features")
    component = _find_backbone(backbone)
    formats = DataConfig()
    if isinstance(component, ResolvedComponent) and component.base is not None:
        formats = read_manifest(component.base).recipe.data
        inputs = formats.columns if inputs is None else inputs
    rows = read_inputs(_input_request(component, inputs, reader, keep), data)
    rows = drop_invalid(rows, rows.invalid, config.on_bad_row, FEATURE_ADVICE)
    check_not_empty(rows)
    columns = match_columns(inputs, _description(component), rows, ())
    component = _fit_config(component, columns)
    emitted = _choose_layout(layout, component)
    reporter = ProgressReporter(quiet=quiet)
    if not _description(component).inputs and (note := index_note(rows, list(columns.values()), ())):
        reporter.message(note)
    described = _description(component)
    read = format_cells(rows, formats, frozenset(columns.values()) if described.inputs else ())
    rows, read = (drop_invalid(some, read.invalid, config.on_bad_row, FEATURE_ADVICE) for some in (rows, read))
    return component, WindowedExtraction(emitted, read, columns, config, reporter, Counter(read.notes)), rows


@contextmanager
def _ready_backbone(component: _Component, device: str | None) -> Iterator[Backbone]:
    """Build the backbone on a device, in eval mode. One that was given as an object gets its modes back."""
    backbone = component.value if isinstance(component, GivenObject) else build_backbone(component)[0]
    if device is not None:
        move_to_device(backbone, device)
    with restore_modes(backbone):
        yield backbone.eval()


def _find_backbone(backbone: ComponentReference | Path | Backbone) -> _Component:
    """Find a backbone by its name, or that of an artifact by its folder."""
    if isinstance(backbone, Backbone):
        return GivenObject(backbone)
    settings = dict(backbone) if isinstance(backbone, Mapping) else {}
    text = str(backbone) if isinstance(backbone, Path) else settings.get("name", backbone)
    known = (spec.name for spec, _ in catalog().specs(BackboneSpec))
    if not isinstance(text, str) or text in known or not is_artifact(Path(text)):
        return resolve(catalog(), BackboneSpec, text if isinstance(backbone, Path) else backbone)
    trained = read_manifest(Path(text)).recipe.backbone
    if trained.name is None:
        problem = f"its backbone was an object of the class {trained.object}; load it, and pass the object"
        raise InvalidArtifact(text, problem)
    return resolve(catalog(), BackboneSpec, settings | {"name": f"{trained.name}:{text}"})


def _fit_config(component: _Component, columns: Mapping[str, str]) -> _Component:
    """Let the backbone fix the settings that depend on which input columns exist."""
    if isinstance(component, GivenObject) or component.base is not None or component.spec.fit_config is None:
        return component
    names = _ColumnNames(component.label, columns)
    return replace(component, config=component.spec.fit_config(component.config, names))


class _ColumnNames(UserDict[str, Any]):
    """Input columns whose values cannot be read: there is no training split to fit anything to."""

    def __init__(self, backbone: str, names: Mapping[str, str]):
        super().__init__(names)
        self._backbone = backbone

    def __getitem__(self, name: str) -> Any:
        raise InferenceError(
            f"'{self._backbone}' fits its preprocessing to the training rows, so it has no features before a fit. "
            "Fit and save a model with it, then name the artifact as the backbone."
        )


def _input_request(
    component: _Component, inputs: Any, reader: ComponentReference | None, keep: Sequence[str]
) -> InputRequest:
    """Return what is needed of the data, as far as it is known before they are read."""
    roles = _description(component).inputs
    names = [role.name for role in roles]
    named = [inputs] if isinstance(inputs, str) else inputs
    if not roles:
        columns = {}
    elif named is None:
        columns = {role.name: role.name for role in roles if role.required}
    else:
        columns = dict(named) if isinstance(named, Mapping) else dict(zip(names, named, strict=False))
    return InputRequest(
        columns,
        tuple(names),
        frozenset(role.name for role in roles if role.files),
        partial(_raw_values, component),
        reader,
        reader is not None,
        (*keep, *(names if named is None else ())),
    )


def _raw_values(component: _Component, role: str, value: Any) -> Sequence[Any]:
    """Turn an object in memory into raw values, with a processor that needs no weights."""
    if isinstance(component, GivenObject):
        return component.value.processor.raw_values(role, value)
    build = component.spec.build_on_meta
    return [value] if build is None else build(component.config).processor.raw_values(role, value)


def _description(component: _Component) -> BackboneDescription:
    if isinstance(component, GivenObject):
        return component.value.description
    return component.spec.describe(component.config)


def _choose_layout(wanted: str | None, component: _Component) -> Layout:
    emitted = [feature.layout for feature in _description(component).features if feature.layout != Layout.PYRAMID]
    if wanted is None and emitted:
        return emitted[0]
    if wanted in emitted:
        return Layout(wanted)
    if wanted == Layout.PYRAMID:
        problem = "Pyramid features are several arrays per row, which cannot be written"
    else:
        problem = f"'{component.label}' has no {wanted} features"
    near = closest_match(wanted, emitted)
    hint = f" Did you mean {near}?" if near else ""
    raise InferenceError(f"{problem}.{hint} Choose {' or '.join(emitted) or 'another backbone'}.")
