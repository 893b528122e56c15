"""What plugin-audio provides. Importing it imports neither torch nor scipy."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskgraft.plugin import BackboneSpec, EmptyConfig, Example, ReaderSpec, hookimpl

from plugin_audio.folder import PATTERNS, read_columns, read_folder
from plugin_audio.settings import MelNetworkConfig, describe

if TYPE_CHECKING:
    from plugin_audio.backbone import MelNetwork

TASKGRAFT_CONTRACT = "1.1"

_EXAMPLE_LENGTHS = (1_200, 2_000, 1_500, 2_800)
"""Samples of the example's sounds, at 16 kHz."""


@hookimpl
def taskgraft_backbones() -> Iterable[BackboneSpec]:
    """List the backbones of sound."""
    sounds = [[((step * step) % (31 + row)) / 31 - 0.5 for step in range(n)] for row, n in enumerate(_EXAMPLE_LENGTHS)]
    yield BackboneSpec(
        name="mel-network",
        summary="convolutions and attention over the log-mel spectrogram of a sound",
        config=MelNetworkConfig,
        describe=describe,
        build=_build,
        example=Example({"feature_size": 16, "heads": 2}, {"audio": sounds}),
    )


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of sound."""
    yield ReaderSpec(
        name="wav-folder",
        summary="a folder of WAV files with one subfolder per label",
        config=EmptyConfig,
        read=read_folder,
        read_columns=read_columns,
        folder_patterns=PATTERNS,
    )


def _build(config: MelNetworkConfig) -> "MelNetwork":
    from plugin_audio.backbone import MelNetwork

    return MelNetwork(config)
