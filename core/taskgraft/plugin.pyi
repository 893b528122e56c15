# Every name that `from taskgraft.plugin import …` finds, and the module that defines it.
# ruff: noqa: I001 - one statement per module

from .contract.backbone import (
    Backbone as Backbone,
    ExportNotSupported as ExportNotSupported,
    named_tensors as named_tensors,
)
from .contract.batch import Batch as Batch, length_mask as length_mask
from .contract.columns import Columns as Columns, ElementCounts as ElementCounts
from .contract.config import (
    Config as Config,
    ConfigError as ConfigError,
    EmptyConfig as EmptyConfig,
    parse_config as parse_config,
)
from .contract.descriptions import (
    BackboneDescription as BackboneDescription,
    FeatureDescription as FeatureDescription,
    HeadDescription as HeadDescription,
    InputField as InputField,
    LayerRole as LayerRole,
    Layout as Layout,
    Part as Part,
    TargetKind as TargetKind,
    sequence as sequence,
    vector as vector,
)
from .contract.features import ELEMENT_AXIS as ELEMENT_AXIS, Features as Features, GridGeometry as GridGeometry
from .contract.head import Head as Head, HeadModule as HeadModule, LossSum as LossSum
from .contract.hooks import CONTRACT_VERSION as CONTRACT_VERSION, hookimpl as hookimpl
from .labels import (
    Label as Label,
    build_vocabulary as build_vocabulary,
    check_labels_present as check_labels_present,
    label_indices as label_indices,
    label_key as label_key,
    sort_labels as sort_labels,
    to_json_label as to_json_label,
)
from .contract.masking import (
    CATEGORY as CATEGORY,
    NUMBER as NUMBER,
    ElementKind as ElementKind,
    ElementSchema as ElementSchema,
)
from .contract.plan import (
    GradientRule as GradientRule,
    HeadSolver as HeadSolver,
    Insertion as Insertion,
    MakeOptimizer as MakeOptimizer,
    ParameterGroups as ParameterGroups,
    Plan as Plan,
    Schedule as Schedule,
    SharedWrap as SharedWrap,
    Stage as Stage,
    Teacher as Teacher,
    Unfreeze as Unfreeze,
    Wrap as Wrap,
)
from .contract.predictions import Predictions as Predictions
from .contract.processor import (
    AugmentedBatch as AugmentedBatch,
    ProcessedBatch as ProcessedBatch,
    Processor as Processor,
)
from .contract.callback import Callback as Callback, MakeCallback as MakeCallback, StageRun as StageRun
from .contract.cell_formats import CellFormats as CellFormats
from .contract.component_ref import ComponentRef as ComponentRef
from .contract.rows import (
    FIX_ADVICE as FIX_ADVICE,
    FIX_OR_SKIP_ADVICE as FIX_OR_SKIP_ADVICE,
    InvalidRows as InvalidRows,
    MissingColumn as MissingColumn,
    Rows as Rows,
    UnreadableFile as UnreadableFile,
    to_arrow as to_arrow,
)
from .contract.specs import (
    BackboneSpec as BackboneSpec,
    BaselineSpec as BaselineSpec,
    Example as Example,
    HeadSpec as HeadSpec,
    MetricFunction as MetricFunction,
    MetricSpec as MetricSpec,
    OptimizerSpec as OptimizerSpec,
    ReaderSpec as ReaderSpec,
    ScheduleSpec as ScheduleSpec,
    SplitSpec as SplitSpec,
    StrategySpec as StrategySpec,
)
from .contract.strategy import Strategy as Strategy, StrategyNotApplicable as StrategyNotApplicable
from .contract.targets import (
    InvalidTargets as InvalidTargets,
    TargetDescription as TargetDescription,
    is_missing as is_missing,
    raise_invalid as raise_invalid,
    single_column as single_column,
)
from .reading.arrow_spool import ArrowSpool as ArrowSpool, RecordWriter as RecordWriter
from .reading.cell_formats import (
    CODE_PATTERN as CODE_PATTERN,
    NUMBER_PATTERN as NUMBER_PATTERN,
    format_cells as format_cells,
)
from .reading.format_advice import (
    FormatAdvice as FormatAdvice,
    advise_dates as advise_dates,
    advise_numbers as advise_numbers,
    format_hint as format_hint,
)
from .reading.known_labels import (
    find_label as find_label,
    match_label as match_label,
    unseen_label_message as unseen_label_message,
)
from .process_wide import SharedSetting as SharedSetting, ignored_warnings as ignored_warnings
from .files.json_text import parse_json as parse_json
from .files.limits import LINE_VARIABLE as LINE_VARIABLE, MAX_LINE_BYTES as MAX_LINE_BYTES, limit as limit
from .files.open_file import open_plain_or_gzip as open_plain_or_gzip
from .files.regular_file import (
    check_regular_file as check_regular_file,
    open_regular_file as open_regular_file,
    read_small_file as read_small_file,
)
from .engine.new_tensors import (
    ModelTooLarge as ModelTooLarge,
    build_limited as build_limited,
    limit_new_tensors as limit_new_tensors,
)
from .reading.read import read_file as read_file
from .data.standardization import (
    LARGEST_SCALED as LARGEST_SCALED,
    is_constant as is_constant,
    mean_and_scale as mean_and_scale,
    scale_numbers as scale_numbers,
    too_far as too_far,
)
from .data.soft_labels import split_soft_labels as split_soft_labels
from .reading.splitting import split_by_column as split_by_column
from .engine.linear_readout import (
    LinearReadout as LinearReadout,
    mean_of_members as mean_of_members,
    per_member as per_member,
)
from .errors import (
    TaskgraftError as TaskgraftError,
    TaskgraftWarning as TaskgraftWarning,
    closest_match as closest_match,
    join_words as join_words,
    printable as printable,
    shorten as shorten,
)
from .figures import figure_settings as figure_settings, figure_text as figure_text
from .evaluation.positive_class import positive_class as positive_class
from .evaluation.detailed_metric import DetailedMetric as DetailedMetric
from .evaluation.ranking import RankingCurves as RankingCurves
from .storage.checkpoints import (
    Checkpoint as Checkpoint,
    InvalidCheckpoint as InvalidCheckpoint,
    MissingTensors as MissingTensors,
    UnknownPart as UnknownPart,
    base_fingerprint as base_fingerprint,
    check_model_size as check_model_size,
    read_json as read_json,
    translate_errors as translate_errors,
    weight_files as weight_files,
)
from .storage.fingerprints import checkpoint_fingerprint as checkpoint_fingerprint, combined_digest as combined_digest
