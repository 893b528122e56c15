"""All hooks. A plugin is a module with any of these functions, named by an entry point of the group ``taskgraft``.

A plugin states the version of this contract it was built for: ``TASKGRAFT_CONTRACT = "1.1"`` in the same module.
"""

from collections.abc import Iterable

import pluggy

from taskgraft.contract.specs import (
    BackboneSpec,
    BaselineSpec,
    HeadSpec,
    MetricSpec,
    OptimizerSpec,
    ReaderSpec,
    ScheduleSpec,
    SplitSpec,
    StrategySpec,
)

CONTRACT_VERSION = "1.1"
"""The version of hooks, specs and contracts. The first number rises when plugins built for an older one may break."""

ENTRY_POINT_GROUP = "taskgraft"
"""The entry point group of plugins."""

hookspec = pluggy.HookspecMarker("taskgraft")

hookimpl = pluggy.HookimplMarker("taskgraft")
"""Marks a function of a plugin as an implementation of the hook of its name."""


class HookSpecs:
    """The hooks. Each is called once, right after the module is imported, and returns specs: no work, no torch."""

    @hookspec
    def taskgraft_backbones(self) -> Iterable[BackboneSpec]:  # type: ignore[empty-body]
        """List the backbones you provide. Models, weights and downloads belong in a spec's ``build``."""

    @hookspec
    def taskgraft_heads(self) -> Iterable[HeadSpec]:  # type: ignore[empty-body]
        """List the heads you provide. A head works with every backbone that emits a layout it reads."""

    @hookspec
    def taskgraft_strategies(self) -> Iterable[StrategySpec]:  # type: ignore[empty-body]
        """List the strategies you provide. A strategy is a pure function from descriptions to stages."""

    @hookspec
    def taskgraft_readers(self) -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
        """List the readers you provide: file or folder → rows, invalid rows with their line and reason."""

    @hookspec
    def taskgraft_splits(self) -> Iterable[SplitSpec]:  # type: ignore[empty-body]
        """List the splits you provide: rows → training and validation rows, and the leaks that each rejects."""

    @hookspec
    def taskgraft_metrics(self) -> Iterable[MetricSpec]:  # type: ignore[empty-body]
        """List the metrics you provide: predictions, targets and named columns → values by name."""

    @hookspec
    def taskgraft_baselines(self) -> Iterable[BaselineSpec]:  # type: ignore[empty-body]
        """List the baselines you provide: simple predictors, fitted on the same rows."""

    @hookspec
    def taskgraft_optimizers(self) -> Iterable[OptimizerSpec]:  # type: ignore[empty-body]
        """List the optimizers you provide: parameter groups → a torch optimizer."""

    @hookspec
    def taskgraft_schedules(self) -> Iterable[ScheduleSpec]:  # type: ignore[empty-body]
        """List the learning-rate schedules you provide: step and number of steps → factor of the peak rates."""
