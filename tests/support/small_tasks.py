"""Small tasks over the small backbones: labelled rows, and a strategy that returns given stages."""

import random
from typing import Any

import torch
from backbones import Pictures, Words
from small_plugin import PicturesConfig, WordsConfig

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy

torch.set_num_threads(1)  # with tensors this small, threads only wait for each other

WORD_LIST = (
    "card",
    "lost",
    "rain",
    "where",
    "stop",
    "send",
    "new",
    "please",
    "transfer",
    "late",
    "slow",
    "why",
    "my",
    "the",
)
PARTS = ("embedding", "block-0", "block-1")
"""The parts of :class:`Words`."""

FIT_ARGUMENTS = ("validation", "callbacks", "augmentation", "run", "resume")
"""Arguments of ``fit`` that are no training settings."""


class Planned(Strategy):
    """Returns the stages it was built with."""

    def __init__(self, *stages: Stage):
        self.stages = stages

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        return self.stages


def sentences(count: int = 24, seed: int = 0) -> dict[str, list[Any]]:
    """Texts of 1 to 7 words, labelled by their first word."""
    chance = random.Random(seed)
    texts = [chance.choices(WORD_LIST, k=1 + row % 7) for row in range(count)]
    labels = ["abc"[WORD_LIST.index(text[0]) % 3] for text in texts]
    return {"text": [" ".join(text) for text in texts], "label": labels}


def images(count: int = 16, seed: int = 0) -> dict[str, list[Any]]:
    """Images of 8 x 8, labelled by which half is brighter."""
    drawn = torch.rand(count, 8, 8, generator=torch.Generator().manual_seed(seed))
    labels = ["ab"[int(image[:4].sum() > image[4:].sum())] for image in drawn]
    return {"image": drawn.tolist(), "label": labels}


def words(**settings: Any) -> Words:
    """An encoder over words, always with the same weights."""
    return Words(WordsConfig(**settings)).eval()


def pictures() -> Pictures:
    """A convolutional network with BatchNorm, always with the same weights."""
    return Pictures(PicturesConfig()).eval()


def classification() -> Classification:
    return Classification(ClassificationConfig())


def training_stage(*parts: str, rate: float = 1e-2, **settings: Any) -> Stage:
    """A stage that trains some parts and the head."""
    unfreeze = (Unfreeze(parts, rate),) if parts else ()
    return Stage(**({"name": "first", "unfreeze": unfreeze, "head_learning_rate": 1e-2, "epochs": 2} | settings))


def fitted(
    backbone: Backbone,
    *stages: Stage,
    rows: dict[str, list[Any]] | None = None,
    validation: Any = None,
    **training: Any,
) -> tuple[tg.TaskModel, tg.FitReport]:
    """Fit a classification head on a backbone, with the given stages."""
    return fit_with(Planned(*stages), backbone, rows=rows, validation=validation, **training)


def fit_with(
    strategy: Any, backbone: Backbone, *, rows: dict[str, list[Any]] | None = None, **settings: Any
) -> tuple[tg.TaskModel, tg.FitReport]:
    """Fit a classification head on a backbone; the settings are arguments of ``fit``, and otherwise of training."""
    model = tg.compose(backbone, classification(), strategy)
    how = {name: settings.pop(name) for name in FIT_ARGUMENTS if name in settings}
    rows = rows or (images() if isinstance(backbone, Pictures) else sentences())
    return model, model.fit(rows, target="label", training={"batch_size": 8} | settings, quiet=True, **how)


def trained(backbone: Backbone, *stages: Stage, **data_and_training: Any) -> tg.TaskModel:
    """Fit as :func:`fitted` does, and return the model."""
    return fitted(backbone, *stages, **data_and_training)[0]


def weights(model: tg.TaskModel) -> dict[str, torch.Tensor]:
    """All tensors of a fitted model as they are now."""
    assert model.fitted is not None
    return copied(model.fitted.task)


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Compare named tensors bit for bit."""
    assert one.keys() == other.keys()
    differing = [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
    assert differing == []


def copied(backbone: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All tensors as they are now."""
    return {name: tensor.detach().clone() for name, tensor in named_tensors(backbone).items()}


def changed(backbone: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The names of the tensors that have changed, compared bit for bit."""
    return {name for name, tensor in named_tensors(backbone).items() if not torch.equal(tensor, before[name])}
