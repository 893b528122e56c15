"""Proteins for taskgraft. The module ``plugin`` lists what it provides."""
