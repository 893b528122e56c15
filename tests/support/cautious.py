"""A classification head that tunes: it chooses a confidence threshold on validation rows."""

from dataclasses import replace

import numpy as np

from taskgraft.builtin.heads.classification import Classification, ClassificationTarget
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import InvalidTargets


class CautiousTarget(ClassificationTarget):
    floor: float | None = None


class Cautious(Classification):
    """Predicts the first label where its confidence is below its mean on the validation rows, weighted by their amount."""

    target = CautiousTarget

    def __init__(self, config: ClassificationConfig | None = None):
        super().__init__(config or ClassificationConfig())

    @property
    def description(self):
        return replace(super().description, tunes="a floor", tuning_columns=("amount",))

    def fit_targets(self, targets):
        return CautiousTarget(**super().fit_targets(targets).model_dump())

    def check_tuning_rows(self, encoded, columns, target):
        bad = {row: f"the amount is {value!r}" for row, value in enumerate(columns["amount"]) if float(value or 0) <= 0}
        if bad:
            raise InvalidTargets(bad)

    def tune(self, predictions, encoded, columns, target):
        sure = np.array([row.max() for row in predictions.probabilities], np.float64)
        floor = np.average(sure, weights=np.array(list(columns["amount"]), np.float64))
        return target.model_copy(update={"floor": float(floor)})

    def build_module(self, features, target):
        module = super().build_module(features, target)
        decode = module.predict

        def predict(output, features):
            found = decode(output, features)
            sure = [row.max() >= (target.floor or 0) for row in found.probabilities]
            values = [value if one else found.classes[0] for value, one in zip(found.values, sure, strict=True)]
            return Predictions(values, found.probabilities, found.classes)

        module.predict = predict
        return module
