"""Settings and descriptions of the built-in heads. Imports no torch."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import HeadDescription, Layout, TargetKind
from taskgraft.labels import by_label_key, label_key


class ClassificationConfig(Config):
    """One label per row."""

    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        default="none",
        description="weight of each class in the loss: none, balanced (rows / (classes x rows of the class)), or by label",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of the target spread over all classes")
    focal: float = Field(
        default=0.0, ge=0, description="gamma of the focal loss, which down-weights easy examples; 0: cross-entropy"
    )

    _by_key = field_validator("class_weights", mode="before")(by_label_key)


class MultiLabelConfig(Config):
    """Any number of labels per row: several columns of 0 and 1 (empty: unknown), or one column of lists.

    A list holds the labels of the row, or 0 or 1 for each label (one-hot); a dict has 0 or 1 for each label.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1, description="lowest probability at which a label is predicted")
    separator: str = Field(
        default="|", min_length=1, description="separator of labels, where a row's labels are one text"
    )
    lists: Literal["labels", "one-hot"] | None = Field(
        default=None, description="what a list holds: labels, or 0 or 1 for each label; by default one-hot if it can be"
    )
    classes: tuple[str, ...] = Field(default=(), description="names of the labels, in the order of one-hot lists")

    @model_validator(mode="after")
    def _are_names(self) -> Self:
        if self.classes and self.lists == "labels":
            raise ValueError("classes names the places of one-hot lists, so lists cannot be labels")
        if len({label_key(name) for name in self.classes}) < len(self.classes):
            raise ValueError("classes names a label twice")
        if numbers := [
            name for name in self.classes if name.strip().lower() in ("0", "1", "0.0", "1.0", "true", "false")
        ]:
            raise ValueError(f"the class '{numbers[0]}' would look like a value of a one-hot list; choose another name")
        return self


class RegressionConfig(Config):
    """One or more numbers per row, standardised for training and predicted in their original unit."""


class ElementClassificationConfig(Config):
    """A label per element; elements with an empty label, or -100, are ignored in training and evaluation."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of the target spread over all classes")


class MaskedElementsConfig(Config):
    """The values of masked elements; pretrains a backbone on rows without labels."""

    share: float = Field(
        default=0.15, gt=0, lt=1, description="share of each row's elements that are masked, at least one"
    )
    shown: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="share of elements that are predicted in training without being masked, so that features still encode "
        "the values of visible elements",
    )

    @model_validator(mode="after")
    def _are_a_whole(self) -> Self:
        if self.share + self.shown > 1:
            raise ValueError(f"share = {self.share} and shown = {self.shown} are more than all elements")
        return self


def describe_classification(config: ClassificationConfig) -> HeadDescription:
    """Describe the classification head."""
    description = _linear_head(Layout.VECTOR, TargetKind.CATEGORY, "classification", "majority")
    return replace(description, supports_soft_labels=True, convex=config.focal == 0)


def describe_multi_label(config: MultiLabelConfig) -> HeadDescription:
    """Describe the multi-label head."""
    return replace(_MULTI_LABEL, separator=config.separator)


def _linear_head(layout: Layout, target: TargetKind, metric: str, baseline: str) -> HeadDescription:
    """Describe a linear head with a convex loss, which also supports distillation."""
    return HeadDescription(
        (layout,), target, supports_distillation=True, convex=True, metrics=(metric,), baselines=(baseline,)
    )


_MULTI_LABEL = _linear_head(Layout.VECTOR, TargetKind.CATEGORIES, "multi-label", "majority")
REGRESSION = _linear_head(Layout.VECTOR, TargetKind.NUMBERS, "regression", "mean")
ELEMENT_CLASSIFICATION = _linear_head(
    Layout.SEQUENCE, TargetKind.ELEMENT_CATEGORIES, "element-classification", "majority"
)
MASKED_ELEMENTS = HeadDescription((Layout.SEQUENCE,), TargetKind.INPUTS, metrics=("masked-elements",))
"""The descriptions of the heads whose settings do not change them."""
