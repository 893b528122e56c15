"""``python -m taskgraft``: the same as the command ``taskgraft``."""

from taskgraft.commandline import main

main()
