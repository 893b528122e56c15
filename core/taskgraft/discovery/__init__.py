"""Which plugins are installed, and which of them failed to load."""
