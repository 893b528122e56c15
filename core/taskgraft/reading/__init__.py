"""Reading: files and tables → rows, what their values mean, and which of them validate."""
