# Every name that `from taskgraft.plugin import …` finds, and the module that defines it.

from .contract.backbone import (
    AugmentedBatch as AugmentedBatch,
)
from .contract.backbone import (
    Backbone as Backbone,
)
from .contract.backbone import (
    ExportNotSupported as ExportNotSupported,
)
from .contract.backbone import (
    ProcessedBatch as ProcessedBatch,
)
from .contract.backbone import (
    Processor as Processor,
)
from .contract.backbone import (
    named_tensors as named_tensors,
)
from .contract.batch import Batch as Batch
from .contract.batch import length_mask as length_mask
from .contract.columns import Columns as Columns
from .contract.columns import ElementCounts as ElementCounts
from .contract.config import (
    Config as Config,
)
from .contract.config import (
    ConfigError as ConfigError,
)
from .contract.config import (
    EmptyConfig as EmptyConfig,
)
from .contract.config import (
    parse_config as parse_config,
)
from .contract.descriptions import (
    BackboneDescription as BackboneDescription,
)
from .contract.descriptions import (
    FeatureDescription as FeatureDescription,
)
from .contract.descriptions import (
    HeadDescription as HeadDescription,
)
from .contract.descriptions import (
    InputField as InputField,
)
from .contract.descriptions import (
    LayerRole as LayerRole,
)
from .contract.descriptions import (
    Layout as Layout,
)
from .contract.descriptions import (
    Part as Part,
)
from .contract.descriptions import (
    TargetKind as TargetKind,
)
from .contract.descriptions import (
    sequence as sequence,
)
from .contract.descriptions import (
    vector as vector,
)
from .contract.features import ELEMENT_AXIS as ELEMENT_AXIS
from .contract.features import Features as Features
from .contract.features import GridGeometry as GridGeometry
from .contract.head import (
    Head as Head,
)
from .contract.head import (
    HeadModule as HeadModule,
)
from .contract.head import (
    InvalidTargets as InvalidTargets,
)
from .contract.head import (
    LossSum as LossSum,
)
from .contract.head import (
    Predictions as Predictions,
)
from .contract.head import (
    TargetDescription as TargetDescription,
)
from .contract.head import (
    is_missing as is_missing,
)
from .contract.head import (
    unseen_label_message as unseen_label_message,
)
from .contract.hooks import CONTRACT_VERSION as CONTRACT_VERSION
from .contract.hooks import hookimpl as hookimpl
from .contract.labels import (
    Label as Label,
)
from .contract.labels import (
    build_vocabulary as build_vocabulary,
)
from .contract.labels import (
    check_labels_present as check_labels_present,
)
from .contract.labels import (
    find_label as find_label,
)
from .contract.labels import (
    label_indices as label_indices,
)
from .contract.labels import (
    label_key as label_key,
)
from .contract.labels import (
    raise_invalid as raise_invalid,
)
from .contract.labels import (
    single_column as single_column,
)
from .contract.labels import (
    sort_labels as sort_labels,
)
from .contract.labels import (
    to_json_label as to_json_label,
)
from .contract.masking import (
    CATEGORY as CATEGORY,
)
from .contract.masking import (
    NUMBER as NUMBER,
)
from .contract.masking import (
    ElementKind as ElementKind,
)
from .contract.masking import (
    ElementSchema as ElementSchema,
)
from .contract.plan import (
    HeadSolver as HeadSolver,
)
from .contract.plan import (
    Insertion as Insertion,
)
from .contract.plan import (
    Plan as Plan,
)
from .contract.plan import (
    SharedWrap as SharedWrap,
)
from .contract.plan import (
    Stage as Stage,
)
from .contract.plan import (
    Teacher as Teacher,
)
from .contract.plan import (
    Unfreeze as Unfreeze,
)
from .contract.plan import (
    Wrap as Wrap,
)
from .contract.recipe import ComponentRef as ComponentRef
from .contract.rows import (
    FIX_ADVICE as FIX_ADVICE,
)
from .contract.rows import (
    FIX_OR_SKIP_ADVICE as FIX_OR_SKIP_ADVICE,
)
from .contract.rows import (
    InvalidRows as InvalidRows,
)
from .contract.rows import (
    MissingColumn as MissingColumn,
)
from .contract.rows import (
    Rows as Rows,
)
from .contract.rows import (
    UnreadableFile as UnreadableFile,
)
from .contract.rows import (
    to_arrow as to_arrow,
)
from .contract.specs import (
    BackboneSpec as BackboneSpec,
)
from .contract.specs import (
    BaselineSpec as BaselineSpec,
)
from .contract.specs import (
    Example as Example,
)
from .contract.specs import (
    HeadSpec as HeadSpec,
)
from .contract.specs import (
    MetricFunction as MetricFunction,
)
from .contract.specs import (
    MetricSpec as MetricSpec,
)
from .contract.specs import (
    ReaderSpec as ReaderSpec,
)
from .contract.specs import (
    SplitSpec as SplitSpec,
)
from .contract.specs import (
    StrategySpec as StrategySpec,
)
from .contract.strategy import Strategy as Strategy
from .contract.strategy import StrategyNotApplicable as StrategyNotApplicable
from .data.arrow_spool import ArrowSpool as ArrowSpool
from .data.arrow_spool import RecordWriter as RecordWriter
from .data.open_file import open_plain_or_gzip as open_plain_or_gzip
from .data.reading import read_file as read_file
from .data.soft_labels import split_soft_labels as split_soft_labels
from .data.splitting import split_by_column as split_by_column
from .engine.linear_readout import (
    LinearReadout as LinearReadout,
)
from .engine.linear_readout import (
    mean_of_members as mean_of_members,
)
from .engine.linear_readout import (
    per_member as per_member,
)
from .errors import TaskgraftError as TaskgraftError
from .errors import closest_match as closest_match
from .errors import join_words as join_words
from .evaluation.ranking import RankingCurves as RankingCurves
from .storage.checkpoints import (
    Checkpoint as Checkpoint,
)
from .storage.checkpoints import (
    InvalidCheckpoint as InvalidCheckpoint,
)
from .storage.checkpoints import (
    MissingTensors as MissingTensors,
)
from .storage.checkpoints import (
    UnknownPart as UnknownPart,
)
from .storage.checkpoints import (
    base_fingerprint as base_fingerprint,
)
from .storage.checkpoints import (
    read_json as read_json,
)
from .storage.checkpoints import (
    translating_errors as translating_errors,
)
from .storage.checkpoints import (
    weight_files as weight_files,
)
from .storage.fingerprints import checkpoint_fingerprint as checkpoint_fingerprint
from .storage.fingerprints import combined_digest as combined_digest
