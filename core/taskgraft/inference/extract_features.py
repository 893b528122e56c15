"""Features without a head: what a pretrained backbone makes of each row. For those who want embeddings alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskgraft.adaptation.base_weights import build_backbone
from taskgraft.artifact.artifact import InvalidDevice
from taskgraft.composition.compose import ComponentReference, GivenObject, ResolvedComponent, resolve
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, Rows
from taskgraft.contract.specs import BackboneSpec
from taskgraft.data.dataset import EmptyData, report_notes
from taskgraft.data.preprocessing import match_columns
from taskgraft.data.reading import read_rows
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, closest_match
from taskgraft.inference.feature_files import WHAT, check_feature_file, check_holds, open_feature_file
from taskgraft.inference.feature_windows import ExtractionConfig, WindowedExtraction
from taskgraft.inference.row_features import RaggedFeatures, joined
from taskgraft.progress import ProgressReporter
from taskgraft.storage.atomic_write import OutputError
from taskgraft.storage.manifest import InvalidArtifact, is_artifact, read_artifact


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
    """Compute the features of all rows, in their order.

    Args:
        backbone: a name (``"hf-text:some/checkpoint"``), a dict with the name and settings, an object, or the folder of
            an artifact, whose trained backbone is taken.
        data: a path, ``hub:NAME``, a DataFrame, an Arrow table, a dataset, a list of dicts or a dict of columns.
        inputs: a column, columns in the order of the backbone's inputs, or input → column. Found by name if left out;
            for the backbone of an artifact, those that it was trained on.
        layout: ``"vector"``, ``"sequence"``, …; the backbone's usual one if left out.
        batch_size: rows computed at once.
        batch_elements: elements computed at once, padding counted, where rows differ in length; any number if left out.
        precision: ``"fp32"``, or ``"bf16"`` to multiply in that. Features are float32 in any case.
        device: as torch names it. The processor if left out; an object then stays where it is.
        reader: what reads the files; found by their suffix if left out.
        quiet: show no progress.

    Raises:
        TaskgraftError: for whatever a person can mend.
    """
    told = {"batch_size": batch_size, "batch_elements": batch_elements, "precision": precision}
    settings = parse_config(ExtractionConfig, told, "features")
    wanted, reporter = _wanted(backbone, data, inputs, layout, reader), ProgressReporter(quiet=quiet)
    with _built(wanted.chosen, device) as ready:
        windows = WindowedExtraction(ready, wanted.layout, wanted.rows, wanted.names, settings, reporter)
        found = joined(list(windows.features()))
    report_notes(reporter, windows.notes, wanted.rows, "rows")
    return found


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
    """Compute the features of rows of any number, in their order, into a file.

    A .parquet file has a column ``features`` of fixed-size lists; for sequence, of lists of them. An .npz file has an
    array ``features``; for sequence it holds the elements of all rows, and ``starts`` and ``lengths`` say where those of
    each row stand. A .npy file is that array alone.

    Args:
        output: a .parquet, .npz or .npy file.
        keep: columns of the data to put beside the features.
        overwrite: whether to replace a file that is there.

    The other arguments are those of :func:`extract_features`.

    Raises:
        TaskgraftError: for whatever a person can mend. No file is left then.
    """
    path = Path(output)
    told = {"batch_size": batch_size, "batch_elements": batch_elements, "precision": precision}
    settings = parse_config(ExtractionConfig, told, "features")
    check_feature_file(path, overwrite=overwrite)
    if isinstance(data, str | Path) and path.exists() and Path(data).exists() and path.samefile(data):
        raise OutputError(str(path), "it holds the data; name another file", WHAT)
    wanted, reporter = _wanted(backbone, data, inputs, layout, reader), ProgressReporter(quiet=quiet)
    for column in keep:
        wanted.rows.values(column, 0, 0)  # raises when there is no such column
    kept = wanted.rows.table.select(list(keep))
    check_holds(path, wanted.layout, kept)
    shape: tuple[int, ...] = ()
    with _built(wanted.chosen, device) as ready, open_feature_file(path, kept) as writer:
        windows = WindowedExtraction(ready, wanted.layout, wanted.rows, wanted.names, settings, reporter)
        for some in windows.features():
            writer.write(some)
            shape = some.shape
    report_notes(reporter, windows.notes, wanted.rows, "rows")
    return ExtractionResult(len(wanted.rows), wanted.layout, shape, dict(windows.notes))


# --- what is asked for


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, checked without reading any weight.

    Attributes:
        names: input role → column.
    """

    chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]
    rows: Rows
    names: Mapping[str, str]
    layout: Layout


def _wanted(
    backbone: ComponentReference | Path | Backbone,
    data: Any,
    inputs: Any,
    layout: str | None,
    reader: ComponentReference | None,
) -> _Wanted:
    chosen = _chosen(backbone)
    try:
        rows = read_rows(data, catalog(), "the data", reader=reader)
    except InvalidRows as error:
        raise InvalidRows(error.rows, error.reasons, FIX_ADVICE) from None
    if not len(rows):
        raise EmptyData(rows.source)
    if inputs is None and isinstance(chosen, ResolvedComponent) and chosen.base is not None:
        inputs = read_artifact(chosen.base)[0].recipe.data.columns
    names = match_columns(inputs, _description(chosen), rows, ())
    chosen = _completed(chosen, names)
    return _Wanted(chosen, rows, names, _layout(layout, chosen.label, _description(chosen)))


def _chosen(backbone: ComponentReference | Path | Backbone) -> ResolvedComponent[BackboneSpec] | GivenObject[Backbone]:
    """Find a backbone by name, or that of an artifact by its folder."""
    if isinstance(backbone, Backbone):
        return GivenObject(backbone)
    settings = dict(backbone) if isinstance(backbone, Mapping) else {}
    text = str(backbone) if isinstance(backbone, Path) else settings.get("name", backbone)
    known = (spec.name for spec, _ in catalog().specs(BackboneSpec))
    if not isinstance(text, str) or text in known or not is_artifact(Path(text)):
        return resolve(catalog(), BackboneSpec, text if isinstance(backbone, Path) else backbone)
    trained = read_artifact(Path(text))[0].recipe.backbone
    if trained.name is None:
        raise InvalidArtifact(
            text, f"its backbone was an object of the class {trained.object}; load it, and pass the object"
        )
    return resolve(catalog(), BackboneSpec, settings | {"name": f"{trained.name}:{text}"})


def _completed(
    chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone], names: Mapping[str, str]
) -> ResolvedComponent[BackboneSpec] | GivenObject[Backbone]:
    """Let a backbone decide what hangs on which inputs there are; their values are not for it to learn from."""
    if isinstance(chosen, GivenObject) or chosen.base is not None or chosen.spec.fit_config is None:
        return chosen
    return replace(chosen, config=chosen.spec.fit_config(chosen.config, _NamesAlone(chosen.label, names)))


class _NamesAlone(Mapping[str, Sequence[Any]]):
    """Inputs of which the names can be asked for, and nothing else."""

    def __init__(self, label: str, names: Mapping[str, str]):
        self._label, self._names = label, names

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Sequence[Any]:
        raise BackboneNeedsFit(self._label)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _description(chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]) -> BackboneDescription:
    return chosen.value.description if isinstance(chosen, GivenObject) else chosen.spec.describe(chosen.config)


def _layout(wanted: str | None, label: str, description: BackboneDescription) -> Layout:
    emitted = tuple(feature.layout for feature in description.features if feature.layout != Layout.PYRAMID)
    if wanted is None and emitted:
        return emitted[0]
    if wanted not in emitted:
        raise NoSuchLayout(label, str(wanted), emitted)
    return Layout(wanted)


@contextmanager
def _built(chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone], device: str | None) -> Iterator[Backbone]:
    """Make a backbone ready to compute. One that was passed as an object is afterwards in the modes it was in."""
    backbone = chosen.value if isinstance(chosen, GivenObject) else build_backbone(chosen)[0]
    try:
        if device == "meta":
            raise RuntimeError("it holds no data")
        if device is not None:
            backbone.to(device)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise InvalidDevice(str(device), str(error).splitlines()[0].rstrip(".")) from None
    modes = [(module, module.training) for module in backbone.modules()]
    try:
        yield backbone.eval()
    finally:
        for module, training in modes:
            module.training = training


# --- errors


@dataclass(eq=False)
class NoSuchLayout(TaskgraftError):
    """A layout of which there are no features to be had."""

    backbone: str
    layout: str
    emitted: tuple[Layout, ...]

    def __str__(self) -> str:
        if self.layout == Layout.PYRAMID:
            problem = "pyramid features are several arrays per row, which are not written"
        else:
            problem = f"there are no {self.layout} features of '{self.backbone}'"
        near = closest_match(self.layout, self.emitted)
        meant = f" Did you mean {near}?" if near else ""
        return f"{problem[0].upper()}{problem[1:]}.{meant} Ask for {' or '.join(self.emitted) or 'those of another backbone'}."


@dataclass(eq=False)
class BackboneNeedsFit(TaskgraftError):
    """Features of a backbone that reads nothing before a fit."""

    backbone: str

    def __str__(self) -> str:
        return (
            f"'{self.backbone}' learns from the training rows of a fit how to read rows, so it has no features before one. "
            "Fit a model with it, save that, and name the artifact as the backbone."
        )
