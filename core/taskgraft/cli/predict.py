"""``taskgraft predict``: predictions for a file, into a file or the terminal."""

import sys
from dataclasses import dataclass
from pathlib import Path

from taskgraft.cli.arguments import loaded, names
from taskgraft.errors import TaskgraftError


def predict(
    artifact: Path,
    data: str,
    output: Path | None,
    *,
    probabilities: bool,
    top: int | None,
    keep: str,
    overwrite: bool,
    batch_size: int | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Predict and write.

    Args:
        output: a file; None prints, as CSV or as JSON lines.
        keep: columns of the data, with commas between.

    Raises:
        OutputError: before anything is loaded, when the file could not be written in the end.
        OntoItself: when the file holds the data.
    """
    if output is not None:
        from taskgraft.inference.prediction_files import check_output

        if output.exists() and Path(data).exists() and output.samefile(data):
            raise OntoItself(str(output))
        check_output(output, overwrite=overwrite)
    model = loaded(artifact, device)
    rows = model.predict_to(
        data,
        sys.stdout if output is None else output,
        form="jsonl" if as_json else "csv",
        probabilities=probabilities,
        top=top,
        keep=names(keep),
        overwrite=overwrite,
        batch_size=batch_size,
        quiet=quiet,
    )
    if output is not None and not quiet:
        print(f"{rows:,} predictions are in {output}.", file=sys.stderr)  # noqa: T201


@dataclass(eq=False)
class OntoItself(TaskgraftError):
    """Predictions that would take the place of the data that they are made for."""

    path: str

    def __str__(self) -> str:
        return f"The predictions cannot be written to {self.path}: it holds the data. Name another file."
