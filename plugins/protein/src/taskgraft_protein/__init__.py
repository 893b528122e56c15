"""Proteins for taskgraft. What it provides stands in ``plugin``."""
