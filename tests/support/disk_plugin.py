"""A plugin of nothing: processes that a watched one starts import it, and are watched as well."""

from power import watch_as_parent

TASKGRAFT_CONTRACT = "1.0"

watch_as_parent()
