"""Arguments and options that several commands share, and how their values are read."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskgraft.cli.errors import CliError
from taskgraft.terminal import write_line

if TYPE_CHECKING:
    from taskgraft.model.task_model import TaskModel
    from taskgraft.recipe import Recipe

RecipeArgument = Annotated[
    Path, typer.Argument(help="A .toml, .yaml or .json recipe, or an artifact's folder.", show_default=False)
]
ArtifactArgument = Annotated[Path, typer.Argument(help="The folder of a fitted model.", show_default=False)]
DataArgument = Annotated[
    str, typer.Argument(help="A file or folder of rows, hub:NAME, or - for standard input.", show_default=False)
]

InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA",
        help="A file or folder of rows, hub:NAME, a text, input files or a pattern of them, or - for standard input.",
        show_default=False,
    ),
]
TextsOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="A text itself, even if it looks like a path; repeatable."),
]
ReaderOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Reader of the data: csv, lines, …, or {name: csv, settings}.")
]
DataSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="data.KEY=VALUE", help="How these data are read: data.inputs=message; repeatable."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: training.epochs=5; repeatable."),
]
SeedsOption = Annotated[
    int, typer.Option(min=1, help="Repeat with this many seeds; report mean and standard deviation.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
KeepOption = Annotated[str, typer.Option(help="Columns of the data to copy to the output, separated by commas.")]
BatchSizeOption = Annotated[int | None, typer.Option(help="Rows per batch; that of training by default.")]
BaseOption = Annotated[
    str | None,
    typer.Option("--backbone", metavar="PATH", help="Where the base of the artifact is, if it has moved."),
]
DeviceOption = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda, cuda:1, mps, …")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and notes on standard error.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def command_line(context: typer.Context, option: str = "") -> str:
    """Return the command as it was typed, with an option added if it lacks it."""
    arguments: list[str] = context.find_root().obj or []
    return shlex.join(["taskgraft", *arguments, *([option] if option and option not in arguments else [])])


def load_artifact(artifact: Path, device: str, base: str | None = None) -> "TaskModel":
    """Load an artifact on a device.

    Args:
        base: where its base is, if it has moved.

    Raises:
        InvalidArtifact, InvalidDevice: as :func:`taskgraft.load` does.
    """
    from taskgraft.storage.manifest import read_manifest

    read_manifest(artifact)  # reports a missing or damaged one before torch is imported
    from taskgraft.model.compose import load

    reference = None if base is None else parse_reference(base, "backbone")
    return load(artifact, backbone=reference, device=resolve_device(device))


def read_fit_recipe(path: Path, overrides: Sequence[str], backbone: str | None) -> "Recipe":
    """Read a recipe, or that of an artifact, with overrides and another backbone.

    Args:
        backbone: a name, or a name with settings in one line; for an artifact also the path of its base, if it has moved.
    """
    from taskgraft.recipes.files import read_recipe

    return read_recipe(path, overrides, None if backbone is None else parse_reference(backbone, "backbone"))


def is_base_of(path: Path, backbones: Sequence[Any]) -> bool:
    """Say whether a single backbone that was named is the one of an artifact at another path."""
    from taskgraft.discovery.catalog import catalog
    from taskgraft.storage.component_paths import with_base_at
    from taskgraft.storage.manifest import is_artifact, read_manifest

    if len(backbones) != 1 or not isinstance(backbones[0], str) or not is_artifact(path):
        return False
    return with_base_at(read_manifest(path), path, backbones[0], catalog()) is not None


def resolve_device(device: str) -> str:
    """Return the accelerator, or the CPU if there is none, for ``auto``; any other device as it is."""
    import torch

    if device != "auto":
        return device

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator is None else accelerator.type


def data_settings(artifact: Path, reader: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Return settings of the data to predict for or to evaluate, from ``--reader`` and ``--set data.KEY=VALUE``.

    Raises:
        ConfigError: for an override of anything else.
    """
    from taskgraft.recipes.overrides import apply_override, override_error
    from taskgraft.storage.manifest import read_manifest

    data: dict[str, Any] = {} if reader is None else {"reader": parse_reference(reader, "reader")}
    if reader is None and any(text.lstrip().startswith("data.reader.") for text in overrides):
        fitted = read_manifest(artifact).recipe.data.reader
        if fitted is None:
            raise override_error(next(iter(overrides)), "name the reader as well: --reader NAME.")
        data["reader"] = fitted.model_dump(exclude_defaults=True)
    document: dict[str, Any] = {"data": data}
    for text in overrides:
        if not text.lstrip().startswith("data."):
            raise override_error(text, "only settings of the data can be changed after the fit: data.KEY=VALUE.")
        apply_override(document, text)
    return dict(document["data"])


def input_data(names: Sequence[str], texts: Sequence[str], *, quiet: bool) -> Any:
    """Return what the arguments DATA and the options ``--text`` name, as the data of a prediction.

    Raises:
        CliError: when nothing is named, or too much.
    """
    from taskgraft.inputs.input_files import InputFiles, InputTexts
    from taskgraft.inputs.standard_input import StandardInput
    from taskgraft.progress import ProgressReporter

    if not names and not texts:
        raise CliError("Name the data: a file or folder, a pattern, a text (--text), or - for standard input.")
    if (names and texts) or ("-" in names and len(names) > 1):
        raise CliError("Give either DATA, --text, or - for standard input, not several of them.")
    if texts:
        return InputTexts(tuple(texts))
    if list(names) == ["-"]:
        if sys.stdin.isatty():
            write_line("Reading rows from the terminal; end with Ctrl-D.")
        return StandardInput(sys.stdin.buffer, ProgressReporter(quiet=quiet))
    return names[0] if len(names) == 1 else InputFiles(tuple(names))


def split_names(text: str) -> tuple[str, ...]:
    """Split a list of names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_reference(text: str, axis: str) -> Any:
    """Read a name, or a name with settings, written in one line of YAML, JSON or TOML: ``{name: full, learning_rate: 1e-4}``.

    Raises:
        ConfigError: when the settings are not valid YAML.
    """
    from taskgraft.contract.config import ConfigError
    from taskgraft.recipes.strict_toml import read_toml
    from taskgraft.recipes.strict_yaml import InvalidDocument, TooLarge, read_yaml

    if not text.lstrip().startswith("{"):
        return text
    try:
        return read_toml(f"value = {text}")["value"]  # as messages write settings: {name = "csv", encoding = "cp1252"}
    except TooLarge as error:
        raise ConfigError(axis, (f"{text!r:.60} cannot be read: {error.problem}",)) from None
    except InvalidDocument:
        pass
    try:
        return read_yaml(text)
    except InvalidDocument as error:
        raise ConfigError(axis, (f"{text!r:.60} cannot be read: {error.problem}",)) from None


def parse_json_reference(text: str, option: str) -> Any:
    """Read a name, or a dict of ``name`` and settings written as JSON.

    Args:
        option: for the message of an error.

    Raises:
        ConfigError: when the settings are not valid JSON.
    """
    from taskgraft.contract.config import ConfigError
    from taskgraft.files.json_text import parse_json

    if not text.lstrip().startswith("{"):
        return text
    try:
        return parse_json(text)
    except ValueError as error:
        raise ConfigError(option, (f"{text!r:.60} is not valid JSON: {error}.",)) from None
