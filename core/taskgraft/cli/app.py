"""The commands, by name. The module of a command is imported when that command runs, not for help or completion."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from taskgraft.cli.errors import Interrupted
from taskgraft.cli.options import DebugOption
from taskgraft.errors import message_text

COMMANDS = {
    "list": ("list:list_command", "List the installed backbones, heads, strategies, readers, …"),
    "show": ("show:show_command", "Show a component: its source, settings and licence; with a checkpoint, that model."),
    "doctor": ("doctor:doctor_command", "Diagnose the installation, or check that a plugin keeps its promises."),
    "schema": ("schema:schema_command", "Print the JSON schema of a recipe, for editors."),
    "fit": ("fit:fit_command", "Fit a recipe, evaluate the model and save it as an artifact."),
    "evaluate": ("evaluate:evaluate_command", "Evaluate a fitted model on labelled rows."),
    "compare": ("compare:compare_command", "Compare strategies on the same rows and seeds: score, time, memory, size."),
    "predict": (
        "predict:predict_command",
        "Predict for files of any length, texts or standard input, into a file or the terminal.",
    ),
    "export": ("export:export_command", "Export the trained backbone as its own library loads it, without the head."),
    "features": ("features:features_command", "Extract a backbone's features for a file of any length, into a file."),
    "new": ("new_plugin:new_app", "Create a project from a template."),
}
"""Each command: the function or group that runs it, and its help."""


class _LazyGroup(TyperGroup):
    """Imports a command when it runs. Turns Ctrl-C into a sentence, and escapes what a message quotes of the command line."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        try:
            with _printable_usage_errors():
                return super().make_context(*arguments, **settings)
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            with _printable_usage_errors():
                result = super().invoke(ctx)
            sys.stdout.flush()  # here a broken pipe is still handled
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error
        return result


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's errors of usage, whose base class it does not export
            vars(error)["message"] = message_text(vars(error)["message"])
        raise


def _load(name: str) -> Any:
    """Import a command."""
    place, help_text = COMMANDS[name]
    module, _, attribute = place.partition(":")
    target = getattr(import_module(f"taskgraft.cli.{module}"), attribute)
    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name, help=help_text)(target)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Graft a task onto a pretrained model: backbone + head + strategy, chosen independently.",
)
for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)  # listed in the help; replaced by _LazyGroup when it runs


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"taskgraft {version('taskgraft')}")
        raise typer.Exit()


@app.callback()
def _taskgraft(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Accept the options that come before a command."""


program = typer.main.get_command(app)
"""The command line, ready to run."""
