"""Distillation: a student learns what a teacher says of the training rows, beside their labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

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
    """Train a student by the soft predictions of a teacher, an artifact over any backbone."""

    positional: ClassVar[str | None] = "teacher"

    teacher: str = Field(min_length=1, description="folder of the artifact that teaches")
    temperature: float = Field(
        default=2.0,
        gt=0,
        le=100,
        description="what logits of teacher and student are divided by; numbers are as they are",
    )
    mix: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the teacher's predictions in the loss; the rest is that of the labels",
    )
    learn: int | None = Field(
        default=None, ge=1, description="how many parts learn, counted from the output; all when left out"
    )
    learning_rate: float = Field(default=5e-5, ge=0, description="peak rate of the parts that learn, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Distill(Strategy):
    """The student learns in one stage."""

    def __init__(self, config: DistillConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config, names = self._config, tuple(part.name for part in backbone.parts)
        if not head.supports_distillation:
            raise StrategyNotApplicable(
                f"'distill' needs a head that learns from soft targets, but this one, which learns {head.target}, does not. "
                "Choose another strategy, or a head that does (classification, multi-label, regression, "
                "element-classification)."
            )
        if config.learn is not None and config.learn > len(names):
            raise StrategyNotApplicable(
                f"'distill' is to train the last {config.learn} parts, but the backbone has {len(names)}: "
                f"{', '.join(names)}. Choose learn = {len(names)} or less."
            )
        learn = Unfreeze(names if config.learn is None else names[-config.learn :], config.learning_rate)
        stage = Stage(
            "distill",
            (learn,),
            head_learning_rate=config.head_learning_rate,
            cache_features=config.learn is not None,
            loss=SoftLoss(config.temperature, config.mix),
            teacher=Teacher(config.teacher, config.temperature),
        )
        return (stage,)


@dataclass(frozen=True)
class SoftLoss:
    """mix x the loss of soft targets + (1 - mix) x that of labels (Hinton, Vinyals and Dean, 2015, section 2).

    Sums and weights are mixed alike, so a row counts for as much as its teacher and its label say.
    """

    temperature: float
    mix: float

    def __call__(self, head: "HeadModule", output: "Tensor", targets: "Batch", features: "Features") -> "LossSum":
        from taskgraft.contract.head import LossSum
        from taskgraft.data.soft_labels import split_soft_labels

        labels, soft = split_soft_labels(targets)
        if self.mix == 0:
            return head.loss(output, labels, features)
        of_teacher = head.distillation_loss(output, soft, features, self.temperature)
        if self.mix == 1:
            return of_teacher
        of_labels = head.loss(output, labels, features)
        return LossSum(
            self.mix * of_teacher.total + (1 - self.mix) * of_labels.total,
            self.mix * of_teacher.weight + (1 - self.mix) * of_labels.weight,
        )
