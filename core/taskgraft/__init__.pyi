# Every name that `import taskgraft` gives, and the module that defines it.
# ruff: noqa: I001 - one statement per module

from .comparison.compare import compare as compare
from .comparison.results import Comparison as Comparison
from .contract.backbone import Backbone as Backbone
from .contract.batch import Batch as Batch
from .contract.config import Config as Config
from .contract.features import Features as Features
from .contract.head import Head as Head, HeadModule as HeadModule, LossSum as LossSum
from .contract.predictions import Predictions as Predictions
from .contract.processor import ProcessedBatch as ProcessedBatch, Processor as Processor
from .contract.strategy import Strategy as Strategy
from .contract.targets import TargetDescription as TargetDescription
from .discovery.catalog import Catalog as Catalog, catalog as catalog
from .errors import TaskgraftError as TaskgraftError
from .inference.extract_features import extract_features as extract_features, extract_features_to as extract_features_to
from .model.compose import compose as compose, load as load
from .model.fit import FitReport as FitReport
from .model.task_model import TaskModel as TaskModel
