"""The built-in splits."""
