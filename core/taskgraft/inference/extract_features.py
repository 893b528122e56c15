"""Feature extraction: the embeddings that a pretrained backbone computes for each row, without a head."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from taskgraft.adaptation.base_weights import build_backbone
from taskgraft.artifact.artifact import InvalidDevice
from taskgraft.composition.resolve import ComponentReference, GivenObject, ResolvedComponent, resolve
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, Rows
from taskgraft.contract.specs import BackboneSpec
from taskgraft.data.dataset import EmptyData, report_notes
from taskgraft.data.preprocessing import match_columns
from taskgraft.data.reading import read_rows
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.task_module import restore_modes
from taskgraft.errors import closest_match
from taskgraft.inference.errors import InferenceError
from taskgraft.inference.feature_windows import ExtractionConfig, WindowedExtraction
from taskgraft.inference.output_files import check_columns, check_output, open_writer
from taskgraft.inference.row_features import RaggedFeatures, concat_features
from taskgraft.inference.writers import FEATURE_COLUMN
from taskgraft.progress import ProgressReporter
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
    quiet: bool = False,
) -> RaggedFeatures:
    """Compute the features of all rows, in order.

    Args:
        backbone: a name (``"hf-text:some/checkpoint"``), a dict with the name and settings, an object, or the folder of
            an artifact, for its trained backbone.
        data: a path, ``hub:NAME``, a DataFrame, an Arrow table, a dataset, a list of dicts or a dict of columns.
        inputs: a column, columns in the order of the backbone's inputs, or input → column. By default columns are matched
            by name; for the backbone of an artifact, they are those that it was trained on.
        layout: ``"vector"``, ``"sequence"``, …; by default the first that the backbone emits.
        batch_size: rows per forward pass.
        batch_elements: elements per forward pass, padding included, if rows differ in length; by default unlimited.
        precision: ``"fp32"``, or ``"bf16"`` for matrix products in bfloat16. Features are float32 in either case.
        device: as in torch. By default the CPU; an object stays on its device.
        reader: the reader of files; by default chosen by suffix.
        quiet: show no progress.

    Raises:
        TaskgraftError: for any error that the user can fix.
    """
    extraction = _Extraction.prepare(backbone, data, inputs, layout, reader, batch_size, batch_elements, precision)
    with extraction.started(device, ProgressReporter(quiet=quiet)) as windows:
        return concat_features(list(windows.features()))


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
    quiet: bool = False,
) -> ExtractionResult:
    """Compute the features of any number of rows, in order, into a file.

    A .parquet file has a column ``features`` of fixed-size lists; for sequence, of lists of such lists. An .npz file has an
    array ``features``; for sequence it holds the elements of all rows, and the arrays ``starts`` and ``lengths`` locate those
    of each row in it. A .npy file is that array alone.

    Args:
        output: a .parquet, .npz or .npy file.
        keep: columns of the data to write with the features.
        overwrite: replace an existing file.

    The other arguments are those of :func:`extract_features`.

    Raises:
        TaskgraftError: for any error that the user can fix. No file is written then.
    """
    path = Path(output)
    check_output(path, "features", overwrite=overwrite, data=data)
    extraction = _Extraction.prepare(backbone, data, inputs, layout, reader, batch_size, batch_elements, precision)
    rows = extraction.rows
    for column in keep:
        rows.column(column)  # raises when there is no such column
    kept = rows.table.select(list(keep))
    check_columns(path, kept, sequences=extraction.layout == Layout.SEQUENCE)
    shape: tuple[int, ...] = ()
    with (
        extraction.started(device, ProgressReporter(quiet=quiet)) as windows,
        open_writer(path, "features", len(rows)) as writer,
    ):
        written = 0
        for features in windows.features():
            columns = kept.slice(written, len(features))
            writer.write(columns.append_column(FEATURE_COLUMN, features.to_arrow()))
            written += len(features)
            shape = features.shape
    return ExtractionResult(len(rows), extraction.layout, shape, dict(windows.notes))


@dataclass(frozen=True)
class _Extraction:
    """A request, checked without reading any weights.

    Attributes:
        columns: input role → column.
    """

    component: _Component
    rows: Rows
    columns: Mapping[str, str]
    layout: Layout
    settings: ExtractionConfig

    @classmethod
    def prepare(
        cls,
        backbone: ComponentReference | Path | Backbone,
        data: Any,
        inputs: Any,
        layout: str | None,
        reader: ComponentReference | None,
        batch_size: int,
        batch_elements: int | None,
        precision: str,
    ) -> Self:
        given = {"batch_size": batch_size, "batch_elements": batch_elements, "precision": precision}
        settings = parse_config(ExtractionConfig, given, "features")
        component = _find_backbone(backbone)
        try:
            rows = read_rows(data, catalog(), "the data", reader=reader)
        except InvalidRows as error:
            raise InvalidRows(error.rows, error.reasons, FIX_ADVICE) from None
        if not len(rows):
            raise EmptyData(rows.source)
        if inputs is None and isinstance(component, ResolvedComponent) and component.base is not None:
            inputs = read_manifest(component.base).recipe.data.columns
        columns = match_columns(inputs, _description(component), rows, ())
        component = _fit_config(component, columns)
        return cls(component, rows, columns, _choose_layout(layout, component), settings)

    @contextmanager
    def started(self, device: str | None, reporter: ProgressReporter) -> Iterator[WindowedExtraction]:
        """Build the backbone on a device, in eval mode; at the end report notes. An object gets its modes back."""
        component = self.component
        backbone = component.value if isinstance(component, GivenObject) else build_backbone(component)[0]
        try:
            if device == "meta":
                raise RuntimeError("it holds no data")
            if device is not None:
                backbone.to(device)
        except (RuntimeError, TypeError, AssertionError) as error:
            raise InvalidDevice(str(device), str(error).splitlines()[0].rstrip(".")) from None
        with restore_modes(backbone):
            windows = WindowedExtraction(backbone.eval(), self.layout, self.rows, self.columns, self.settings, reporter)
            yield windows
        report_notes(reporter, windows.notes, self.rows, "rows")


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
    """Let the backbone fix the settings that depend on which input columns exist, without access to their values."""
    if isinstance(component, GivenObject) or component.base is not None or component.spec.fit_config is None:
        return component
    names = _ColumnNames(component.label, columns)
    return replace(component, config=component.spec.fit_config(component.config, names))


class _ColumnNames(Mapping[str, Sequence[Any]]):
    """Input columns whose values cannot be read: there is no training split to fit anything to."""

    def __init__(self, backbone: str, names: Mapping[str, str]):
        self._backbone, self._names = backbone, names

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Sequence[Any]:
        raise InferenceError(
            f"'{self._backbone}' fits its preprocessing to the training rows, so it has no features before a fit. "
            "Fit and save a model with it, then name the artifact as the backbone."
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
