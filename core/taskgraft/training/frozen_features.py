"""Frozen features: what comes before the first trainable part is computed once per row, and cached at a cut."""

from dataclasses import asdict, dataclass
from pathlib import Path

from taskgraft.adaptation.trainable import TrainableTensors
from taskgraft.contract.batch import Batch
from taskgraft.contract.plan import Stage
from taskgraft.data.batching import batch_budget
from taskgraft.data.examples import EncodedDataset
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.feature_checks import check_features
from taskgraft.engine.forward import cache_features, show_progress
from taskgraft.engine.shared_cache import SharedCacheKeys
from taskgraft.engine.task_module import TaskModule
from taskgraft.preparation.identity import frozen_digest
from taskgraft.progress import ProgressReporter
from taskgraft.recipe import TrainingConfig

AUGMENTATION_OFF = "Frozen layers are cached, so augmentation is off in this stage: every epoch sees the same examples."


@dataclass(frozen=True)
class FrozenFeatures:
    """Caches what frozen layers compute, in a temporary folder or in a cache shared with other runs."""

    task: TaskModule
    settings: TrainingConfig
    reporter: ProgressReporter
    folder: Path
    shared: SharedCacheKeys | None = None

    def choose_cut(self, stage: Stage, trainable: TrainableTensors, batch: Batch) -> int | None:
        """Choose the latest cut before anything trainable at which resumed features equal those of a whole pass.

        Also sets ``TaskModule.padding_invariant``. Both are checked on a batch of training rows.

        Returns:
            the cut; None for the features themselves, and 0 for the inputs: nothing is cached.
        """
        backbone, layout = self.task.backbone, self.task.layout
        backbone.eval()
        parts, first = len(backbone.description.parts), trainable.first_part()
        cacheable = stage.cache_features and self.task.cacheable
        cuts = [cut for cut in backbone.description.cuts_for(layout) if 0 < cut <= first < parts]
        checks = check_features(backbone, batch, layout, cuts[-1:] if cacheable else [])
        self.task.padding_invariant = checks.padding_invariant
        if cacheable and first == parts:
            return None
        return max(checks.cuts, default=0)

    def cache(
        self, cut: int | None, dataset: EncodedDataset, kind: str, stage: int, *, resumed: bool
    ) -> EncodedDataset:
        """Return a data set whose inputs are the cached states at a cut, or features.

        Args:
            kind: ``training`` or ``validation``, of the stage with an index.
            resumed: whether they were computed before this run was interrupted.
        """
        if cut == 0:
            return dataset
        if dataset.augmenter is not None:
            self.reporter.message(AUGMENTATION_OFF)
        if self.shared is None:
            cache = TensorCache(self.folder / str(stage) / kind, self.settings.memory)
            return EncodedDataset(self._compute(cut, dataset, cache), dataset.targets)
        key = {
            **self.shared.keys[kind],
            "weights": frozen_digest(self.task.backbone, cut),
            "cut": cut,
            "layout": self.task.layout,
            "batches": asdict(batch_budget(self.settings)),
        }
        inputs = self.shared.cache.get_or_compute(
            key, lambda cache: self._compute(cut, dataset, cache), self.reporter.message, resumed=resumed
        )
        return EncodedDataset(inputs, dataset.targets)

    def _compute(self, cut: int | None, dataset: EncodedDataset, cache: TensorCache) -> TensorCache:
        budget, progress = batch_budget(self.settings), show_progress(self.reporter, "caching frozen features")
        return cache_features(self.task, cut, dataset.inputs, cache, budget, progress, self.settings.workers)
