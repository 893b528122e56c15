"""The command ``taskgraft``: one module per command, imported when it is used."""
