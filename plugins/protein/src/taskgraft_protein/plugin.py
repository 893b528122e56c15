"""What taskgraft-protein provides. Start reading here; no model code is imported."""

from collections.abc import Iterable, Mapping, Sequence
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
    OneHotRidgeLearned,
    OneHotWindowConfig,
    OneHotWindowLearned,
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
        build=_protein,
        build_on_meta=_sketch,
        example=Example(rows=SEQUENCES),
    )
    yield BackboneSpec(
        name="new-esm",
        summary="an ESM-2 of any size with random weights, to be pretrained by masked-elements",
        config=NewEsmConfig,
        describe=_describe_new,
        build=_protein,
        build_on_meta=_sketch,
        example=Example({"blocks": 1, "feature_size": 8, "heads": 2}, SEQUENCES),
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads of sequences."""
    yield HeadSpec(
        name="contact-map",
        summary="the probability that two residues touch, for each pair",
        config=ContactMapConfig,
        describe=describe_contact_map,
        build=_contact_map,
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of sequences."""
    yield ReaderSpec(
        name="fasta",
        summary="FASTA; labels from the header, from a second FASTA file or from a table",
        config=FastaConfig,
        read=_read_fasta,
        suffixes=(*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES)),
    )
    yield ReaderSpec(
        name="residue-labels",
        summary="sequences of any file, with a text of one letter per residue as their labels",
        config=ResidueLabelsConfig,
        read=_read_residue_labels,
        suffixes=("",),
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the splits of sequences."""
    yield SplitSpec(
        name="sequence-identity",
        summary="hold out whole clusters of like sequences, or take the parts of a column and check them",
        config=SequenceIdentityConfig,
        split=_by_identity,
        columns=lambda config: () if config.part is None else (config.part,),
    )


@hookimpl
def taskgraft_metrics() -> Iterable[MetricSpec]:
    """List the metrics of sequences."""
    yield MetricSpec(
        name="contacts",
        summary="precision of the likeliest contacts, at a long and at a medium distance",
        config=EmptyConfig,
        targets=frozenset({TargetKind.PAIR_CATEGORIES}),
        build=_contacts,
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the baselines of sequences."""
    yield BaselineSpec(
        name="one-hot-window",
        summary="logistic regression over the residues around each residue",
        config=OneHotWindowConfig,
        targets=frozenset({TargetKind.ELEMENT_CATEGORIES}),
        state=OneHotWindowLearned,
        fit=_learn_window,
        predict=_predict_window,
    )
    yield BaselineSpec(
        name="one-hot-ridge",
        summary="ridge regression over one-hot residues of aligned sequences, else over counts of words",
        config=OneHotRidgeConfig,
        targets=frozenset({TargetKind.NUMBERS}),
        state=OneHotRidgeLearned,
        fit=_learn_ridge,
        predict=_predict_ridge,
    )


def _describe(config: ProteinConfig) -> BackboneDescription:
    from taskgraft_protein.checkpoint import describe

    return describe(config)  # reads the checkpoint's configuration and vocabulary, never its weights


def _describe_new(config: NewEsmConfig) -> BackboneDescription:
    from taskgraft_protein.checkpoint import describe_new

    return describe_new(config)


def _protein(config: ProteinConfig | NewEsmConfig) -> "ProteinBackbone":
    from taskgraft_protein.backbone import ProteinBackbone

    return ProteinBackbone(config)


def _sketch(config: ProteinConfig | NewEsmConfig) -> "ProteinBackbone":
    from taskgraft_protein.backbone import sketch

    return sketch(config)


def _contact_map(config: ContactMapConfig) -> "ContactMap":
    from taskgraft_protein.contact_map import ContactMap

    return ContactMap(config)


def _contacts(
    predictions: "Predictions", truth: Sequence[Any], columns: Columns, config: EmptyConfig
) -> MetricFunction:
    from taskgraft_protein.contacts import contacts

    return contacts(predictions, truth, columns, config)


def _read_fasta(path: Path, config: FastaConfig) -> "Rows":
    from taskgraft_protein.fasta import read_fasta

    return read_fasta(path, config)


def _read_residue_labels(path: Path, config: ResidueLabelsConfig) -> "Rows":
    from taskgraft_protein.residue_labels import read_residue_labels

    return read_residue_labels(path, config)


def _by_identity(
    rows: "Rows", targets: Sequence[str], config: SequenceIdentityConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from taskgraft_protein.sequence_identity import by_identity

    return by_identity(rows, targets, config, seed)


def _learn_window(inputs: Columns, truth: Sequence[Any], config: OneHotWindowConfig) -> OneHotWindowLearned:
    from taskgraft_protein import one_hot_window

    return one_hot_window.learn(inputs, truth, config)


def _predict_window(
    learned: OneHotWindowLearned, inputs: Columns, elements: ElementCounts, config: OneHotWindowConfig
) -> "Predictions":
    from taskgraft_protein import one_hot_window

    return one_hot_window.predict(learned, inputs, elements, config)


def _learn_ridge(inputs: Columns, truth: Sequence[Any], config: OneHotRidgeConfig) -> OneHotRidgeLearned:
    from taskgraft_protein import one_hot_ridge

    return one_hot_ridge.learn(inputs, truth, config)


def _predict_ridge(
    learned: OneHotRidgeLearned, inputs: Columns, elements: ElementCounts, config: OneHotRidgeConfig
) -> "Predictions":
    from taskgraft_protein import one_hot_ridge

    return one_hot_ridge.predict(learned, inputs, elements, config)
