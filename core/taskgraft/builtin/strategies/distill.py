"""Knowledge distillation: train a student on a teacher's soft labels and on the labels of the training rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from taskgraft.builtin.strategies.fine_tuning import last_parts
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Teacher, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

if TYPE_CHECKING:
    from torch import Tensor

    from taskgraft.contract.batch import Batch
    from taskgraft.contract.features import Features
    from taskgraft.contract.head import HeadModule, LossSum


class DistillConfig(Config):
    """Train a student on the soft labels of a teacher, an artifact with any backbone."""

    positional: ClassVar[str | None] = "teacher"

    teacher: str = Field(min_length=1, description="folder of the teacher's artifact")
    temperature: float = Field(
        default=2.0,
        gt=0,
        le=100,
        description="divisor of the logits of teacher and student; without effect on regression",
    )
    mix: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="weight of the soft labels in the loss; the rest is the weight of the labels",
    )
    learn: int | None = Field(
        default=None, ge=1, description="number of parts that are trained, counted from the output; all when left out"
    )
    learning_rate: float = Field(default=5e-5, ge=0, description="peak rate of the trained parts, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Distill(Strategy):
    """Train the student in one stage."""

    def __init__(self, config: DistillConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        if not head.supports_distillation:
            raise StrategyNotApplicable(
                f"'distill' needs a head that supports soft labels from a teacher, but this head, with targets of the kind "
                f"{head.target}, does not. Choose another strategy, or a head that does (classification, multi-label, "
                "regression, element-classification)."
            )
        names = tuple(part.name for part in last_parts("distill", "learn", config.learn, backbone))
        stage = Stage(
            "distill",
            (Unfreeze(names, config.learning_rate),),
            head_learning_rate=config.head_learning_rate,
            cache_features=config.learn is not None,
            loss=SoftLoss(config.temperature, config.mix),
            teacher=Teacher(config.teacher, config.temperature),
            loss_over_batch=head.loss_over_batch and config.mix < 1,
        )
        return (stage,)


@dataclass(frozen=True)
class SoftLoss:
    """mix x the loss on soft labels + (1 - mix) x the loss on labels (Hinton, Vinyals and Dean, 2015, section 2).

    Totals and weights are mixed alike, so each row counts by the mixed weight of its soft label and its label.
    """

    temperature: float
    mix: float

    def __call__(self, head: "HeadModule", output: "Tensor", targets: "Batch", features: "Features") -> "LossSum":
        from taskgraft.contract.head import LossSum
        from taskgraft.data.soft_labels import split_soft_labels

        labels, soft = split_soft_labels(targets)
        if self.mix == 0:
            return head.loss(output, labels, features)
        soft_loss = head.distillation_loss(output, soft, features, self.temperature)
        if self.mix == 1:
            return soft_loss
        label_loss = head.loss(output, labels, features)
        return LossSum(
            self.mix * soft_loss.total + (1 - self.mix) * label_loss.total,
            self.mix * soft_loss.weight + (1 - self.mix) * label_loss.weight,
        )
