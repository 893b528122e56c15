"""Each check of the conformance kit for strategies catches a fault planted for it, and reports it in the author's terms."""

import random
from dataclasses import replace

import pytest
import torch
from backbones import WORDS, Words
from grafts import Grafts
from kit_laws import Planted, message
from torch import nn

from taskgraft import testing as kit
from taskgraft.adaptation.guard import WeightGuardError
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.features import Features
from taskgraft.contract.plan import HeadSolver, Insertion, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable
from taskgraft.plugin import Callback
from taskgraft.testing import ContractViolation
from taskgraft.testing.check_list import needs_of

LABELS = {"label": ["cat", "dog", "cat", "bird", "dog", "bird"]}


def head():
    return Classification(ClassificationConfig())


def planning(*stages):
    class Planned(Strategy):
        def plan(self, backbone, head):
            return tuple(stages)

    return Planned()


class Cautious(Strategy):
    """Rejects a backbone without roles, as it should."""

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
    """Assumes that the first part has roles."""

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
    """Changes the layer it wraps."""

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
    """Changes a weight that no stage declares."""
    with torch.no_grad():
        backbone.embedding.weight.add_(0.1)


LAST = Unfreeze(("block-1",), 1e-3)


PLANTED = (
    Planted(kit.check_planning_is_pure, Counts, "two plans for the same descriptions differ"),
    Planted(kit.check_planning_is_pure, Random, "two plans for the same descriptions differ"),
    Planted(
        kit.check_stages_are_valid,
        NeedsRoles,
        "a plan for a backbone without roles (parts: 1) raises IndexError: list index out of range",
    ),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("last", (LAST,), head_learning_rate=1e-3)),
        "stage 'last' names the part 'block-1'; the parts are all",
    ),
    Planted(
        kit.check_stages_are_valid, planning, "plan returns (), not a tuple of stages", advice="Return (Stage(…), …)."
    ),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("one", head_learning_rate=1e-3), Stage("one", head_learning_rate=1e-3)),
        "the stages are called ['one', 'one']",
        advice="Give each its own name.",
    ),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("one", (Unfreeze(("block-7",), 1e-3),), head_learning_rate=1e-3)),
        "stage 'one' names the part 'block-7'; the parts are embedding, block-0, block-1",
    ),
    Planted(kit.check_stages_are_valid, lambda: planning(Stage("one")), "stage 'one' trains nothing"),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("one", (LAST,))),
        "the head is trained in no stage",
        advice="Give a stage a head_learning_rate.",
    ),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("one", head_learning_rate=-1.0)),
        "stage 'one' has the learning rates [-1.0]",
    ),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("one", (LAST,), head_learning_rate=1e-3, solve=HeadSolver.CONVEX)),
        "stage 'one' solves for the head, but it also trains other weights",
        advice="Use HeadSolver.DESCENT there.",
    ),
    Planted(
        kit.check_stages_are_valid,
        lambda: planning(Stage("one", head_learning_rate=1e-3, epochs=0)),
        "stage 'one' has 0 epochs and a patience of None",
    ),
    Planted(
        kit.check_stages_fit_a_real_backbone,
        lambda: planning(
            Stage("one", (replace(LAST, roles=frozenset({LayerRole.DEPTHWISE})),), head_learning_rate=1e-3)
        ),
        "The stage 'one' cannot run: its selection 1 matches no tensor of block-1",
    ),
    Planted(
        kit.check_stages_fit_a_real_backbone,
        lambda: planning(Stage("one", (LAST, LAST), head_learning_rate=1e-3)),
        "The stage 'one' cannot run: both 'block-1' and 'block-1' select the tensor blocks.1.attention_norm.weight",
    ),
    Planted(
        kit.check_stages_fit_a_real_backbone,
        lambda: inserting(lambda layer: nn.Identity()),
        "The insertion 'scale' cannot be made: the module around blocks.0.query does not contain that layer",
    ),
    Planted(
        kit.check_stages_fit_a_real_backbone,
        lambda: inserting(Halved),
        "after its insertions are removed, the backbone has changed",
        advice="Change nothing of the wrapped layer; keep new tensors on the module around it.",
    ),
    Planted(
        kit.check_merging_keeps_the_features,
        lambda: Grafts(LayerRole.QUERY, merge=lambda around: nn.Linear(16, 16, bias=False)),
        "The insertion 'graft' cannot be merged: the merged blocks.0.query does not have the tensors of that layer. "
        "The model is unchanged; it can be saved and used with its insertions",
    ),
)


def forgetful(forgets):
    """A strategy whose callback moves weights by the number of steps so far, which its state lacks in one way."""

    class Drifting(Callback):
        count = step = 0

        @torch.no_grad()
        def on_step_end(self, step):
            self.count, self.step = self.count + 1, step
            self.run.trainable["blocks.1.query.weight"].add_(0.1 * self.count)

        @torch.no_grad()
        def on_epoch_end(self, epoch, scores):
            self.run.trainable["blocks.1.query.weight"].add_(0.1 * self.step)

        def state_dict(self):
            state = {"count": self.count, "step": self.step}
            return {key: value for key, value in state.items() if key != forgets}

        def load_state_dict(self, state):
            self.__dict__.update(state)

    return planning(Stage("drifting", (LAST,), head_learning_rate=1e-3, callbacks=(Drifting,)))


PLANTED += (
    Planted(
        kit.check_callbacks_resume_exactly,
        lambda: forgetful("count"),
        "interrupted during step 2 of the stage 'drifting' and resumed, training ends with another "
        "blocks.1.attention_norm.weight",
    ),
    Planted(
        kit.check_callbacks_resume_exactly,
        lambda: forgetful("step"),
        "interrupted at the end of epoch 1 of the stage 'drifting' and resumed, training ends with another "
        "blocks.1.attention_norm.weight",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    planted.assert_caught(WORDS.build(), head(), WORDS.inputs, LABELS)


def tried(check, strategy):
    given = (WORDS.build(), head(), WORDS.inputs, LABELS)
    check(strategy, *given[: len(needs_of(check)) - 1])


def test_a_strategy_may_reject_a_backbone():
    for check in (kit.check_stages_are_valid, kit.check_trained_model_reloads_bit_for_bit):
        tried(check, Cautious())


def test_a_callback_that_keeps_its_state_keeps_the_law():
    tried(kit.check_callbacks_resume_exactly, forgetful(None))


def test_insertions_that_can_be_merged_keep_the_law():
    tried(kit.check_merging_keeps_the_features, Grafts(LayerRole.QUERY, LayerRole.VALUE))


def test_inserted_modules_are_trained_saved_and_loaded():
    kit.check_stages_fit_a_real_backbone(inserting(Scaled), WORDS.build(), head(), WORDS.inputs, LABELS)
    kit.check_trained_model_reloads_bit_for_bit(inserting(Scaled), WORDS.build(), head(), WORDS.inputs, LABELS)


class Shifted(Words):
    """Features are scaled by a number that is not a tensor."""

    shift = 0.0

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return Features(layout, tuple(value * (1 + self.shift) for value in features.values), features.lengths)


def test_a_change_outside_of_tensors_is_missing_after_loading():
    def flip(backbone, step):
        backbone.shift = -2.0

    strategy = planning(Stage("flipped", (LAST,), head_learning_rate=1e-2, on_step_end=flip))
    given = (Shifted(), head(), WORDS.inputs, LABELS)
    with pytest.raises(ContractViolation) as caught:
        kit.check_trained_model_reloads_bit_for_bit(strategy, *given)
    found = "predictions differ after loading"
    assert str(caught.value) == message(kit.check_trained_model_reloads_bit_for_bit, "Planned", found)


def test_an_undeclared_change_of_a_weight_is_caught_by_the_guard():
    stage = Stage("last", (LAST,), head_learning_rate=1e-3, on_step_end=nudge)
    with pytest.raises(WeightGuardError) as caught:
        tried(kit.check_trained_model_reloads_bit_for_bit, planning(stage))
    assert caught.value.faults == ("the tensor embedding.weight is frozen, but changed",)
