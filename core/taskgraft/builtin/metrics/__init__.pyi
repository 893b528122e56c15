# ruff: noqa: I001 - one statement per module
from .classification import (
    classification_metrics as classification_metrics,
    element_classification_metrics as element_classification_metrics,
    multi_label_metrics as multi_label_metrics,
    positive_values as positive_values,
)
from .masked_elements import masked_element_metrics as masked_element_metrics
from .regression import regression_metrics as regression_metrics
