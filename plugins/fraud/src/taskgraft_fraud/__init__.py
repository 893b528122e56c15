"""Tables of transactions for taskgraft. What it provides is listed in ``plugin``."""
