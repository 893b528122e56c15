"""``taskgraft evaluate``: how good a fitted model is on labelled rows."""

from pathlib import Path

from taskgraft.commandline.loading import loaded, names
from taskgraft.commandline.output import console, print_json


def evaluate(
    artifact: Path,
    data: str,
    metrics: str,
    groups: str | None,
    resamples: int,
    batch_size: int | None,
    device: str,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge predictions and print the numbers.

    Args:
        metrics: names with commas between; empty for the head's own.
        groups: a column whose equal values belong together in resamples.
        resamples: for the intervals; 0 gives none.
    """
    model = loaded(artifact, device)
    found = model.evaluate(
        data, metrics=names(metrics), groups=groups, resamples=resamples, batch_size=batch_size, quiet=quiet
    )
    if as_json:
        print_json(found.to_json())
    else:
        console().print(found)
