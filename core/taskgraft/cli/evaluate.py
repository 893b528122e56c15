"""``taskgraft evaluate``: how good a fitted model is on labelled rows."""

from collections.abc import Sequence
from pathlib import Path

from taskgraft.cli.arguments import loaded, references
from taskgraft.cli.console import console, print_json


def evaluate(
    artifact: Path,
    data: str,
    metrics: str,
    baselines: Sequence[str],
    groups: str | None,
    resamples: int,
    figures: Path | None,
    batch_size: int | None,
    device: str,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge predictions and print the numbers.

    Args:
        metrics: names with commas between, or a name with settings as JSON; empty for the head's own.
        baselines: names of baselines that learn now, from the training rows.
        groups: a column whose equal values belong together in resamples.
        resamples: for the intervals; 0 gives none.
        figures: a folder for what the metrics draw.
    """
    model = loaded(artifact, device)
    found = model.evaluate(
        data,
        metrics=references(metrics),
        baselines=baselines,
        groups=groups,
        resamples=resamples,
        figures=figures,
        batch_size=batch_size,
        quiet=quiet,
    )
    if as_json:
        print_json(found.to_json())
    else:
        console().print(found)
