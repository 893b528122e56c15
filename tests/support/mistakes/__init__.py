"""Mistakes of plugins, by what catches them. Each is the correct plugin of ``acme_strings`` with one error."""
