"""Ctrl-C, as the command line passes it on."""


class Interrupted(Exception):
    """Ctrl-C, with a sentence on what it leaves."""
