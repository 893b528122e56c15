"""taskgraft grafts a task onto a pretrained model: backbone + head + strategy, chosen independently.

Importing this package imports no heavy library; what needs torch is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskgraft.catalog import Catalog, catalog
from taskgraft.config import Config
from taskgraft.error import TaskgraftError

if TYPE_CHECKING:
    from taskgraft.artifact import load
    from taskgraft.backbone import Backbone, Prepared, Processor
    from taskgraft.batch import Batch
    from taskgraft.comparing import compare
    from taskgraft.comparison import Comparison
    from taskgraft.extraction import features_of, features_to
    from taskgraft.features import Features
    from taskgraft.head import Head, HeadModule, Loss, Predictions, Target
    from taskgraft.model import Run, TaskModel, compose
    from taskgraft.strategy import Strategy

__all__ = [
    "Backbone",
    "Batch",
    "Catalog",
    "Comparison",
    "Config",
    "Features",
    "Head",
    "HeadModule",
    "Loss",
    "Predictions",
    "Prepared",
    "Processor",
    "Run",
    "Strategy",
    "Target",
    "TaskModel",
    "TaskgraftError",
    "catalog",
    "compare",
    "compose",
    "features_of",
    "features_to",
    "load",
]

_PLACES = {
    "Backbone": "backbone",
    "Batch": "batch",
    "Comparison": "comparison",
    "Features": "features",
    "Head": "head",
    "HeadModule": "head",
    "Loss": "head",
    "Predictions": "head",
    "Prepared": "backbone",
    "Processor": "backbone",
    "Run": "model",
    "Strategy": "strategy",
    "Target": "head",
    "TaskModel": "model",
    "compare": "comparing",
    "compose": "model",
    "features_of": "extraction",
    "features_to": "extraction",
    "load": "artifact",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'taskgraft' has no attribute {name!r}")
    return getattr(import_module(f"taskgraft.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
