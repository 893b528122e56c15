"""taskgraft grafts a task onto a pretrained model: backbone + head + strategy, chosen independently.

Importing this package imports no heavy library; what needs torch is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskgraft.contract.config import Config
from taskgraft.discovery.catalog import Catalog, catalog
from taskgraft.errors import TaskgraftError

if TYPE_CHECKING:
    from taskgraft.comparison.compare import compare
    from taskgraft.comparison.results import Comparison
    from taskgraft.contract.backbone import Backbone, ProcessedBatch, Processor
    from taskgraft.contract.batch import Batch
    from taskgraft.contract.features import Features
    from taskgraft.contract.head import Head, HeadModule, LossSum, Predictions, TargetDescription
    from taskgraft.contract.strategy import Strategy
    from taskgraft.inference.extract_features import extract_features, extract_features_to
    from taskgraft.model import FitReport, TaskModel, compose, load

__all__ = [
    "Backbone",
    "Batch",
    "Catalog",
    "Comparison",
    "Config",
    "Features",
    "FitReport",
    "Head",
    "HeadModule",
    "LossSum",
    "Predictions",
    "ProcessedBatch",
    "Processor",
    "Strategy",
    "TargetDescription",
    "TaskModel",
    "TaskgraftError",
    "catalog",
    "compare",
    "compose",
    "extract_features",
    "extract_features_to",
    "load",
]

_PLACES = {
    "Backbone": "contract.backbone",
    "Batch": "contract.batch",
    "Comparison": "comparison.results",
    "Features": "contract.features",
    "Head": "contract.head",
    "HeadModule": "contract.head",
    "LossSum": "contract.head",
    "Predictions": "contract.head",
    "ProcessedBatch": "contract.backbone",
    "Processor": "contract.backbone",
    "FitReport": "model",
    "Strategy": "contract.strategy",
    "TargetDescription": "contract.head",
    "TaskModel": "model",
    "compare": "comparison.compare",
    "compose": "model",
    "extract_features": "inference.extract_features",
    "extract_features_to": "inference.extract_features",
    "load": "model",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'taskgraft' has no attribute {name!r}")
    return getattr(import_module(f"taskgraft.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
