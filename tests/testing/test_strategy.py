"""Each check of the conformance kit for strategies catches a fault planted for it, and says so in the author's "
"terms."""

import random
from dataclasses import dataclass, replace

import pytest
import torch
from backbones import WORDS, Words
from grafts import Grafts
from torch import nn

from taskgraft.adaptation.guard import WeightGuardError
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.features import Features
from taskgraft.contract.plan import HeadSolver, Insertion, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable
from taskgraft.testing import ContractViolation
from taskgraft.testing import strategy as of_strategy

LABELS = {"label": ["cat", "dog", "cat", "bird", "dog", "bird"]}


def head():
    return Classification(ClassificationConfig())


def planning(*stages):
    class Planned(Strategy):
        def plan(self, backbone, head):
            return tuple(stages)

    return Planned()


class Cautious(Strategy):
    """Refuses a backbone without roles, as it should."""

    def plan(self, backbone, head):
        if not any(part.roles for part in backbone.parts):
            raise StrategyNotApplicable("this strategy needs roles")
        return (Stage("last", (Unfreeze((backbone.parts[-1].name,), 1e-3),), head_learning_rate=1e-3),)


class Counts(Strategy):
    calls = 0

    def plan(self, backbone, head):
        self.calls += 1
        return (Stage(f"call {self.calls}", head_learning_rate=1e-3),)


class Random(Strategy):
    def plan(self, backbone, head):
        return (Stage("random", head_learning_rate=random.random()),)


class NeedsRoles(Strategy):
    """Takes for granted that the first part has roles."""

    def plan(self, backbone, head):
        with_roles = [part for part in backbone.parts if part.roles]
        return (Stage("roles", (Unfreeze((with_roles[0].name,), 1e-3),), head_learning_rate=1e-3),)


class Scaled(nn.Module):
    def __init__(self, wrapped):
        super().__init__()
        self.wrapped = wrapped
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, value):
        return self.wrapped(value) * self.scale


class Halved(Scaled):
    """Changes the layer it stands around."""

    def __init__(self, wrapped):
        super().__init__(wrapped)
        with torch.no_grad():
            wrapped.weight.mul_(0.5)


def inserting(wrap):
    return planning(
        Stage(
            "inserted",
            insertions=(Insertion("scale", ("block-0",), frozenset({LayerRole.QUERY}), wrap, 1e-3),),
            head_learning_rate=1e-3,
        )
    )


def nudge(backbone, step):
    """Moves a weight that no stage declares."""
    with torch.no_grad():
        backbone.embedding.weight.add_(0.1)


LAST = Unfreeze(("block-1",), 1e-3)


@dataclass
class Planted:
    check: object
    make: object
    message: str

    def __str__(self):
        return f"{self.check.__name__.removeprefix('check_')}-{type(self.make()).__name__}"


PLANTED = (
    Planted(
        of_strategy.check_planning_is_pure,
        Counts,
        "Counts breaks the law 'a plan depends on the descriptions and settings alone':\n"
        "two plans for the same descriptions differ.\n"
        "Keep nothing between calls; draw nothing.",
    ),
    Planted(
        of_strategy.check_planning_is_pure,
        Random,
        "Random breaks the law 'a plan depends on the descriptions and settings alone':\n"
        "two plans for the same descriptions differ.\n"
        "Keep nothing between calls; draw nothing.",
    ),
    Planted(
        of_strategy.check_planning_is_pure,
        NeedsRoles,
        "NeedsRoles breaks the law 'stages say what can be carried out':\n"
        "a plan for a backbone without roles (number of parts: 1) raises IndexError: list index out of range.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_planning_is_pure,
        lambda: planning(Stage("last", (LAST,), head_learning_rate=1e-3)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "stage 'last' names the part 'block-1'; the parts are all.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        planning,
        "Planned breaks the law 'stages say what can be carried out':\n"
        "plan answers with (), not with a tuple of stages.\n"
        "Answer (Stage(…), …).",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one", head_learning_rate=1e-3), Stage("one", head_learning_rate=1e-3)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "the stages are called ['one', 'one'].\n"
        "Give each its own name.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one", (Unfreeze(("block-7",), 1e-3),), head_learning_rate=1e-3)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "stage 'one' names the part 'block-7'; the parts are embedding, block-0, block-1.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one")),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "in stage 'one' nothing learns.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one", (LAST,))),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "the head learns in no stage.\n"
        "Give a stage a head_learning_rate.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one", head_learning_rate=-1.0)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "stage 'one' has the rates [-1.0].\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one", (LAST,), head_learning_rate=1e-3, solve=HeadSolver.CONVEX)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "stage 'one' solves for the head, but other weights learn in it.\n"
        "Use HeadSolver.DESCENT there.",
    ),
    Planted(
        of_strategy.check_stages_are_valid,
        lambda: planning(Stage("one", head_learning_rate=1e-3, epochs=0)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "stage 'one' has 0 epochs and a patience of None.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_fit_a_real_backbone,
        lambda: planning(
            Stage("one", (replace(LAST, roles=frozenset({LayerRole.DEPTHWISE})),), head_learning_rate=1e-3)
        ),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "The stage 'one' cannot run: its choice 1 fits no tensor of block-1.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_fit_a_real_backbone,
        lambda: planning(Stage("one", (LAST, LAST), head_learning_rate=1e-3)),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "The stage 'one' cannot run: both 'block-1' and 'block-1' claim the tensor blocks.1.attention_norm.weight.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_fit_a_real_backbone,
        lambda: inserting(lambda layer: nn.Identity()),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "The insertion 'scale' cannot be made: the module around blocks.0.query does not hold that layer.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the reason.",
    ),
    Planted(
        of_strategy.check_stages_fit_a_real_backbone,
        lambda: inserting(Halved),
        "Planned breaks the law 'stages say what can be carried out':\n"
        "after its insertions are removed, the backbone is not what it was.\n"
        "Change nothing of the wrapped layer; keep new tensors on the module around it.",
    ),
    Planted(
        of_strategy.check_merging_keeps_the_features,
        lambda: Grafts(LayerRole.QUERY, merge=lambda around: nn.Linear(16, 16, bias=False)),
        "Grafts breaks the law 'what can be merged computes the same merged':\n"
        "The insertion 'graft' cannot be merged: what it makes of blocks.0.query does not have the tensors of that layer. "
        "The model is as it was; it can be saved and used with its insertions.\n"
        "Answer in 'merge' with a layer that alone computes the same, or leave 'merge' out.",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    with pytest.raises(ContractViolation) as caught:
        tried(planted.check, planted.make())
    assert str(caught.value) == planted.message


def tried(check, strategy):
    given = (WORDS.build(), head(), WORDS.inputs, LABELS)
    check(strategy, *given[: check.__code__.co_argcount - 1])


def test_a_strategy_may_refuse_a_backbone():
    for check in (of_strategy.check_planning_is_pure, of_strategy.check_trained_model_reloads_bit_for_bit):
        check(Cautious(), *(WORDS.build(), head(), WORDS.inputs, LABELS)[: check.__code__.co_argcount - 1])


def test_insertions_that_can_be_merged_keep_the_law():
    tried(of_strategy.check_merging_keeps_the_features, Grafts(LayerRole.QUERY, LayerRole.VALUE))


def test_inserted_modules_are_trained_saved_and_loaded():
    of_strategy.check_stages_fit_a_real_backbone(inserting(Scaled), WORDS.build(), head(), WORDS.inputs, LABELS)
    of_strategy.check_trained_model_reloads_bit_for_bit(inserting(Scaled), WORDS.build(), head(), WORDS.inputs, LABELS)


class Shifted(Words):
    """Features are moved by a number that no tensor holds."""

    shift = 0.0

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return Features(layout, tuple(value * (1 + self.shift) for value in features.values), features.lengths)


def test_what_training_changes_outside_of_tensors_is_missed_after_loading():
    def flip(backbone, step):
        backbone.shift = -2.0

    strategy = planning(Stage("flipped", (LAST,), head_learning_rate=1e-2, on_step_end=flip))
    given = (Shifted(), head(), WORDS.inputs, LABELS)
    with pytest.raises(ContractViolation) as caught:
        of_strategy.check_trained_model_reloads_bit_for_bit(strategy, *given)
    assert str(caught.value) == (
        "Planned breaks the law 'what a strategy trained predicts the same after saving and loading':\n"
        "predictions differ after loading.\n"
        "Keep all that training changes in parameters and buffers that its stages declare."
    )


def test_a_weight_that_moves_undeclared_is_caught_by_the_guard():
    stage = Stage("last", (LAST,), head_learning_rate=1e-3, on_step_end=nudge)
    with pytest.raises(WeightGuardError) as caught:
        tried(of_strategy.check_trained_model_reloads_bit_for_bit, planning(stage))
    assert caught.value.faults == ("the tensor embedding.weight does not learn, but changed",)
