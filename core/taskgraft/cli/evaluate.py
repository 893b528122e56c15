"""``taskgraft evaluate``: how good a fitted model is on labelled rows."""

from pathlib import Path
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import console, print_json


def evaluate_command(
    artifact: options.ArtifactArgument,
    data: options.DataArgument,
    metrics: Annotated[
        str,
        typer.Option(help='Names separated by commas, or {"name": …, settings} as JSON; the head\'s by default.'),
    ] = "",
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline", metavar="NAME", help="Also fit this baseline on the training rows and report it; repeatable."
        ),
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Resample rows that share a value of this column together.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Resamples for the intervals; 0 for no intervals.")] = 1_000,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the figures of the metrics here.")
    ] = None,
    reader: options.ReaderOption = None,
    overrides: options.DataSetOption = None,
    batch_size: options.BatchSizeOption = None,
    base: options.BaseOption = None,
    device: options.DeviceOption = "auto",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Evaluate predictions and print the metrics."""
    settings = options.data_settings(artifact, reader, overrides or ())
    from taskgraft.cli.column_checks import check_artifact_columns, check_metrics

    is_json = metrics.lstrip().startswith("{")
    chosen = [options.parse_json_reference(metrics, "metric")] if is_json else options.split_names(metrics)
    check_metrics(chosen, baselines or [])
    check_artifact_columns(artifact, [data], settings, target=True, keep=[] if groups is None else [groups])
    source = options.input_data([data], (), quiet=quiet)
    evaluation = options.load_artifact(artifact, device, base).evaluate(
        source,
        metrics=chosen,
        baselines=baselines or [],
        groups=groups,
        resamples=resamples,
        figures=figures,
        settings=settings,
        batch_size=batch_size,
        quiet=quiet,
    )
    if as_json:
        print_json(evaluation.to_json())
    else:
        console().print(evaluation)
