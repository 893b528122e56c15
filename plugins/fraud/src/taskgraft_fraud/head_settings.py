"""Settings and description of the head ``fraud``; importing them does not import torch."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config, HeadDescription, Layout, TargetKind


class FraudConfig(Config):
    """A rare binary outcome: its calibrated probability, and the threshold above which a row is an alert.

    The threshold is chosen by costs (``review`` with ``amount`` or ``loss``), by capacity (``alerts_per_day`` with ``time``),
    or given (``threshold``, 0.5 by default).
    """

    positive: str | bool | int | float | None = Field(
        default=None, description="the label to detect; by default the one of at most a third of the training rows"
    )
    positive_weight: float = Field(default=1.0, gt=0, description="loss weight of rows with that label")
    focal: float = Field(
        default=0.0, ge=0, description="gamma of the focal loss, which down-weights easy rows; 0 for logistic loss"
    )
    calibration: Literal["temperature", "isotonic", "none"] = Field(
        default="temperature", description="how probabilities are calibrated on validation rows"
    )
    review: float | None = Field(default=None, gt=0, description="cost of one alert, in the unit of 'amount' or 'loss'")
    amount: str | None = Field(default=None, description="column with the cost of a missed fraud")
    loss: float | None = Field(default=None, gt=0, description="cost of each missed fraud")
    alerts_per_day: float | None = Field(
        default=None, gt=0, description="review capacity: mean alerts per day of the validation rows"
    )
    time: str | None = Field(
        default=None, description="column of times: dates, ISO 8601 texts, or seconds (86,400 per day)"
    )
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="a row whose probability exceeds it is an alert"
    )
    customer: str | None = Field(default=None, description="column of customers, for metrics and their intervals")

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        ways = [name for name in ("review", "alerts_per_day", "threshold") if getattr(self, name) is not None]
        costs = [name for name in ("amount", "loss") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(
                f"{' and '.join(ways)} each choose the threshold; keep one of review, alerts_per_day, threshold"
            )
        if len(costs) > 1:
            raise ValueError("amount and loss both give the cost of a missed fraud; keep one")
        if self.review is not None and not costs:
            raise ValueError(
                "review is the cost of an alert; also set the cost of a missed fraud: amount, a column, or loss, a number"
            )
        if costs and self.review is None:
            raise ValueError(f"{costs[0]} is the cost of a missed fraud; also set the cost of an alert: review")
        if self.alerts_per_day is not None and self.time is None:
            raise ValueError("alerts_per_day counts alerts per day; also name the column of times: time")
        return self


def describe_fraud(config: FraudConfig) -> HeadDescription:
    """Describe a fraud head."""
    calibrations = {"temperature": ["a temperature"], "isotonic": ["an isotonic calibration"], "none": []}
    tunes_threshold = config.review is not None or config.alerts_per_day is not None
    columns = (config.amount, config.time, config.customer)
    return HeadDescription(
        (Layout.VECTOR,),
        TargetKind.CATEGORY,
        supports_soft_labels=True,
        convex=config.focal == 0,
        metrics=(_metric_settings(config),),
        group_column=config.customer,
        baselines=("majority",),
        tunes=" and ".join([*calibrations[config.calibration], *(["a threshold"] if tunes_threshold else [])]),
        tuning_columns=tuple(column for column in columns if column is not None),
    )


def _metric_settings(config: FraudConfig) -> dict[str, Any]:
    """Configure the metric that evaluates the head, with the head's columns."""
    names = ("positive", "customer", "time", "amount") + (("review",) if config.amount is not None else ())
    settings = {name: getattr(config, name) for name in names}
    return {"name": "fraud"} | {name: value for name, value in settings.items() if value is not None}
