"""What can be typed: the commands with their arguments and options. What they do is imported when they do it."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from taskgraft.cli.interrupt import Interrupted

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps, …")]
Artifact = Annotated[Path, typer.Argument(help="The folder of a fitted model.", show_default=False)]
Data = Annotated[str, typer.Argument(help="A file or folder of rows, or hub:NAME.", show_default=False)]
BatchSize = Annotated[int | None, typer.Option(help="Rows computed at once; as in training when left out.")]


class _Group(TyperGroup):
    """Turns Ctrl-C into a sentence, and writes out what was printed while a broken pipe can still be passed over."""

    def invoke(self, ctx: Any) -> Any:
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error
        return answer


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Graft a task onto a pretrained model: backbone + head + strategy, chosen independently.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"taskgraft {version('taskgraft')}")
        raise typer.Exit()


new = typer.Typer(no_args_is_help=True, help="Write the beginning of something.")
app.add_typer(new, name="new")


@app.callback()
def _taskgraft(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    debug: Debug = False,
) -> None:
    """Take the options that stand before a command."""


@app.command("list")
def _list(
    axis: Annotated[
        str | None, typer.Argument(help="backbones, heads, strategies, readers, …; all when left out.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List what is installed."""
    from taskgraft.cli.list import list_installed

    list_installed(axis, as_json=as_json)


@app.command("show")
def _show(
    name: Annotated[
        str, typer.Argument(help="As in a recipe: classification, hf-text:CHECKPOINT, …", show_default=False)
    ],
    axis: Annotated[
        str | None, typer.Option(help="Which is meant, where several have the name: head, metric, …")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON schema of the settings.")] = False,
    debug: Debug = False,
) -> None:
    """Show one thing: where it comes from, its settings, its licence; with a checkpoint, that very model."""
    from taskgraft.cli.show import show

    show(name, axis, as_json=as_json)


@app.command("doctor")
def _doctor(
    plugin: Annotated[
        str | None,
        typer.Argument(help="A distribution: build what it provides, and check its promises.", show_default=False),
    ] = None,
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="NAME",
            help='What to check of the plugin, in place of its examples: NAME:ARGUMENT, or {"name": …, settings} as JSON; '
            "repeatable.",
        ),
    ] = None,
    devices: Annotated[bool, typer.Option("--devices", help="Import torch and name the devices it finds.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is installed and what is wrong with it, or whether one plugin keeps its promises. Exit with 1 when not."""
    if plugin is None and tries:
        raise typer.BadParameter("say of which plugin: taskgraft doctor PLUGIN --try NAME.", param_hint="--try")
    if plugin is not None and devices:
        raise typer.BadParameter("it is for taskgraft doctor without a plugin.", param_hint="--devices")
    if plugin is None:
        from taskgraft.cli.doctor import diagnose

        healthy = diagnose(devices=devices, as_json=as_json)
    else:
        from taskgraft.cli.doctor_plugin import examine_plugin

        healthy = examine_plugin(plugin, tries or [], as_json=as_json)
    if not healthy:
        raise typer.Exit(1)


@app.command("schema")
def _schema(
    as_json: Annotated[bool, typer.Option("--json", help="As it does anyway.")] = True, debug: Debug = False
) -> None:
    """Print the JSON schema of a recipe, for editors."""
    from taskgraft.cli.console import print_json
    from taskgraft.contract.recipe import Recipe

    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema"} | Recipe.model_json_schema())


@app.command("fit")
def _fit(
    recipe: Annotated[
        Path, typer.Argument(help="A .toml, .yaml or .json file, or an artifact to fit anew.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: training.epochs=5.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The artifact's folder; the recipe's name without suffix when left out."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    seeds: Annotated[
        int, typer.Option(min=1, help="Fit so often, each with another seed, and give mean and spread.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the artifact that is there.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fit what a recipe describes, judge it, and save it."""
    from taskgraft.cli.fit import fit_recipe

    fit_recipe(
        recipe,
        overrides or [],
        output,
        resume=resume,
        seeds=seeds,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
    )


@app.command("evaluate")
def _evaluate(
    artifact: Artifact,
    data: Data,
    metrics: Annotated[
        str,
        typer.Option(
            help='Names with commas between, or {"name": …, settings} as JSON; the head\'s own when left out.'
        ),
    ] = "",
    baselines: Annotated[
        list[str] | None,
        typer.Option("--baseline", metavar="NAME", help="A rival that learns now, from the training rows; repeatable."),
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows with one value here belong together in resamples.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples for the intervals; 0 for none.")] = 1_000,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to put the figures that the metrics draw.")
    ] = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Judge a fitted model on labelled rows."""
    from taskgraft.cli.evaluate import evaluate

    evaluate(
        artifact,
        data,
        metrics,
        baselines or [],
        groups,
        resamples,
        figures,
        batch_size,
        device,
        as_json=as_json,
        quiet=quiet,
    )


@app.command("compare")
def _compare(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="A .toml, .yaml or .json file, or an artifact: head, data and training.", show_default=False
        ),
    ],
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME",
            help="As in a recipe: partial:2, or {name: full, learning_rate: 1e-4}; repeatable.",
        ),
    ] = None,
    backbones: Annotated[
        list[str] | None, typer.Option("--backbone", metavar="NAME", help="The recipe's when left out; repeatable.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: training.epochs=5.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The comparison's folder; the recipe's name with .compare when left out."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Run each so often, each with another seed.")] = 1,
    test: Annotated[
        str | None, typer.Option(metavar="DATA", help="Rows to judge on; the validation rows when left out.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="What to compare by; the head's choice when left out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on: what is finished is not run again.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the comparison that is there.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare strategies on the same rows and seeds: score, seconds, memory, size, and the best trade-offs."""
    from taskgraft.cli.compare import compare_recipe

    compare_recipe(
        recipe,
        strategies or [],
        backbones or [],
        overrides or [],
        output,
        seeds=seeds,
        test=test,
        metric=metric,
        resume=resume,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
    )


@app.command("predict")
def _predict(
    artifact: Artifact,
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .csv, .jsonl or .parquet file; the terminal, as CSV, when left out."),
    ] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add the probability of every class.")] = False,
    top: Annotated[int | None, typer.Option(min=1, help="Add the likeliest classes, so many.")] = None,
    keep: Annotated[
        str, typer.Option(help="Columns of the data to put before the predictions, with commas between.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    batch_size: BatchSize = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="To the terminal: JSON lines in place of CSV.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict for rows, in their order, from a file of any length to a file."""
    from taskgraft.cli.predict import predict

    predict(
        artifact,
        data,
        output,
        probabilities=probabilities,
        top=top,
        keep=keep,
        overwrite=overwrite,
        batch_size=batch_size,
        device=device,
        as_json=as_json,
        quiet=quiet,
    )


@app.command("export")
def _export(
    artifact: Artifact,
    folder: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    check: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Rows whose features must stay the same when insertions are merged."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what was exported there before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON what was written.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the trained backbone as its own library loads it, without taskgraft and without the head."""
    from taskgraft.cli.export import export

    export(artifact, folder, check, overwrite=overwrite, as_json=as_json, quiet=quiet)


@app.command("features")
def _features(
    backbone: Annotated[
        str, typer.Argument(help="As in a recipe: hf-text:CHECKPOINT, …; or an artifact's folder.", show_default=False)
    ],
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .parquet, .npz or .npy file.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set something of the backbone.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="PART", help="The backbone's last part to run; all when left out.")
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="How the vectors of a row become one: mean, cls, …; the backbone's own way.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="vector, sequence, …; the usual one when left out.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="COLUMN", help="What to read, in the order of the inputs.")
    ] = None,
    keep: Annotated[str, typer.Option(help="Columns of the data to put beside the features, with commas.")] = "",
    precision: Annotated[str, typer.Option(help="What to multiply in: fp32 or bf16.")] = "fp32",
    batch_size: Annotated[int, typer.Option(help="Rows computed at once.")] = 32,
    batch_elements: Annotated[
        int | None, typer.Option(help="Elements computed at once, padding counted; any number when left out.")
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON what was written.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute a backbone's features of rows, in their order, from a file of any length to a file."""
    from taskgraft.cli.features import extract

    extract(
        backbone,
        data,
        output,
        overrides=overrides or [],
        settings={"until": until, "pooling": pooling},
        layout=layout,
        inputs=inputs,
        keep=keep,
        precision=precision,
        batch_size=batch_size,
        batch_elements=batch_elements,
        device=device,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
    )


@new.command("plugin")
def _new_plugin(
    name: Annotated[
        str, typer.Argument(help="Of the distribution: letters, digits, hyphens: acme-models.", show_default=False)
    ],
    kind: Annotated[str, typer.Option(help="What it provides: backbone, head or strategy.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to write; NAME when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON what was written.")] = False,
    debug: Debug = False,
) -> None:
    """Write a plugin that installs, works and passes its tests at once, for you to change."""
    from taskgraft.cli.new_plugin import start_plugin

    start_plugin(name, kind, output, as_json=as_json)


program = typer.main.get_command(app)
"""The commands, made ready to run."""
