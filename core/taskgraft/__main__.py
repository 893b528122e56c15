"""``python -m taskgraft``: the same as the command ``taskgraft``."""

from taskgraft.cli.main import main

main()
