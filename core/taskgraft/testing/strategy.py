"""Laws of a strategy: a pure function from descriptions to stages, which the loop carries out with the guard watching."""

import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from taskgraft.adaptation.insertion import (
    InsertedModule,
    InvalidInsertion,
    insert_modules,
    is_inserted,
    original_named_tensors,
    remove_modules,
)
from taskgraft.adaptation.merging import AdapterMerge, MergeError
from taskgraft.adaptation.trainable import InvalidStage, resolve_trainable
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import (
    BackboneDescription,
    HeadDescription,
    InputField,
    Layout,
    Part,
    TargetKind,
    sequence,
    vector,
)
from taskgraft.contract.head import Head
from taskgraft.contract.plan import HeadSolver, Insertion, Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable
from taskgraft.model import NoProbabilities, TaskModel, compose, load
from taskgraft.testing.check import Check, law_of, same_bits, trial

BARE = BackboneDescription((InputField("text"),), (vector(4),), (Part("all", ("all",), vector(4)),))
"""The least that a backbone may be: one part, no roles, no cut but 0."""

LONG = BackboneDescription(
    (),
    (sequence(4), vector(4)),
    tuple(Part(f"part-{number}", (f"layers.{number}",), sequence(4)) for number in range(30)),
    tuple(range(30)),
)
"""Many parts, none with roles."""

TRAINS = (
    "what a strategy trained predicts the same after saving and loading",
    "Keep all that training changes in parameters and buffers that its stages declare.",
)
"""A law, and what to do where it is broken."""


def check_planning_is_pure(strategy: Strategy, backbone: Backbone, head: Head[Any]) -> None:
    """The same descriptions give the same plan, and any description gives a plan or StrategyNotApplicable."""
    law = law_of(
        strategy, "a plan depends on the descriptions and settings alone", "Keep nothing between calls; draw nothing."
    )
    if not _alike(_plan(law, strategy, backbone, head), _plan(law, strategy, backbone, head)):
        raise law.broken("two plans for the same descriptions differ")
    sound = _law(strategy)
    for below in (BARE, LONG):
        for convex in (True, False):
            above = HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY, convex=convex)
            with sound.runs(f"a plan for a backbone without roles (number of parts: {len(below.parts)})"):
                try:
                    plan = strategy.plan(below, above)
                except StrategyNotApplicable:
                    continue
            _check_stages(sound, plan, below, above)


def check_stages_are_valid(strategy: Strategy, backbone: Backbone, head: Head[Any]) -> None:
    """Stages have different names, choose parts that exist, state possible numbers, and solve only what is convex."""
    law = _law(strategy)
    _check_stages(law, _plan(law, strategy, backbone, head), backbone.description, head.description)


def check_stages_fit_a_real_backbone(
    strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
) -> None:
    """On a real backbone every choice finds tensors, and inserted modules are removed without trace."""
    law = _law(strategy)
    tried = trial(deepcopy(backbone), inputs)
    layout = next(layout for layout in head.description.layouts if tried.description.feature(layout))
    feature = tried.description.feature(layout)
    assert feature is not None
    module = head.build_module(feature, head.fit_targets(targets))
    before = tried.features(layout)
    names = list(named_tensors(tried.backbone))
    inserted: tuple[InsertedModule, ...] = ()
    for stage in _plan(law, strategy, backbone, head):
        try:
            inserted = (*inserted, *insert_modules(tried.backbone, stage.insertions, inserted))
            resolve_trainable(stage, tried.backbone, layout, module, inserted)
        except (InvalidStage, InvalidInsertion) as error:
            raise law.broken(str(error).rstrip(".")) from None
    remove_modules(tried.backbone, inserted)
    after = tried.features(layout)
    if list(named_tensors(tried.backbone)) != names or not all(map(same_bits, before.values, after.values)):
        raise law.broken(
            "after its insertions are removed, the backbone is not what it was",
            "Change nothing of the wrapped layer; keep new tensors on the module around it.",
        )


def check_merging_keeps_the_features(strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns) -> None:
    """InsertedModule modules that can be merged give the same features merged, whatever their tensors hold."""
    law = law_of(
        strategy,
        "what can be merged computes the same merged",
        "Answer in 'merge' with a layer that alone computes the same, or leave 'merge' out.",
    )
    tried = trial(deepcopy(backbone), inputs)
    layout = next(layout for layout in head.description.layouts if tried.description.feature(layout))
    inserted: tuple[InsertedModule, ...] = ()
    for stage in _plan(law, strategy, backbone, head):
        inserted = (*inserted, *insert_modules(tried.backbone, stage.insertions, inserted))
    if not inserted or any(one.insertion.merge is None for one in inserted):
        return
    generator = torch.Generator().manual_seed(0)
    for name, tensor in original_named_tensors(tried.backbone, inserted).items():
        if is_inserted(name) and isinstance(tensor, nn.Parameter):
            tensor.data.add_(torch.randn(tensor.shape, generator=generator).to(tensor), alpha=0.02)
    merging = AdapterMerge(tried.backbone, inserted, lambda: tried.features(layout))
    with law.runs("merging"):
        try:
            merging.merge()
        except MergeError as error:
            raise law.broken(str(error).rstrip(".")) from None


def check_trained_model_reloads_bit_for_bit(
    strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
) -> None:
    """The real loop carries out the plan with the guard watching; saved and loaded, predictions are equal bit for bit.

    Raises:
        WeightGuardError: when something else moved than what the stages declare, or something declared did not.
    """
    model = compose(deepcopy(backbone), head, strategy)

    def again(path: Path) -> TaskModel:
        return load(path, backbone=deepcopy(backbone), head=head, strategy=strategy)

    keep_their_word(law_of(strategy, *TRAINS), model, again, inputs, targets)


def keep_their_word(
    law: Check, model: TaskModel, loaded: Callable[[Path], TaskModel], inputs: Columns, targets: Columns
) -> None:
    """Train a model for two steps, save it, load it, and compare tensors and predictions bit for bit.

    Args:
        loaded: gives the model that a folder holds.
    """
    rows = len(next(iter(targets.values())))
    with law.runs("training"):
        model.fit(
            {**inputs, **targets},
            validation={**inputs, **targets},
            target=tuple(targets),
            training={"epochs": 1, "batch_size": -(-rows // 2), "warmup": 0.0},
            quiet=True,
        )
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder, law.runs("saving and loading"):
        again = loaded(model.save(Path(folder) / "artifact"))
    if _predictions(model, inputs) != _predictions(again, inputs):
        raise law.broken("predictions differ after loading")
    assert model.fitted is not None
    assert again.fitted is not None
    now, then = again.fitted.task.state_dict(), model.fitted.task.state_dict()
    if differing := [name for name in then if name not in now or not same_bits(now[name], then[name].cpu())]:
        raise law.broken(f"the tensor {differing[0]} differs after loading")


def _predictions(model: TaskModel, inputs: Columns) -> list[Any]:
    """Predict probabilities where the head has any: floats show a difference of one bit, labels do not."""
    try:
        return model.predict_proba(dict(inputs), quiet=True)
    except NoProbabilities:
        return model.predict(dict(inputs), quiet=True)


def _law(strategy: Strategy) -> Check:
    return law_of(
        strategy,
        "stages say what can be carried out",
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    )


def _plan(law: Check, strategy: Strategy, backbone: Backbone, head: Head[Any]) -> Plan:
    with law.runs("planning"):
        return strategy.plan(backbone.description, head.description)


def _check_stages(law: Check, plan: Plan, backbone: BackboneDescription, head: HeadDescription) -> None:
    if not isinstance(plan, tuple) or not plan or not all(isinstance(stage, Stage) for stage in plan):
        raise law.broken(f"plan answers with {plan!r:.80}, not with a tuple of stages", "Answer (Stage(…), …).")
    names = [stage.name for stage in plan]
    if len(set(names)) != len(names) or not all(names):
        raise law.broken(f"the stages are called {names}", "Give each its own name.")
    parts = [part.name for part in backbone.parts]
    for stage in plan:
        groups: tuple[Unfreeze | Insertion, ...] = (*stage.unfreeze, *stage.insertions)
        chosen = [name for one in groups for name in one.parts]
        if strange := [name for name in chosen if name not in parts]:
            raise law.broken(f"stage '{stage.name}' names the part '{strange[0]}'; the parts are {', '.join(parts)}")
        rates = [one.learning_rate for one in groups]
        rates += [] if stage.head_learning_rate is None else [stage.head_learning_rate]
        if not rates:
            raise law.broken(f"in stage '{stage.name}' nothing learns")
        if any(not 0 <= rate < float("inf") for rate in rates):
            raise law.broken(f"stage '{stage.name}' has the rates {rates}")
        if stage.solve == HeadSolver.CONVEX and (stage.unfreeze or stage.insertions or not head.convex):
            why = "other weights learn in it" if stage.unfreeze or stage.insertions else "the head's loss is not convex"
            raise law.broken(f"stage '{stage.name}' solves for the head, but {why}", "Use HeadSolver.DESCENT there.")
        if any(number is not None and number < 1 for number in (stage.epochs, stage.patience)):
            raise law.broken(f"stage '{stage.name}' has {stage.epochs} epochs and a patience of {stage.patience}")
    if all(stage.head_learning_rate is None for stage in plan):
        raise law.broken("the head learns in no stage", "Give a stage a head_learning_rate.")


def _alike(first: Any, second: Any) -> bool:
    """Compare plans; functions made anew are alike when their code is."""
    if is_dataclass(first) and type(first) is type(second):
        return all(_alike(getattr(first, field.name), getattr(second, field.name)) for field in fields(first))
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_alike, first, second))
    if callable(first) and callable(second) and not isinstance(first, type):
        return getattr(first, "__code__", type(first)) == getattr(second, "__code__", type(second))
    return bool(first == second)
