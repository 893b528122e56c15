"""Images for taskgraft."""
