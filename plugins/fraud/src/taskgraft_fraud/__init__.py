"""Tables of transactions for taskgraft. What it provides stands in ``plugin``."""
