"""What plugin-series provides. Importing it imports neither torch nor transformers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskgraft.plugin import BackboneDescription, BackboneSpec, Columns, Example, ReaderSpec, hookimpl

from plugin_series.long_table import read_long_table
from plugin_series.settings import LongTableConfig, PatchTSTSettings

if TYPE_CHECKING:
    from plugin_series.backbone import PatchTST

TASKGRAFT_CONTRACT = "1.1"

_SERIES = [[((step * step) % (7 + row)) - 3.0 for step in range(length)] for row, length in enumerate((40, 64, 90, 25))]


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the backbones of time series."""
    yield BackboneSpec(
        name="patchtst",
        summary="PatchTST of the transformers library over the last values of time series",
        config=PatchTSTSettings,
        describe=_describe,
        build=_build,
        fit_config=_fit_config,
        example=Example(
            {"context_length": 64, "patch_length": 8, "feature_size": 16, "heads": 2, "blocks": 2}, {"series": _SERIES}
        ),
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of time series."""
    yield ReaderSpec(
        name="long-table",
        summary="a table with a line per measurement → a row per series",
        config=LongTableConfig,
        read=read_long_table,
        suffixes=("",),
    )


def _describe(config: PatchTSTSettings) -> BackboneDescription:
    from plugin_series.structure import describe

    return describe(config)


def _build(config: PatchTSTSettings) -> "PatchTST":
    from plugin_series.backbone import PatchTST

    return PatchTST(config)


def _fit_config(config: PatchTSTSettings, inputs: Columns) -> PatchTSTSettings:
    from plugin_series.processor import fit_config

    return fit_config(config, inputs)
