"""``taskgraft features``: a backbone's features for the rows of a file, into a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from taskgraft.cli import options
from taskgraft.cli.console import print_json
from taskgraft.cli.errors import CliError
from taskgraft.recipes.overrides import apply_override, override_error
from taskgraft.terminal import write_line


def features_command(
    backbone: Annotated[
        str,
        typer.Argument(help="A backbone as in a recipe: hf-text:CHECKPOINT, …; or an artifact.", show_default=False),
    ],
    data: options.InputsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .parquet, .npz or .npy file.", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the backbone; repeatable."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="PART", help="The last part of the backbone to run; all by default.")
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="How to pool a row's vectors: mean, cls, …; the backbone's own way by default.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="vector, sequence, …; the backbone's first one by default.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="COLUMN", help="A column to read, in the order of the inputs; repeatable."),
    ] = None,
    keep: options.KeepOption = "",
    reader: options.ReaderOption = None,
    on_bad_row: Annotated[
        str, typer.Option(metavar="error|skip", help="Invalid rows: list them and stop, or leave them out.")
    ] = "error",
    precision: Annotated[str, typer.Option(help="Precision of matrix products: fp32 or bf16.")] = "fp32",
    batch_size: Annotated[int, typer.Option(help="Rows per batch.")] = 32,
    batch_elements: Annotated[
        int | None, typer.Option(help="Limit of elements per batch, padding included; none by default.")
    ] = None,
    base: options.BaseOption = None,
    device: options.DeviceOption = "auto",
    overwrite: options.OverwriteOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Extract features, write them, and report what was written."""
    settings = ({} if base is None else _base_settings(backbone, base)) | {"until": until, "pooling": pooling}
    reference = _with_settings(backbone, overrides or [], settings)
    from taskgraft.inference.extract_features import extract_features_to

    result = extract_features_to(
        reference,
        options.input_data(data or (), (), quiet=quiet),
        output,
        inputs=inputs or None,
        layout=layout,
        keep=options.split_names(keep),
        on_bad_row=on_bad_row,
        reader=None if reader is None else options.parse_reference(reader, "reader"),
        overwrite=overwrite,
        batch_size=batch_size,
        batch_elements=batch_elements,
        precision=precision,
        device=options.resolve_device(device),
        quiet=quiet,
    )
    if as_json:
        facts = {"output": str(output), "rows": result.rows, "layout": str(result.layout)}
        print_json(facts | {"shape": list(result.shape), "notes": dict(result.notes)})
    elif not quiet:
        shape = " × ".join(map(str, result.shape))
        layout_name = str(result.layout).capitalize()
        write_line(f"{layout_name} features ({shape}) of {result.rows:,} rows are in {output}.")


def _base_settings(backbone: str, base: str) -> dict[str, Any]:
    """Return the settings of an artifact's backbone that another path of its base changes.

    Raises:
        CliError: when the backbone is not an artifact, or the path is not that of its base.
    """
    from taskgraft.discovery.catalog import catalog
    from taskgraft.storage.component_paths import located_recipe, with_base_at
    from taskgraft.storage.manifest import is_artifact, read_manifest

    folder = next(
        (Path(text) for text in (backbone, backbone.partition(":")[2]) if text and is_artifact(Path(text))), None
    )
    if folder is None:
        raise CliError(
            f"--backbone says where the base of an artifact is, but '{backbone}' is not an artifact. Leave it out."
        )
    manifest = read_manifest(folder)
    moved = with_base_at(manifest, folder, base, catalog())
    if moved is None:
        raise CliError(f"'{base}' is not the base of the artifact {folder}. Give the path of its base.")
    before = located_recipe(manifest, folder).backbone.settings
    return {key: value for key, value in moved.backbone.settings.items() if before.get(key) != value}


def _with_settings(backbone: str, overrides: Sequence[str], settings: Mapping[str, Any]) -> str | dict[str, Any]:
    """Return a reference to a backbone with ``KEY=VALUE`` overrides and those settings that are not None."""
    document: dict[str, Any] = {"backbone": backbone}
    for text in overrides:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise override_error(text, "it is not written KEY=VALUE.")
        apply_override(document, f"backbone.{text.lstrip()}")
    reference: str | dict[str, Any] = document["backbone"]
    given = {key: value for key, value in settings.items() if value is not None}
    if not given:
        return reference
    return ({"name": reference} if isinstance(reference, str) else reference) | given
