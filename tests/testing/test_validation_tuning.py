"""Each check of the conformance kit for heads that settle catches a fault planted for it."""

from dataclasses import dataclass, replace

import pytest
import torch
from cautious import Cautious, CautiousTarget

from taskgraft.contract.head import Head
from taskgraft.testing import ContractViolation, HeadLaws, InsufficientExamples
from taskgraft.testing import validation_tuning as of_settling

LABELS = {"label": ["cat", "dog", "cat", "bird", "dog", "bird"]}
AMOUNTS = {"amount": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}


class TestCautious(HeadLaws):
    @pytest.fixture
    def head(self):
        return Cautious()

    @pytest.fixture
    def targets(self):
        return LABELS

    @pytest.fixture
    def columns(self):
        return AMOUNTS


class Silent(Cautious):
    """Settles, and does not say so."""

    @property
    def description(self):
        return replace(super().description, tunes="", tuning_columns=())


class Boasts(Cautious):
    """Says that it settles, and does not."""

    tune = Head.tune


class OneColumn(Cautious):
    @property
    def description(self):
        return replace(super().description, tuning_columns="amount")


class Counts(Cautious):
    """Settles otherwise each time."""

    asked = 0

    def tune(self, *given):
        self.asked += 1
        return super().tune(*given).model_copy(update={"floor": self.asked / 100})


class Overwrites(Cautious):
    """Writes into the target description that it was given."""

    def tune(self, predictions, encoded, columns, target):
        settled = super().tune(predictions, encoded, columns, target)
        target.__dict__["floor"] = settled.floor
        return target


class AnotherClass(Cautious):
    def tune(self, *given):
        class Mine(CautiousTarget):
            pass

        return Mine(**super().tune(*given).model_dump())


class Nothing(Cautious):
    def tune(self, predictions, encoded, columns, target):
        return target


class Endless(Cautious):
    def tune(self, *given):
        return super().tune(*given).model_copy(update={"floor": float("inf")})


class FirstRow(Cautious):
    """Settles by the row that happens to come first."""

    def tune(self, predictions, encoded, columns, target):
        return target.model_copy(update={"floor": columns["amount"][0] / 100})


class Buffer(Cautious):
    """Keeps what is settled in a saved buffer."""

    def build_module(self, features, target):
        module = super().build_module(features, target)
        module.register_buffer("floor", torch.tensor(target.floor or 0.0))
        return module


class Sometimes(Cautious):
    """Has a buffer only after settling."""

    def build_module(self, features, target):
        module = super().build_module(features, target)
        if target.floor is not None:
            module.register_buffer("floor", torch.tensor(target.floor))
        return module


@dataclass(frozen=True)
class Planted:
    check: object
    head: type
    message: str

    def __str__(self):
        return self.head.__name__


DESCRIBED = "what a head settles stands in its description"
PURE = "settle is a pure function"
PURE_ADVICE = "Give a copy of the target description (model_copy), draw nothing at random, and keep nothing."
TENSORS = "settling changes no tensor of the head"
PLAIN = "Keep what is settled in plain attributes or in buffers with persistent=False."

PLANTED = (
    Planted(
        of_settling.check_tuning_is_described,
        Silent,
        f"Silent breaks the law '{DESCRIBED}':\n"
        "settle chooses something, but its description settles nothing, so nobody calls it.\n"
        "Say in 'settles' what settle chooses.",
    ),
    Planted(
        of_settling.check_tuning_is_described,
        Boasts,
        f"Boasts breaks the law '{DESCRIBED}':\n"
        "it settles 'a floor', but does not write settle.\n"
        "Say in 'settles' what settle chooses.",
    ),
    Planted(
        of_settling.check_tuning_is_described,
        OneColumn,
        f"OneColumn breaks the law '{DESCRIBED}':\n"
        "its columns are 'amount', which settle alone reads; give a tuple of names.\n"
        "Say in 'settles' what settle chooses.",
    ),
    Planted(
        of_settling.check_tuning_is_pure,
        Counts,
        f"Counts breaks the law '{PURE}':\n"
        f"for vector features, the same rows settle otherwise the second time.\n{PURE_ADVICE}",
    ),
    Planted(
        of_settling.check_tuning_is_pure,
        Overwrites,
        f"Overwrites breaks the law '{PURE}':\nit changes the target description that it was given.\n{PURE_ADVICE}",
    ),
    Planted(
        of_settling.check_tuning_is_pure,
        AnotherClass,
        f"AnotherClass breaks the law '{PURE}':\nit gives a Mine, not a CautiousTarget.\n{PURE_ADVICE}",
    ),
    Planted(
        of_settling.check_tuning_is_pure,
        Nothing,
        f"Nothing breaks the law '{PURE}':\n"
        "for vector features, it gives the target description as it was.\nChoose something.",
    ),
    Planted(
        of_settling.check_tuned_description_is_json,
        Endless,
        "Endless breaks the law 'what is settled is JSON':\n"
        "writing what was settled as JSON and reading it raises ValueError: Out of range float values are not JSON "
        "compliant.\n"
        "Settle plain fields of the target description, with finite numbers.",
    ),
    Planted(
        of_settling.check_tuning_ignores_the_order_of_rows,
        FirstRow,
        "FirstRow breaks the law 'the order of the rows settles nothing':\n"
        "for vector features, {'column': 'label', 'vocabulary': ['bird', 'cat', 'dog'], 'weights': None, 'floor': 0.01} is "
        "{'column': 'label', 'vocabulary': ['bird', 'cat', 'dog'], 'weights': None, 'floor': 0.06} by the same rows in "
        "another order.\n"
        "Sort the rows, or sum over them.",
    ),
    Planted(
        of_settling.check_tuning_changes_no_tensor,
        Buffer,
        f"Buffer breaks the law '{TENSORS}':\nfor vector features, floor depends on what is settled.\n{PLAIN}",
    ),
    Planted(
        of_settling.check_tuning_changes_no_tensor,
        Sometimes,
        f"Sometimes breaks the law '{TENSORS}':\nfloor is there only before or only after.\n{PLAIN}",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    with pytest.raises(ContractViolation) as caught:
        planted.check(planted.head(), LABELS, AMOUNTS)
    assert str(caught.value) == planted.message


def test_a_head_without_its_columns_proves_nothing():
    with pytest.raises(InsufficientExamples) as caught:
        of_settling.check_tuning_is_pure(Cautious(), LABELS, {})
    assert str(caught.value) == (
        "The examples given for Cautious prove nothing: it settles by 'amount'; give the fixture 'columns' with it."
    )
