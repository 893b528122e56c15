"""Each check of the conformance kit for heads catches a fault planted for it, and reports it in the author's terms."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from kit_laws import Planted, message

from taskgraft import testing as kit
from taskgraft.builtin.heads.classification import Classification, ClassificationTarget
from taskgraft.builtin.heads.configs import ClassificationConfig, ElementClassificationConfig, RegressionConfig
from taskgraft.builtin.heads.element_classification import ElementClassification
from taskgraft.builtin.heads.regression import Regression
from taskgraft.builtin.plugin import taskgraft_heads
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import HeadDescription, Layout, TargetKind
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.testing import ContractViolation, InsufficientExamples

LABELS = {"label": ["cat", "dog", "cat", "bird", "dog", "bird"]}
NUMBERS = {"size": ["1.5", "2", "4.0", "-3"]}
TAGS = {"tags": ["O B O", "B I", "O", "O O B I"]}
CELLS = {"mask": [np.array([[0, row % 2]]) for row in range(4)]}


class Labels(Classification):
    """A correct head, to be changed."""

    def __init__(self):
        super().__init__(ClassificationConfig())


class Numbers(Regression):
    def __init__(self):
        super().__init__(RegressionConfig())


class Tags(ElementClassification):
    def __init__(self):
        super().__init__(ElementClassificationConfig())


def spoiled(head, **methods):
    """The head with changed methods of its module: each gets the correct result and the arguments."""

    class Spoiled(head):
        def build_module(self, features, target):
            module = super().build_module(features, target)
            for name, change in methods.items():
                setattr(module, name, _changed(getattr(module, name), change))
            return module

    return Spoiled()


def _changed(right, change):
    return lambda *given: change(right(*given), *given)


class Reads(Labels):
    @property
    def description(self):
        return replace(super().description, layouts=())


class OneBaseline(Labels):
    @property
    def description(self):
        return replace(super().description, baselines="majority")


class KeepsACount(Labels):
    """Returns another result on the second call."""

    def fit_targets(self, targets):
        self.learned = getattr(self, "learned", 0) + 1
        right = super().fit_targets(targets)
        return right if self.learned == 1 else right.model_copy(update={"weights": (1.0, 1.0, 1.0)})


class OtherTarget(Labels):
    def fit_targets(self, targets):
        class Mine(ClassificationTarget):
            pass

        return Mine(**super().fit_targets(targets).model_dump())


class FitsNaN(Numbers):
    def fit_targets(self, targets):
        return super().fit_targets(targets).model_copy(update={"means": (float("nan"),)})


class EncodesTwice(Labels):
    def encode(self, targets, target):
        right = super().encode(targets, target)
        return right.select([*range(len(right)), 0])


class NumbersByAppearance(Labels):
    """Numbers labels in the order in which they appear."""

    def encode(self, targets, target):
        seen = tuple(dict.fromkeys(targets["label"]))
        rest = tuple(label for label in target.vocabulary if label not in seen)
        return super().encode(targets, target.model_copy(update={"vocabulary": seen + rest}))


class AcceptsAnyLabel(Labels):
    def encode(self, targets, target):
        known = [label if label in target.vocabulary else target.vocabulary[0] for label in targets["label"]]
        return super().encode({"label": known}, target)


class RaisesKeyError(Labels):
    def encode(self, targets, target):
        try:
            return super().encode(targets, target)
        except InvalidTargets as error:
            raise KeyError(str(error)) from None


class BlamesTheFirstRow(Labels):
    def encode(self, targets, target):
        try:
            return super().encode(targets, target)
        except InvalidTargets as error:
            raise InvalidTargets({0: next(iter(error.reasons.values()))}) from None


class DecodesToNumbers(Labels):
    def decode_targets(self, encoded, target):
        return encoded["label"].tolist()


class BuildsWhatItSaw(Labels):
    """The built module depends on earlier calls."""

    built = 0

    def build_module(self, features, target):
        self.built += 1
        extra = () if self.built <= 2 else ("zebra",)
        return super().build_module(features, target.model_copy(update={"vocabulary": target.vocabulary + extra}))


def mean_loss(loss, output, targets, features):
    return LossSum(loss.total / len(output), loss.weight)


def one_row_weight(loss, output, targets, features):
    return LossSum(loss.total, torch.ones(()))


def weight_of_the_output(loss, output, targets, features):
    return LossSum(loss.total, output.float().abs().sum())


def loss_per_row(loss, output, targets, features):
    return LossSum(loss.total.expand(len(output)), loss.weight)


def keeps_padding(output, features):
    """Gives outputs for padding that predictions then average."""
    return output * (1 + features.value.mean())


def percent(found, output, features):
    return Predictions(found.values, [row * 100 for row in found.probabilities], found.classes)


def one_class_less(found, output, features):
    return Predictions(found.values, found.probabilities, found.classes[:-1])


def padded_predictions(found, output, features):
    return Predictions([[*value, "O"] for value in found.values], None, found.classes)


def wavy(loss, output, targets, features):
    return LossSum(loss.total + 100 * output.float().sin().sum(), loss.weight)


class OnlyFloat32(Labels):
    def build_module(self, features, target):
        module = super().build_module(features, target)
        module.forward = lambda features: torch.nn.functional.linear(
            features.value.flatten(1), module.readout.weight.flatten(1)
        )
        return module


class MixesTheOtherWay(Labels):
    def mix_targets(self, encoded, others, shares, target):
        return super().mix_targets(others, encoded, shares, target)


class MixesNothing(Labels):
    """Describes support of soft labels, and has none."""

    def mix_targets(self, encoded, others, shares, target):
        raise NotImplementedError("no soft targets")


class GivesNoSoftLabels(Numbers):
    """Describes support of distillation, and has none."""

    def build_module(self, features, target):
        module = super().build_module(features, target)
        module.soft_labels = HeadModule.soft_labels.__get__(module)
        return module


def at_no_temperature(found, output, features, temperature):
    return Batch({"shares": output.softmax(-1) if output.dim() == 2 else output.softmax(-1).mean(1)})


def averaged(found, output, soft, features, temperature):
    return replace(found, total=found.total / len(output))


class Unused(Labels):
    def build_module(self, features, target):
        module = super().build_module(features, target)
        module.register_module("spare", torch.nn.Linear(2, 2))
        return module


class CellsTarget(TargetDescription):
    column: str


class Cells(Head):
    """A head with a label, 0 or 1, for each position of the raw input. Its predictions are arrays."""

    target = CellsTarget

    @property
    def description(self):
        return HeadDescription((Layout.GRID,), TargetKind.GRID_CATEGORIES)

    def fit_targets(self, targets):
        return CellsTarget(column=next(iter(targets)))

    def encode(self, targets, target):
        return Batch({"share": torch.tensor([float(np.mean(cells)) for cells in targets[target.column]])})

    def decode_targets(self, encoded, target):
        return [np.full((2, 2), share > 0.5) for share in encoded["share"].tolist()]

    def build_module(self, features, target):
        return CellsModule(features.feature_size)


class CellsModule(HeadModule):
    def __init__(self, feature_size):
        super().__init__()
        self.linear = torch.nn.Linear(feature_size, 1)

    def forward(self, features):
        return self.linear(features.value.mean((-2, -1)).float())[:, 0]

    def loss(self, output, targets, features):
        return LossSum((output - targets["share"]).square().sum(), torch.tensor(float(len(output))))

    def predict(self, output, features):
        sizes = features.geometry.sizes.tolist()
        return Predictions([np.full(size, int(one > 0)) for one, size in zip(output, sizes, strict=True)], None, (0, 1))


class Couples(Cells):
    """A head with a label, 0 or 1, for each pair of elements."""

    @property
    def description(self):
        return HeadDescription((Layout.SEQUENCE,), TargetKind.PAIR_CATEGORIES)

    def decode_targets(self, encoded, target):
        return [np.full((1, 1), share > 0.5) for share in encoded["share"].tolist()]

    def build_module(self, features, target):
        return CouplesModule(features.feature_size)


class CouplesModule(CellsModule):
    def forward(self, features):
        value = torch.where(features.mask[..., None], features.value, 0.0).sum(1) / features.lengths[:, None]
        return self.linear(value.float())[:, 0]

    def predict(self, output, features):
        pairs = zip(output, features.lengths.tolist(), strict=True)
        values = [np.full((length, length), int(one > 0)) for one, length in pairs]
        shares = [np.full((*value.shape, 2), 0.5, np.float32) for value in values]
        return Predictions(values, shares, (0, 1))


def more_confident_in_a_batch(found, output, features):
    sure = 1 / len(output)
    shares = [row * (1 - sure) + sure / len(row) for row in found.probabilities]
    return replace(found, probabilities=shares)


def in_other_units(found, output, features):
    return replace(found, values=[value / 1_000 for value in found.values])


def the_label_after(found, output, features):
    following = dict(zip(found.classes, (*found.classes[1:], found.classes[0]), strict=True))
    return replace(found, values=[[following[label] for label in row] for row in found.values])


def half_the_probability(found, output, features):
    return replace(found, probabilities=[shares / 2 for shares in found.probabilities])


def one_row_less(found, output, features):
    return replace(found, values=[value[1:] for value in found.values])


def depends_on_the_batch(found, output, features):
    return replace(found, values=[np.array([[len(output) % 2]])] * len(output))


PLANTED = (
    Planted(kit.check_head_description_is_valid, Reads, "it reads (), which are not layouts"),
    Planted(kit.check_head_description_is_valid, OneBaseline, "its baselines are 'majority', not a tuple of names"),
    Planted(
        kit.check_target_description_is_json,
        KeepsACount,
        "fitting twice to the same targets differs",
        advice="Use no random numbers in fit_targets.",
    ),
    Planted(
        kit.check_target_description_is_json,
        OtherTarget,
        "fit_targets returns a Mine, but 'target' is ClassificationTarget",
    ),
    Planted(
        kit.check_target_description_is_json,
        FitsNaN,
        "writing the target description as JSON raises …",
        given=NUMBERS,
    ),
    Planted(
        kit.check_mixed_targets_have_the_mixed_loss,
        MixesTheOtherWay,
        "for vector features, with a share of #, the loss is #, not #",
    ),
    Planted(kit.check_mixed_targets_have_the_mixed_loss, MixesNothing, "mixing targets with shares of # raises …"),
    Planted(
        kit.check_soft_labels_match_the_teacher,
        GivesNoSoftLabels,
        "soft labels of vector features raises …",
        given=NUMBERS,
    ),
    Planted(
        kit.check_soft_labels_match_the_teacher,
        lambda: spoiled(Labels, soft_labels=at_no_temperature),
        "for vector features at temperature 3, the loss is # by the head's own soft labels and # by those of the "
        "opposite output",
    ),
    Planted(
        kit.check_soft_labels_match_the_teacher,
        lambda: spoiled(Labels, distillation_loss=averaged),
        "for vector features, the total of 6 rows is #, but # row by row",
    ),
    Planted(kit.check_targets_are_encoded_row_by_row, EncodesTwice, "6 targets are encoded as 7 rows"),
    Planted(
        kit.check_targets_are_encoded_row_by_row,
        NumbersByAppearance,
        "row 1 is encoded differently alone and in a batch",
    ),
    Planted(
        kit.check_invalid_targets_are_reported,
        AcceptsAnyLabel,
        "encode accepts 'a_label_outside_the_training_split', which is not in the training split",
    ),
    Planted(kit.check_invalid_targets_are_reported, RaisesKeyError, "encode raises …"),
    Planted(
        kit.check_invalid_targets_are_reported, BlamesTheFirstRow, "row 2 is invalid, but the error names the rows [0]"
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        DecodesToNumbers,
        "1 is not one of the classes ('bird', 'cat', 'dog')",
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        lambda: spoiled(Labels, predict=percent),
        "row 0 has probabilities outside 0 to 1",
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        lambda: spoiled(Labels, predict=one_class_less),
        "row 0 has 3 probabilities for 2 classes",
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        lambda: spoiled(Tags, predict=padded_predictions),
        "the prediction for row 0 has the shape (4,), not (3,)",
        given=TAGS,
    ),
    Planted(
        kit.check_loss_is_a_sum_over_rows,
        lambda: spoiled(Labels, loss=mean_loss),
        "for vector features, the total of 6 rows is #, but # row by row",
    ),
    Planted(
        kit.check_loss_is_a_sum_over_rows,
        lambda: spoiled(Labels, loss=one_row_weight),
        "for vector features, the weight of 6 rows is 1, but 6 row by row",
    ),
    Planted(
        kit.check_loss_is_a_sum_over_rows,
        lambda: spoiled(Labels, loss=weight_of_the_output),
        "the weight depends on the head's weights",
        advice="Count rows or labels in it.",
    ),
    Planted(
        kit.check_loss_is_a_sum_over_rows,
        lambda: spoiled(Labels, loss=loss_per_row),
        "the total has the shape (6,), not that of one floating-point number ()",
    ),
    Planted(
        kit.check_outputs_do_not_depend_on_the_batch,
        lambda: spoiled(Tags, forward=keeps_padding),
        "for sequence features, the loss is #, and # with more padding",
        given=TAGS,
    ),
    Planted(
        kit.check_outputs_do_not_depend_on_the_batch,
        lambda: spoiled(Numbers, forward=keeps_padding),
        "for vector features, row 0 is predicted as # in a batch and as # alone",
        given=NUMBERS,
    ),
    Planted(
        kit.check_outputs_do_not_depend_on_the_batch,
        lambda: spoiled(Labels, predict=more_confident_in_a_batch),
        "for vector features, row 0 has other probabilities in a batch than alone",
    ),
    Planted(
        kit.check_lowest_loss_predicts_the_targets,
        lambda: spoiled(Numbers, predict=in_other_units),
        "for vector features, at the lowest loss, 4 of 4 rows are not predicted as their target: row 0 as #, not as #",
        given=NUMBERS,
    ),
    Planted(
        kit.check_lowest_loss_predicts_the_targets,
        lambda: spoiled(Tags, predict=the_label_after),
        "for sequence features, at the lowest loss, 4 of 4 rows are not predicted as their target: row 0 as ['B', "
        "'I', 'B'], not as ['O', 'B', 'O']",
        given=TAGS,
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        lambda: spoiled(Cells, predict=one_row_less),
        "the prediction for row 0 has the shape (7, 8), not (8, 8)",
        given=CELLS,
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        lambda: spoiled(Couples, predict=one_row_less),
        "the prediction for row 0 has the shape (0, 1), not (1, 1)",
        given=CELLS,
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        lambda: spoiled(Couples, predict=half_the_probability),
        "the probabilities of row 0 sum to #, not to 1",
        given=CELLS,
    ),
    Planted(
        kit.check_outputs_do_not_depend_on_the_batch,
        lambda: spoiled(Cells, predict=depends_on_the_batch),
        "for grid features, row 0 is predicted as array([[0]]) in a batch and as array([[1]]) alone",
        given=CELLS,
    ),
    Planted(
        kit.check_head_builds_from_json,
        BuildsWhatItSaw,
        "loading saved weights into the head for vector features raises …",
    ),
    Planted(
        kit.check_head_trains_in_any_precision,
        OnlyFloat32,
        "for vector features in torch.float32, readout.bias gets no gradient",
    ),
    Planted(
        kit.check_head_trains_in_any_precision,
        Unused,
        "for vector features in torch.float32, spare.weight gets no gradient",
    ),
    Planted(
        kit.check_convex_loss_is_convex,
        lambda: spoiled(Labels, loss=wavy),
        "for vector features, the loss is # and # at two points, and # half-way between them",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    planted.assert_caught(planted.given or LABELS, stable=stable)


def stable(message):
    """Leave out numbers that are not whole, and what torch and Python say themselves."""
    return re.sub(r"raises \w+: .*", "raises ….", re.sub(r"-?\d+\.\d+(e[+-]\d+)?", "#", message))


def test_a_spec_that_describes_something_else_is_caught():
    spec = next(spec for spec in taskgraft_heads() if spec.name == "regression")
    with pytest.raises(ContractViolation) as caught:
        kit.check_spec_describes_the_head(Labels(), spec, RegressionConfig())
    found = "'target' is <TargetKind.NUMBERS: 'numbers'> as described by 'regression', but <TargetKind.CATEGORY: 'category'>"
    assert str(caught.value) == message(kit.check_spec_describes_the_head, "Labels", f"{found} as built")


def test_targets_that_prove_nothing_are_rejected():
    with pytest.raises(InsufficientExamples) as caught:
        kit.check_loss_is_a_sum_over_rows(Labels(), {"label": ["a", "b"]})
    assert str(caught.value) == "The examples given for Labels prove nothing: there are 2 targets; give four or more."


@pytest.mark.parametrize(
    "check",
    [
        kit.check_predictions_have_the_form_of_targets,
        kit.check_outputs_do_not_depend_on_the_batch,
        kit.check_head_builds_from_json,
        kit.check_head_trains_in_any_precision,
    ],
)
@pytest.mark.parametrize("head", [Cells, Couples])
def test_a_head_whose_predictions_are_arrays_keeps_the_laws(check, head):
    check(head(), CELLS)
