"""``taskgraft predict``: predictions for a file, into a file or the terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.terminal import data_stream, write_line


def predict_command(
    artifact: options.ArtifactArgument,
    data: options.InputsArgument = None,
    texts: options.TextsOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .csv, .jsonl or .parquet file; CSV in the terminal by default."),
    ] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add the probability of every class.")] = False,
    top: Annotated[int | None, typer.Option(min=1, metavar="K", help="Add the k most likely classes.")] = None,
    keep: options.KeepOption = "",
    on_bad_row: Annotated[
        str,
        typer.Option(
            metavar="error|skip|null",
            help="Invalid rows: list them and stop; leave them out; or write them without a prediction, with the reason.",
        ),
    ] = "error",
    reader: options.ReaderOption = None,
    overrides: options.DataSetOption = None,
    overwrite: options.OverwriteOption = False,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas", help="Put an apostrophe before texts that a spreadsheet would run as formulas (=1+1)."
        ),
    ] = False,
    batch_size: options.BatchSizeOption = None,
    base: options.BaseOption = None,
    device: options.DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="In the terminal: JSON lines instead of CSV.")] = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Predict and write.

    Raises:
        OutputError: before anything is loaded, when the file could not be written in the end.
    """
    from taskgraft.cli.column_checks import check_artifact_columns

    settings = options.data_settings(artifact, reader, overrides or ())
    if len(data or ()) == 1 and not texts:
        check_artifact_columns(artifact, data, settings, target=False, keep=options.split_names(keep))
    source = options.input_data(data or (), texts or (), quiet=quiet)
    if output is not None:
        from taskgraft.inference.writers import check_output

        check_output(output, "predictions", overwrite=overwrite, data=source)
    rows = options.load_artifact(artifact, device, base).predict_to(
        source,
        data_stream(sys.stdout) if output is None else output,
        form="jsonl" if as_json else "csv",
        probabilities=probabilities,
        top=top,
        keep=options.split_names(keep),
        overwrite=overwrite,
        escape_formulas=escape_formulas,
        on_bad_row=on_bad_row,
        settings=settings,
        batch_size=batch_size,
        quiet=quiet,
    )
    if output is not None and not quiet:
        write_line(f"{rows:,} prediction{' is' if rows == 1 else 's are'} in {output}.")
