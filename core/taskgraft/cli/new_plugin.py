"""``taskgraft new plugin``: a folder to begin with."""

from pathlib import Path

from taskgraft.cli.console import print_json
from taskgraft.discovery.catalog import catalog
from taskgraft.scaffold import derive_names, write_plugin


def start_plugin(name: str, kind: str, output: Path | None, *, as_json: bool) -> None:
    """Write a plugin and say what to do with it.

    Args:
        kind: backbone, head or strategy.
        output: the folder; the name when None.

    Raises:
        UnknownKind, BadPluginName, NameTaken: for what could not work.
        OutputError: when the folder is not free.
    """
    words = derive_names(name, kind, catalog())
    folder = Path(name) if output is None else output
    paths = write_plugin(words, folder)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "files": [path.as_posix() for path in paths],
                "module": words.module,
                "axis": words.kind,
                "name": words.spec,
            }
        )
        return
    print(  # noqa: T201
        f"Wrote {folder}: the {kind} '{words.spec}' in {len(paths)} files. It works as it stands; try it:\n\n"
        f"  cd {folder}\n"
        '  python -m pip install --editable ".[test]"\n'
        "  pytest\n"
        f"  taskgraft doctor {name}\n\n"
        "README.md says what to change."
    )
