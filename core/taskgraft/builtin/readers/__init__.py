"""The readers that the core brings."""
