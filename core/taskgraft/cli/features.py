"""``taskgraft features``: what a backbone makes of the rows of a file, into a file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskgraft.cli.arguments import found_device, names
from taskgraft.cli.console import print_json
from taskgraft.recipes.overrides import InvalidOverride, apply_override


def extract(
    backbone: str,
    data: str,
    output: Path,
    *,
    overrides: Sequence[str],
    settings: Mapping[str, str | None],
    layout: str | None,
    inputs: Sequence[str] | None,
    keep: str,
    precision: str,
    batch_size: int,
    batch_elements: int | None,
    device: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compute features, write them, and say what was written.

    Args:
        overrides: ``KEY=VALUE``, of the backbone's settings.
        settings: more of them, as text; None where nothing is said.
        inputs: columns in the order of the backbone's inputs.
        keep: columns of the data, with commas between.
    """
    chosen = _set(backbone, overrides, settings)
    from taskgraft.inference.extract_features import extract_features_to

    written = extract_features_to(
        chosen,
        data,
        output,
        inputs=inputs or None,
        layout=layout,
        keep=names(keep),
        overwrite=overwrite,
        batch_size=batch_size,
        batch_elements=batch_elements,
        precision=precision,
        device=found_device(device),
        quiet=quiet,
    )
    if as_json:
        facts = {"output": str(output), "rows": written.rows, "layout": str(written.layout)}
        print_json(facts | {"shape": list(written.shape), "notes": dict(written.notes)})
    elif not quiet:
        shape = " × ".join(map(str, written.shape))
        told = f"{written.layout} features ({shape}) of {written.rows:,} rows are in {output}."
        print(f"{told[0].upper()}{told[1:]}", file=sys.stderr)  # noqa: T201


def _set(backbone: str, overrides: Sequence[str], settings: Mapping[str, str | None]) -> str | dict[str, Any]:
    """Give a backbone with what was set of it."""
    document: dict[str, Any] = {"backbone": backbone}
    for text in overrides:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise InvalidOverride(text, "it is not written KEY=VALUE.")
        apply_override(document, f"backbone.{text.lstrip()}")
    said = {key: value for key, value in settings.items() if value is not None}
    chosen: str | dict[str, Any] = document["backbone"]
    if not said:
        return chosen
    return ({"name": chosen} if isinstance(chosen, str) else chosen) | said
