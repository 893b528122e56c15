"""Laws of a strategy: a pure function from descriptions to stages, which the trainer runs under the weight guard."""

from collections.abc import Callable
from contextlib import suppress
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
    original_name,
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
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.inference.errors import NoProbabilities
from taskgraft.model.compose import compose, load
from taskgraft.model.task_model import TaskModel
from taskgraft.testing.backbone_fixture import prepare_backbone
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import feature_distance, same_bits

_STAGE_ADVICE = (
    "Select parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason."
)

RELOAD_ADVICE = "Keep everything that training changes in parameters and buffers that the stages declare."

_MINIMAL = BackboneDescription((InputField("text"),), (vector(4),), (Part("all", ("all",), vector(4)),))
"""The least that a backbone may be: one part, no roles, no cut but 0."""

_DEEP = BackboneDescription(
    (),
    (sequence(4), vector(4)),
    tuple(Part(f"part-{number}", (f"layers.{number}",), sequence(4)) for number in range(30)),
    tuple(range(30)),
)
"""Many parts, none with roles."""


@law_check("Keep nothing between calls; use no random numbers.")
def check_planning_is_pure(law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any]) -> None:
    """The same descriptions give the same plan, however often, and whatever was planned in between."""
    first = _plan(law, strategy, backbone, head)
    for call in range(2, 12):
        if not _same_plan(first, _plan(law, strategy, backbone, head)):
            which = {2: "two plans", 3: "the first plan and the 3rd"}.get(call, f"the first plan and the {call}th")
            raise law.violation(f"{which} for the same descriptions differ")
    with suppress(StrategyNotApplicable):
        strategy.plan(_DEEP, HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY))
    if not _same_plan(first, _plan(law, strategy, backbone, head)):
        raise law.violation("a plan differs after another backbone was planned for")


@law_check(_STAGE_ADVICE)
def check_stages_are_valid(law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any]) -> None:
    """Stages have unique names, select existing parts, state possible numbers, and solve only for a convex head.

    Any description gives a plan or StrategyNotApplicable.
    """
    _check_stages(law, _plan(law, strategy, backbone, head), backbone.description, head.description)
    for description in (_MINIMAL, _DEEP):
        for convex in (True, False):
            head_description = HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY, convex=convex)
            with law.must_succeed(f"a plan for a backbone without roles (parts: {len(description.parts)})"):
                try:
                    plan = strategy.plan(description, head_description)
                except StrategyNotApplicable:
                    continue
            _check_stages(law, plan, description, head_description)


@law_check(_STAGE_ADVICE)
def check_stages_fit_a_real_backbone(
    law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
) -> None:
    """On a real backbone every selection finds tensors, and inserted modules can be removed without a trace."""
    tested = prepare_backbone(deepcopy(backbone), inputs)
    layout = _shared_layout(tested.description, head)
    feature = tested.description.feature(layout)
    assert feature is not None
    module = head.build_module(feature, head.fit_targets(targets))
    before = tested.features(layout)
    names = list(named_tensors(tested.backbone))
    inserted: tuple[InsertedModule, ...] = ()
    for stage in _plan(law, strategy, backbone, head):
        try:
            inserted = (*inserted, *insert_modules(tested.backbone, stage.insertions, inserted))
            resolve_trainable(stage, tested.backbone, layout, module, inserted)
            _check_nothing_is_shared(law, tested.backbone, inserted)
        except (InvalidStage, InvalidInsertion) as error:
            raise law.violation(str(error).rstrip(".")) from None
    remove_modules(tested.backbone, inserted)
    after = tested.features(layout)
    if list(named_tensors(tested.backbone)) != names or not all(map(same_bits, before.values, after.values)):
        raise law.violation(
            "after its insertions are removed, the backbone has changed",
            "Change nothing of the wrapped layer; keep new tensors on the module around it.",
        )


@law_check(
    "Initialize what is added to zero, and what is multiplied to one. Where the start cannot be neutral, leave 'merge' out."
)
def check_mergeable_insertions_start_neutral(
    law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns
) -> None:
    """Inserted modules that can be merged leave the features as they are before training. Others, such as prompts, pass."""
    tested = prepare_backbone(deepcopy(backbone), inputs)
    layout = _shared_layout(tested.description, head)
    before = tested.features(layout)
    inserted: tuple[InsertedModule, ...] = ()
    for stage in _plan(law, strategy, backbone, head):
        if any(insertion.merge is None for insertion in stage.insertions):
            return
        inserted = (*inserted, *insert_modules(tested.backbone, stage.insertions, inserted))
    far = feature_distance(before, tested.features(layout))
    if far > 1e-4:
        raise law.violation(f"{layout} features differ by {far:.1e} after the insertions, before any training")


@law_check("Return from 'merge' a layer that alone computes the same, or leave 'merge' out.")
def check_merging_keeps_the_features(
    law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns
) -> None:
    """Inserted modules that can be merged give the same features after merging, whatever their weights are."""
    tested = prepare_backbone(deepcopy(backbone), inputs)
    layout = _shared_layout(tested.description, head)
    inserted: tuple[InsertedModule, ...] = ()
    for stage in _plan(law, strategy, backbone, head):
        inserted = (*inserted, *insert_modules(tested.backbone, stage.insertions, inserted))
    if not inserted or any(one.insertion.merge is None for one in inserted):
        return
    generator = torch.Generator().manual_seed(0)
    for name, tensor in original_named_tensors(tested.backbone, inserted).items():
        if is_inserted(name) and isinstance(tensor, nn.Parameter):
            tensor.data.add_(torch.randn(tensor.shape, generator=generator).to(tensor), alpha=0.02)
    merge = AdapterMerge(tested.backbone, inserted, lambda: tested.features(layout))
    with law.must_succeed("merging"):
        try:
            merge.merge()
        except MergeError as error:
            raise law.violation(str(error).rstrip(".")) from None


@law_check(RELOAD_ADVICE)
def check_trained_model_reloads_bit_for_bit(
    law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
) -> None:
    """The trainer runs the plan under the weight guard; saved and loaded, predictions are equal bit for bit.

    Raises:
        WeightGuardError: when something changed that the stages do not declare, or something declared did not.
    """
    model = compose(deepcopy(backbone), head, strategy)

    def load_again(path: Path) -> TaskModel:
        return load(path, backbone=deepcopy(backbone), head=head, strategy=strategy)

    train_and_reload(law, model, load_again, inputs, targets)


def train_and_reload(
    law: Law, model: TaskModel, load_again: Callable[[Path], TaskModel], inputs: Columns, targets: Columns
) -> None:
    """Train a model for two steps, save it, load it, and compare tensors and predictions bit for bit.

    Args:
        load_again: loads the model from a folder.
    """
    rows = len(next(iter(targets.values())))
    with law.must_succeed("training"):
        model.fit(
            {**inputs, **targets},
            validation={**inputs, **targets},
            target=tuple(targets),
            training={"epochs": 1, "batch_size": -(-rows // 2), "warmup": 0.0},
            quiet=True,
        )
    with temporary_folder() as folder, law.must_succeed("saving and loading"):
        loaded = load_again(model.save(folder / "artifact"))
    if _predictions(model, inputs) != _predictions(loaded, inputs):
        raise law.violation("predictions differ after loading")
    assert model.fitted is not None
    assert loaded.fitted is not None
    before, after = model.fitted.task.state_dict(), loaded.fitted.task.state_dict()
    if changed := [name for name in before if name not in after or not same_bits(after[name], before[name].cpu())]:
        raise law.violation(f"the tensor {changed[0]} differs after loading")


def _check_nothing_is_shared(law: Law, backbone: Backbone, inserted: tuple[InsertedModule, ...]) -> None:
    """Check that no trainable parameter has two names of which one is inserted: the optimizer would see it twice."""
    owners: dict[int, str] = {}
    for present, parameter in backbone.named_parameters(remove_duplicate=False):
        name = original_name(present, inserted)
        other = owners.setdefault(id(parameter), name)
        if other != name and parameter.requires_grad and (is_inserted(name) or is_inserted(other)):
            raise law.violation(
                f"the inserted parameter {name} is also {other}", "Give each inserted module parameters of its own."
            )


def _predictions(model: TaskModel, inputs: Columns) -> list[Any]:
    """Predict probabilities when the head has them: floats show a difference of one bit, labels do not."""
    try:
        return model.predict_proba(dict(inputs), quiet=True)
    except NoProbabilities:
        return model.predict(dict(inputs), quiet=True)


def _shared_layout(description: BackboneDescription, head: Head[Any]) -> Layout:
    return next(layout for layout in head.description.layouts if description.feature(layout))


def _plan(law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any]) -> Plan:
    with law.must_succeed("planning"):
        return strategy.plan(backbone.description, head.description)


def _check_stages(law: Law, plan: Plan, backbone: BackboneDescription, head: HeadDescription) -> None:
    if not isinstance(plan, tuple) or not plan or not all(isinstance(stage, Stage) for stage in plan):
        raise law.violation(f"plan returns {plan!r:.80}, not a tuple of stages", "Return (Stage(…), …).")
    names = [stage.name for stage in plan]
    if len(set(names)) != len(names) or not all(names):
        raise law.violation(f"the stages are called {names}", "Give each its own name.")
    for stage in plan:
        _check_stage(law, stage, [part.name for part in backbone.parts], head)
    if all(stage.head_learning_rate is None for stage in plan):
        raise law.violation("the head is trained in no stage", "Give a stage a head_learning_rate.")


def _check_stage(law: Law, stage: Stage, parts: list[str], head: HeadDescription) -> None:
    groups: tuple[Unfreeze | Insertion, ...] = (*stage.unfreeze, *stage.insertions)
    if unknown := [name for one in groups for name in one.parts if name not in parts]:
        raise law.violation(f"stage '{stage.name}' names the part '{unknown[0]}'; the parts are {', '.join(parts)}")
    rates = [one.learning_rate for one in groups]
    rates += [] if stage.head_learning_rate is None else [stage.head_learning_rate]
    if not rates:
        raise law.violation(f"stage '{stage.name}' trains nothing")
    if any(not 0 <= rate < float("inf") for rate in rates):
        raise law.violation(f"stage '{stage.name}' has the learning rates {rates}")
    if stage.solve == HeadSolver.CONVEX and (groups or not head.convex):
        why = "it also trains other weights" if groups else "the head's loss is not convex"
        raise law.violation(f"stage '{stage.name}' solves for the head, but {why}", "Use HeadSolver.DESCENT there.")
    if any(number is not None and number < 1 for number in (stage.epochs, stage.patience)):
        raise law.violation(f"stage '{stage.name}' has {stage.epochs} epochs and a patience of {stage.patience}")


def _same_plan(first: Any, second: Any) -> bool:
    """Compare plans; functions created again are equal when their code is."""
    if is_dataclass(first) and type(first) is type(second):
        return all(_same_plan(getattr(first, field.name), getattr(second, field.name)) for field in fields(first))
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_same_plan, first, second))
    if callable(first) and callable(second) and not isinstance(first, type):
        one, other = (getattr(function, "__code__", type(function)) for function in (first, second))
        return one == other and _same_plan(_bound(first), _bound(second))
    return bool(first == second)


def _bound(function: Any) -> tuple[Any, ...]:
    """Return the values that a function keeps: of a closure, its defaults, a partial call; those that can be compared."""
    kept = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    kept += [*(getattr(function, "__defaults__", None) or ()), *getattr(function, "args", ())]
    kept += [value for _, value in sorted(getattr(function, "keywords", {}).items())]
    return tuple(one for one in kept if isinstance(one, str | int | float | tuple | frozenset) or callable(one))
