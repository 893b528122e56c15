"""``python -m taskgraft``: the same as the command ``taskgraft``.

Python puts the working folder on the import path, finds and imports this package, which removes the folder
(:mod:`taskgraft.import_path`). What Python imports before that may come from the folder (``taskgraft`` itself, ``importlib``,
``contextlib``), so in a folder that you do not trust, type ``taskgraft`` or ``python -P -m taskgraft``.
"""

from taskgraft.cli.main import main

main()
