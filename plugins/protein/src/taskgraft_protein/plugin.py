"""What taskgraft-protein provides. Start reading here; no model code is imported."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskgraft.description import BackboneDescription
from taskgraft.hook import hookimpl
from taskgraft.spec import BackboneSpec
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig

if TYPE_CHECKING:
    from taskgraft_protein.backbone import ProteinBackbone

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the protein backbones."""
    yield BackboneSpec(
        name="protein",
        summary="any protein language model of the transformers library: ESM, ProtBERT, ProtT5, Ankh",
        config=ProteinConfig,
        describe=_describe,
        build=_protein,
    )
    yield BackboneSpec(
        name="new-esm",
        summary="an ESM-2 of any size with random weights, to be pretrained by masked-elements",
        config=NewEsmConfig,
        describe=_describe_new,
        build=_protein,
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
