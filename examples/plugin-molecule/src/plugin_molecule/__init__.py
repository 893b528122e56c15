"""What plugin-molecule provides. Importing it imports neither torch, RDKit nor scikit-learn."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskgraft.plugin import BackboneSpec, BaselineSpec, Columns, ElementCounts, SplitSpec, TargetKind, hookimpl

from plugin_molecule.settings import MorganForestConfig, ScaffoldConfig, SmilesTransformerConfig, describe

if TYPE_CHECKING:
    from taskgraft.plugin import Predictions, Rows

    from plugin_molecule.backbone import SmilesTransformer
    from plugin_molecule.forest import Forest

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the backbones of molecules."""
    yield BackboneSpec(
        name="smiles-transformer",
        summary="a transformer over SMILES, of any size, with random weights; masked-elements can pretrain it",
        config=SmilesTransformerConfig,
        describe=describe,
        build=_build,
        fit_config=_fit_config,
    )


@hookimpl
def taskgraft_splits() -> Iterable[SplitSpec]:
    """List the splits of molecules."""
    yield SplitSpec(
        name="scaffold",
        summary="hold out whole Bemis-Murcko scaffolds, as MoleculeNet does",
        config=ScaffoldConfig,
        split=_split_by_scaffold,
    )


@hookimpl
def taskgraft_baselines() -> Iterable[BaselineSpec]:
    """List the baselines of molecules."""
    yield BaselineSpec(
        name="morgan-forest",
        summary="a random forest over Morgan fingerprints",
        config=MorganForestConfig,
        targets=frozenset({TargetKind.NUMBERS, TargetKind.CATEGORY, TargetKind.CATEGORIES}),
        fit=_fit_forest,
        predict=_predict_forest,
    )


def _build(config: SmilesTransformerConfig) -> "SmilesTransformer":
    from plugin_molecule.backbone import SmilesTransformer

    return SmilesTransformer(config)


def _fit_config(config: SmilesTransformerConfig, inputs: Columns) -> SmilesTransformerConfig:
    from plugin_molecule.tokens import fit_config

    return fit_config(config, inputs)


def _split_by_scaffold(
    rows: "Rows", targets: Sequence[str], config: ScaffoldConfig, seed: int
) -> Mapping[str, Sequence[int]]:
    from plugin_molecule.scaffold import split_by_scaffold

    return split_by_scaffold(rows, targets, config, seed)


def _fit_forest(inputs: Columns, targets: Sequence[Any], config: MorganForestConfig) -> "Forest":
    from plugin_molecule.forest import fit

    return fit(inputs, targets, config)


def _predict_forest(
    forest: "Forest", inputs: Columns, elements: ElementCounts, config: MorganForestConfig
) -> "Predictions":
    from plugin_molecule.forest import predict

    return predict(forest, inputs, elements, config)
