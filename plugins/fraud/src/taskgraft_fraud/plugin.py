"""What taskgraft-fraud provides. Start reading here; no model code is imported."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskgraft.hook import hookimpl
from taskgraft.spec import HeadSpec
from taskgraft_fraud.fraud_settings import FraudConfig, describe_fraud

if TYPE_CHECKING:
    from taskgraft_fraud.fraud import Fraud

TASKGRAFT_CONTRACT = "1.0"


@hookimpl
def taskgraft_heads() -> Iterable[HeadSpec]:
    """List the heads."""
    yield HeadSpec(
        name="fraud",
        summary="a rare yes or no: a calibrated probability, and alerts by what mistakes cost or how many can be reviewed",
        config=FraudConfig,
        describe=describe_fraud,
        build=_fraud,
    )


def _fraud(config: FraudConfig) -> "Fraud":
    from taskgraft_fraud.fraud import Fraud

    return Fraud(config)
