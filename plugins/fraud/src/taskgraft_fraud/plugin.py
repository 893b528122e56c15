"""What taskgraft-fraud provides. Start reading here; no model code is imported."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskgraft.hook import hookimpl
from taskgraft.spec import BackboneSpec, Columns, HeadSpec
from taskgraft_fraud import description, settings
from taskgraft_fraud.fraud_settings import FraudConfig, describe_fraud

if TYPE_CHECKING:
    from taskgraft_fraud.backbone import TableBackbone
    from taskgraft_fraud.fraud import Fraud

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the table backbones."""
    yield BackboneSpec(
        name="ft-transformer",
        summary="a Transformer over the columns of a table",
        config=settings.FTTransformerConfig,
        describe=description.describe_ft_transformer,
        build=_ft_transformer,
        learn=_learn_signs,
    )
    yield BackboneSpec(
        name="tabular-resnet",
        summary="a residual network over a table",
        config=settings.TabularResNetConfig,
        describe=description.describe_tabular_resnet,
        build=_tabular_resnet,
        learn=_learn,
    )
    yield BackboneSpec(
        name="mlp-plr",
        summary="a multilayer perceptron over periodic embeddings of a table's numbers",
        config=settings.MlpPlrConfig,
        describe=description.describe_mlp_plr,
        build=_mlp_plr,
        learn=_learn,
    )
    yield BackboneSpec(
        name="tabm",
        summary="an ensemble of multilayer perceptrons over a table, trained as one",
        config=settings.TabMConfig,
        describe=description.describe_tabm,
        build=_tabm,
        learn=_learn,
    )


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads."""
    yield HeadSpec(
        name="fraud",
        summary="a rare yes or no: a calibrated probability, and alerts by what mistakes cost or how many can be reviewed",
        config=FraudConfig,
        describe=describe_fraud,
        build=_fraud,
    )


def _learn(config: settings.AnyTable, inputs: Columns) -> settings.AnyTable:
    from taskgraft_fraud.columns import learn

    return learn(config, inputs)


def _learn_signs(config: settings.FTTransformerConfig, inputs: Columns) -> settings.FTTransformerConfig:
    from taskgraft_fraud.columns import learn

    return learn(config, inputs, signs=config.hides)


def _ft_transformer(config: settings.FTTransformerConfig) -> "TableBackbone":
    from taskgraft_fraud.ft_transformer import build

    return build(config)


def _tabular_resnet(config: settings.TabularResNetConfig) -> "TableBackbone":
    from taskgraft_fraud.tabular_resnet import build

    return build(config)


def _mlp_plr(config: settings.MlpPlrConfig) -> "TableBackbone":
    from taskgraft_fraud.mlp_plr import build

    return build(config)


def _tabm(config: settings.TabMConfig) -> "TableBackbone":
    from taskgraft_fraud.tabm_backbone import build

    return build(config)


def _fraud(config: FraudConfig) -> "Fraud":
    from taskgraft_fraud.fraud import Fraud

    return Fraud(config)
