"""The specs of the table backbones. Builders import torch and the model's library only when called."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from taskgraft.plugin import BackboneSpec, Columns, Example
from taskgraft_fraud import description, settings

if TYPE_CHECKING:
    from taskgraft_fraud.backbone import TableBackbone

EXAMPLE = Example(rows={"amount": [3.5, 80.0, 1.0, 12.25], "shop": ["books", "food", "food", "books"]})


def backbone_specs() -> Iterable[BackboneSpec]:
    """List the table backbones."""
    yield BackboneSpec(
        name="ft-transformer",
        summary="a Transformer over the columns of a table",
        config=settings.FTTransformerConfig,
        describe=description.describe_ft_transformer,
        build=_ft_transformer,
        build_on_meta=partial(_build_on_meta, _ft_transformer),
        fit_config=_fit_ft_transformer_config,
        example=EXAMPLE,
    )
    yield BackboneSpec(
        name="tabular-resnet",
        summary="a residual network over a table",
        config=settings.TabularResNetConfig,
        describe=description.describe_tabular_resnet,
        build=_tabular_resnet,
        build_on_meta=partial(_build_on_meta, _tabular_resnet),
        fit_config=_fit_config,
        example=EXAMPLE,
    )
    yield BackboneSpec(
        name="mlp-plr",
        summary="a multilayer perceptron over periodic embeddings of a table's numbers",
        config=settings.MlpPlrConfig,
        describe=description.describe_mlp_plr,
        build=_mlp_plr,
        build_on_meta=partial(_build_on_meta, _mlp_plr),
        fit_config=_fit_config,
        example=EXAMPLE,
    )
    yield BackboneSpec(
        name="tabm",
        summary="an ensemble of multilayer perceptrons over a table, trained as one",
        config=settings.TabMConfig,
        describe=description.describe_tabm,
        build=_tabm,
        build_on_meta=partial(_build_on_meta, _tabm),
        fit_config=_fit_config,
        example=EXAMPLE,
    )


def _fit_config(config: settings.AnyTable, inputs: Columns) -> settings.AnyTable:
    from taskgraft_fraud.columns import fit_config

    return fit_config(config, inputs)


def _fit_ft_transformer_config(config: settings.FTTransformerConfig, inputs: Columns) -> settings.FTTransformerConfig:
    from taskgraft_fraud.columns import fit_config

    return fit_config(config, inputs, signs=config.hides)


def _build_on_meta(build: Callable[[settings.AnyTable], "TableBackbone"], config: settings.AnyTable) -> "TableBackbone":
    import torch

    from taskgraft_fraud.backbone import with_placeholder_columns

    with torch.device("meta"):
        return build(with_placeholder_columns(config))


def _ft_transformer(config: settings.FTTransformerConfig) -> "TableBackbone":
    from taskgraft_fraud.ft_transformer import build

    return _limited(build, config)


def _tabular_resnet(config: settings.TabularResNetConfig) -> "TableBackbone":
    from taskgraft_fraud.tabular_resnet import build

    return _limited(build, config)


def _mlp_plr(config: settings.MlpPlrConfig) -> "TableBackbone":
    from taskgraft_fraud.mlp_plr import build

    return _limited(build, config)


def _tabm(config: settings.TabMConfig) -> "TableBackbone":
    from taskgraft_fraud.tabm_backbone import build

    return _limited(build, config)


def _limited(build: Callable[[settings.AnyTable], "TableBackbone"], config: settings.AnyTable) -> "TableBackbone":
    from taskgraft.plugin import build_limited

    return build_limited("The table model", lambda: build(config))
