"""Each check of the conformance kit for heads that tune catches a fault planted for it."""

from dataclasses import replace

import pytest
import torch
from cautious import Cautious, CautiousTarget
from kit_laws import Planted

from taskgraft import testing as kit
from taskgraft.contract.head import Head
from taskgraft.testing import HeadLaws, InsufficientExamples

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
    """Tunes, but its description does not say so."""

    @property
    def description(self):
        return replace(super().description, tunes="", tuning_columns=())


class NeverTunes(Cautious):
    """Describes a tuning that it does not do."""

    tune = Head.tune


class OneColumn(Cautious):
    @property
    def description(self):
        return replace(super().description, tuning_columns="amount")


class Counts(Cautious):
    """Returns another result each time."""

    calls = 0

    def tune(self, *given):
        self.calls += 1
        return super().tune(*given).model_copy(update={"floor": self.calls / 100})


class Overwrites(Cautious):
    """Writes into the target description that was passed in."""

    def tune(self, predictions, encoded, columns, target):
        tuned = super().tune(predictions, encoded, columns, target)
        target.__dict__["floor"] = tuned.floor
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
    """Tunes on the first row alone."""

    def tune(self, predictions, encoded, columns, target):
        return target.model_copy(update={"floor": columns["amount"][0] / 100})


class Buffer(Cautious):
    """Keeps the tuned value in a saved buffer."""

    def build_module(self, features, target):
        module = super().build_module(features, target)
        module.register_buffer("floor", torch.tensor(target.floor or 0.0))
        return module


class Sometimes(Cautious):
    """Has a buffer only after tuning."""

    def build_module(self, features, target):
        module = super().build_module(features, target)
        if target.floor is not None:
            module.register_buffer("floor", torch.tensor(target.floor))
        return module


PLANTED = (
    Planted(
        kit.check_tuning_is_described,
        Silent,
        "tune changes the target description, but 'tunes' is empty, so it is never called",
    ),
    Planted(kit.check_tuning_is_described, NeverTunes, "it tunes 'a floor', but does not override tune"),
    Planted(
        kit.check_tuning_is_described,
        OneColumn,
        "its tuning_columns are 'amount', which only tune reads; give a tuple of names",
    ),
    Planted(kit.check_tuning_is_pure, Counts, "for vector features, tuning twice on the same rows differs"),
    Planted(kit.check_tuning_is_pure, Overwrites, "it changes the target description that was passed in"),
    Planted(kit.check_tuning_is_pure, AnotherClass, "it returns a Mine, not a CautiousTarget"),
    Planted(
        kit.check_tuning_is_pure,
        Nothing,
        "for vector features, it returns the target description unchanged",
        advice="Choose something.",
    ),
    Planted(
        kit.check_tuned_description_is_json,
        Endless,
        "writing the tuned description as JSON and reading it raises ValueError: Out of range float values are not "
        "JSON compliant",
    ),
    Planted(
        kit.check_tuning_ignores_the_order_of_rows,
        FirstRow,
        "for vector features, {'column': 'label', 'vocabulary': ['bird', 'cat', 'dog'], 'weights': None, 'floor': "
        "0.01} is {'column': 'label', 'vocabulary': ['bird', 'cat', 'dog'], 'weights': None, 'floor': 0.06} with the "
        "same rows in another order",
    ),
    Planted(kit.check_tuning_changes_no_tensor, Buffer, "for vector features, floor depends on the tuned values"),
    Planted(kit.check_tuning_changes_no_tensor, Sometimes, "floor exists only before or only after tuning"),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    planted.assert_caught(LABELS, AMOUNTS)


def test_a_head_without_its_columns_proves_nothing():
    with pytest.raises(InsufficientExamples) as caught:
        kit.check_tuning_is_pure(Cautious(), LABELS, {})
    assert str(caught.value) == (
        "The examples given for Cautious prove nothing: it tunes by the column 'amount'; give the fixture 'columns' with it."
    )
