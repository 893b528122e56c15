"""What taskgraft-protein provides. Start reading here; no model code is imported."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import (
    BackboneDescription,
    BackboneSpec,
    BaselineSpec,
    Columns,
    ElementCounts,
    EmptyConfig,
    Example,
    HeadSpec,
    MetricFunction,
    MetricSpec,
    ReaderSpec,
    SplitSpec,
    TargetKind,
    hookimpl,
)
from taskgraft_protein.baseline_settings import (
    OneHotRidgeConfig,
    OneHotRidgeState,
    OneHotWindowConfig,
    OneHotWindowState,
)
from taskgraft_protein.contact_settings import ContactMapConfig, describe_contact_map
from taskgraft_protein.data_settings import SUFFIXES, FastaConfig, ResidueLabelsConfig, SequenceIdentityConfig
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions, Rows
    from taskgraft_protein.backbone import ProteinBackbone
    from taskgraft_protein.contact_map import ContactMap

TASKGRAFT_CONTRACT = "1.0"

SEQUENCES = {"sequence": ["MKVLA", "GGSAP", "MKK", "PGSGALVW"]}


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the protein backbones."""
    yield BackboneSpec(
        name="protein",
        summary="any protein language model of the transformers library: ESM, ProtBERT, ProtT5, Ankh",
        config=ProteinConfig,
        describe=_describe,
        build=_build,
        build_on_meta=_build_on_meta,
        example=Example(rows=SEQUENCES),
    )
    yield BackboneSpec(
        name="new-esm",
        summary="an ESM-2 of any size with random weights, for pretraining with masked-elements",
        config=NewEsmConfig,
        describe=_describe_new,
        build=_build,
        build_on_meta=_build_on_meta,
        example=Example({"blocks": 1, "feature_size": 8, "heads": 2}, SEQUENCES),
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads for sequences."""
    yield HeadSpec(
        name="contact-map",
        summary="contact probability of each pair of residues",
        config=ContactMapConfig,
        describe=describe_contact_map,
        build=_contact_map,
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of sequences."""
    yield ReaderSpec(
        name="fasta",
        summary="FASTA; labels from the header, a second FASTA file or a table",
        config=FastaConfig,
        read=_read_fasta,
        read_columns=_read_fasta_columns,
        suffixes=(*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES)),
    )
    yield ReaderSpec(
        name="residue-labels",
        summary="sequences in any file, with one letter per residue as labels",
        config=ResidueLabelsConfig,
        read=_read_residue_labels,
        read_columns=_read_residue_columns,
        suffixes=("",),
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the splits of sequences."""
    yield SplitSpec(
        name="sequence-identity",
        summary="hold out whole clusters of similar sequences, or use a column of parts, checked for duplicates",
        config=SequenceIdentityConfig,
        split=_split_by_identity,
        columns=lambda config: () if config.part is None else (config.part,),
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the metrics of sequences."""
    yield MetricSpec(
        name="contacts",
        summary="precision of the most likely contacts, at long and at medium range",
        config=EmptyConfig,
        targets=frozenset({TargetKind.PAIR_CATEGORIES}),
        build=_contact_precision,
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the baselines for sequences."""
    yield BaselineSpec(
        name="one-hot-window",
        summary="logistic regression over the residues around each residue",
        config=OneHotWindowConfig,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        state=OneHotWindowState,
        fit=_fit_window,
        predict=_predict_window,
    )
    yield BaselineSpec(
        name="one-hot-ridge",
        summary="ridge regression over one-hot residues of aligned sequences, else over k-mer counts",
        config=OneHotRidgeConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        state=OneHotRidgeState,
        fit=_fit_ridge,
        predict=_predict_ridge,
    )


def _describe(config: ProteinConfig) -> BackboneDescription:
    from taskgraft_protein.checkpoint import describe

    return describe(config)  # reads the checkpoint's configuration and vocabulary, never its weights


def _describe_new(config: NewEsmConfig) -> BackboneDescription:
    from taskgraft_protein.checkpoint import describe_new

    return describe_new(config)


def _build(config: ProteinConfig | NewEsmConfig) -> "ProteinBackbone":
    from taskgraft_protein.backbone import ProteinBackbone

    return ProteinBackbone(config)


def _build_on_meta(config: ProteinConfig | NewEsmConfig) -> "ProteinBackbone":
    from taskgraft_protein.backbone import build_on_meta

    return build_on_meta(config)


def _contact_map(config: ContactMapConfig) -> "ContactMap":
    from taskgraft_protein.contact_map import ContactMap

    return ContactMap(config)


def _contact_precision(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft_protein.contacts import contact_precision

    return contact_precision(predictions, truth, columns, config)


def _read_fasta(path: Path, config: FastaConfig) -> "Rows":
    from taskgraft_protein.fasta import read_fasta

    return read_fasta(path, config)


def _read_fasta_columns(path: Path, config: FastaConfig, columns: Collection[str]) -> "Rows":
    from taskgraft_protein.fasta import read_fasta_columns

    return read_fasta_columns(path, config, columns)


def _read_residue_labels(path: Path, config: ResidueLabelsConfig) -> "Rows":
    from taskgraft_protein.residue_labels import read_residue_labels

    return read_residue_labels(path, config)


def _read_residue_columns(path: Path, config: ResidueLabelsConfig, columns: Collection[str]) -> "Rows":
    from taskgraft_protein.residue_labels import read_residue_columns

    return read_residue_columns(path, config, columns)


def _split_by_identity(
    rows: "Rows", targets: Sequence[str], config: SequenceIdentityConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from taskgraft_protein.sequence_identity import split_by_identity

    return split_by_identity(rows, targets, config, seed)


def _fit_window(inputs: Columns, truth: Sequence[Any], config: OneHotWindowConfig) -> OneHotWindowState:
    from taskgraft_protein import one_hot_window

    return one_hot_window.fit(inputs, truth, config)


def _predict_window(
    state: OneHotWindowState, inputs: Columns, elements: ElementCounts, config: OneHotWindowConfig
) -> "Predictions":
    from taskgraft_protein import one_hot_window

    return one_hot_window.predict(state, inputs, elements, config)


def _fit_ridge(inputs: Columns, truth: Sequence[Any], config: OneHotRidgeConfig) -> OneHotRidgeState:
    from taskgraft_protein import one_hot_ridge

    return one_hot_ridge.fit(inputs, truth, config)


def _predict_ridge(
    state: OneHotRidgeState, inputs: Columns, elements: ElementCounts, config: OneHotRidgeConfig
) -> "Predictions":
    from taskgraft_protein import one_hot_ridge

    return one_hot_ridge.predict(state, inputs, elements, config)
