"""The built-in splits. None imports numpy or Arrow until it is called."""
