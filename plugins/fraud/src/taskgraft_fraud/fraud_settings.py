"""Settings and description of the head ``fraud``, known without torch."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config, HeadDescription, Layout, TargetKind


class FraudConfig(Config):
    """A rare outcome, yes or no: its calibrated probability, and the threshold above which a row is an alert.

    The threshold is chosen in one way: by costs (``review`` with ``amount`` or ``loss``), by capacity (``alerts_per_day`` with
    ``time``), or stated (``threshold``, 0.5 when nothing is said).
    """

    positive: str | bool | int | float | None = Field(
        default=None, description="the label of the outcome to find; the rarer one in training if left out"
    )
    positive_weight: float = Field(default=1.0, gt=0, description="weight in the loss of a row with that label")
    focal: float = Field(
        default=0.0, ge=0, description="gamma of the focal loss, which passes over what is told apart already; 0: none"
    )
    calibration: Literal["temperature", "isotonic", "none"] = Field(
        default="temperature", description="how probabilities are corrected by validation rows"
    )
    review: float | None = Field(
        default=None, gt=0, description="price of one alert, in the unit of 'amount' or 'loss'"
    )
    amount: str | None = Field(default=None, description="column with what a missed fraud costs")
    loss: float | None = Field(default=None, gt=0, description="what each missed fraud costs")
    alerts_per_day: float | None = Field(
        default=None, gt=0, description="alerts that can be reviewed, in the mean over the days of the validation rows"
    )
    time: str | None = Field(
        default=None, description="column of times: dates, ISO 8601 texts, or seconds; a day has 86,400 of them"
    )
    threshold: float | None = Field(default=None, gt=0, lt=1, description="a row of a higher probability is an alert")
    customer: str | None = Field(default=None, description="column of customers, for metrics and their intervals")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("review", "alerts_per_day", "threshold") if getattr(self, name) is not None]
        costs = [name for name in ("amount", "loss") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(
                f"{' and '.join(ways)} each choose the threshold; keep one of review, alerts_per_day, threshold"
            )
        if len(costs) > 1:
            raise ValueError("amount and loss both say what a missed fraud costs; keep one")
        if self.review is not None and not costs:
            raise ValueError(
                "review is the price of an alert; say too what a missed fraud costs: amount, a column, or loss, a number"
            )
        if costs and self.review is None:
            raise ValueError(f"{costs[0]} says what a missed fraud costs; say too what an alert costs: review")
        if self.alerts_per_day is not None and self.time is None:
            raise ValueError("alerts_per_day counts the alerts of a day; say too which column holds the times: time")
        return self


def describe_fraud(config: FraudConfig) -> HeadDescription:
    """Describe a fraud head."""
    chosen = {"temperature": ["a temperature"], "isotonic": ["an isotonic calibration"], "none": []}[config.calibration]
    by_rows = config.review is not None or config.alerts_per_day is not None
    columns = (config.amount, config.time, config.customer)
    return HeadDescription(
        (Layout.VECTOR,),
        TargetKind.CATEGORY,
        supports_soft_labels=True,
        convex=config.focal == 0,
        metrics=(_metric(config),),
        group_column=config.customer,
        baselines=("majority",),
        tunes=" and ".join([*chosen, *(["a threshold"] if by_rows else [])]),
        tuning_columns=tuple(column for column in columns if column is not None),
    )


def _metric(config: FraudConfig) -> dict[str, Any]:
    """Name the metric that judges it, with the columns that the head was told of."""
    names = ("positive", "customer", "time", "amount") + (("review",) if config.amount is not None else ())
    said = {name: getattr(config, name) for name in names}
    return {"name": "fraud"} | {name: value for name, value in said.items() if value is not None}
