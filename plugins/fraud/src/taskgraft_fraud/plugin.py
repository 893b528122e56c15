"""What taskgraft-fraud provides. Start reading here; no model code is imported."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from taskgraft.hook import hookimpl
from taskgraft.spec import ReaderSpec
from taskgraft_fraud.history_settings import TransactionsConfig

if TYPE_CHECKING:
    from taskgraft.rows import Rows

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_readers() -> Iterable[ReaderSpec]:
    """List the readers of transactions."""
    yield ReaderSpec(
        name="transactions",
        summary="transactions of any file, with windows of what was known of their customers and terminals",
        config=TransactionsConfig,
        read=_read_transactions,
        suffixes=("",),
        folders=("history.*",),
    )


def _read_transactions(path: Path, config: TransactionsConfig) -> "Rows":
    from taskgraft_fraud.history_reader import read_transactions

    return read_transactions(path, config)
