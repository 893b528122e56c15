import numpy as np
import pytest

from taskgraft.builtin.metrics import classification_metrics, positive_values
from taskgraft.contract.predictions import Predictions, concat_predictions
from taskgraft.evaluation.baselines import align_classes
from taskgraft.evaluation.errors import EvaluationError

SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
TRUTH = ["fraud", "ok", "ok", "fraud"]


def predictions(classes=("fraud", "ok"), positive=None) -> Predictions:
    return Predictions([classes[row.argmax()] for row in SCORES], list(SCORES), classes, positive)


def test_of_two_classes_the_areas_are_those_of_the_second_unless_another_is_named_or_detected():
    for found, named, label in (
        (predictions(), None, "ok"),
        (predictions(), "fraud", "fraud"),
        (predictions(positive="fraud"), None, "fraud"),
        (predictions(positive="fraud"), "ok", "ok"),
    ):
        values = classification_metrics(found, TRUTH, named)(np.arange(4))
        assert positive_values(found, named) == {"auroc": label, "average_precision": label}
        assert values["average_precision"] == 1.0
    wrong = classification_metrics(predictions(), ["ok", "fraud", "ok", "ok"])(np.arange(4))
    right = classification_metrics(predictions(), ["ok", "fraud", "ok", "ok"], "fraud")(np.arange(4))
    assert (wrong["average_precision"], right["average_precision"]) == (pytest.approx(0.6389, abs=1e-4), 0.25)


def test_averages_over_classes_have_no_positive_class():
    assert positive_values(Predictions([], None, ("a", "b", "c")), None) == {}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("no", "yes"), "the labels are 'no', 'yes'. Name one of these."),
        (("a", "b", "c"), "there are 3 classes: 'a', 'b', 'c'. Leave it out."),
    ],
    ids=["unknown", "three"],
)
def test_a_positive_class_must_be_one_of_two(classes, message):
    with pytest.raises(EvaluationError) as caught:
        classification_metrics(Predictions([], None, classes), [], "fraud")
    assert str(caught.value) == f"The positive class of the metric 'classification' is 'fraud', but {message}"


def test_batches_keep_the_positive_class():
    one = Predictions(["ok"], [SCORES[0]], ("fraud", "ok"), "fraud")
    assert concat_predictions([one, one], [1, 0]).positive == "fraud"


def test_a_baseline_has_the_classes_of_the_model_in_its_order():
    """Sorted by text, fraud comes before ok; the model has the label to detect last."""
    model = Predictions(["ok"], None, ("ok", "fraud"), "fraud")
    aligned = align_classes(predictions(), model)
    assert (aligned.classes, aligned.positive) == (("ok", "fraud"), "fraud")
    assert np.array_equal(np.stack(aligned.probabilities), SCORES[:, ::-1])
    assert aligned.values == predictions().values


def test_a_baseline_with_fewer_classes_has_no_probability_for_the_others():
    model = Predictions([], None, (1, 2, 3))
    aligned = align_classes(Predictions(["3", "1"], [np.array([0.25, 0.75])] * 2, ("3", "1")), model)
    assert aligned.values == [3, 1]
    assert [row.tolist() for row in aligned.probabilities] == [[0.75, 0.0, 0.25]] * 2


def test_a_baseline_with_other_classes_stays_as_it_is():
    other = Predictions(["x"], None, ("x",))
    assert align_classes(other, Predictions([], None, ("a", "b"))) is other
