"""Files: opened for readers, and named by their first bytes when they are something else than their names say."""
