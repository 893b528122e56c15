"""The metrics that the core brings."""
