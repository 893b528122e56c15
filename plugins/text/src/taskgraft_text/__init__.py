"""Text for taskgraft."""
