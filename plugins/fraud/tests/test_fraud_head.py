import json

import numpy as np
import pytest
import torch
from backbones import Table
from small_plugin import TableConfig
from torch.nn.functional import binary_cross_entropy_with_logits

import taskgraft as tg
from taskgraft.plugin import (
    Batch,
    ConfigError,
    Features,
    HeadSolver,
    InvalidRows,
    Layout,
    MissingColumn,
    TaskgraftError,
    parse_config,
    vector,
)
from taskgraft.testing import HeadLaws
from taskgraft_fraud.calibration import Isotonic, Temperature
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.fraud_head import FraudHead, FraudTarget
from taskgraft_fraud.head_settings import FraudConfig
from taskgraft_fraud.plugin import taskgraft_heads
from taskgraft_fraud.threshold import Threshold

torch.set_num_threads(1)

FRAUD = next(spec for spec in taskgraft_heads() if spec.name == "fraud")
LABELS = ["no", "yes", "no", "no", "no", "yes"]
UNREAD = Features(Layout.VECTOR, (torch.zeros(1, 5),))
COLUMNS = {"amount": ["10", "99.5", "3", "8", "1", "20"], "day": ["2018-07-25"] * 4 + ["2018-07-26"] * 2}
CASES = (
    {},
    {"calibration": "isotonic", "review": 3.0, "amount": "amount", "focal": 2.0, "positive_weight": 5.0},
    {"review": 3.0, "loss": 50.0, "positive": "no"},
    {"calibration": "none", "alerts_per_day": 1.0, "time": "day"},
    {"calibration": "none", "threshold": 0.2, "focal": 0.5},
)


def head(**settings) -> FraudHead:
    return FraudHead(FraudConfig(**settings))


def build(head: FraudHead, members: int | None = None, **target_changes):
    target = head.fit_targets({"label": LABELS}).model_copy(update=target_changes)
    torch.manual_seed(0)
    return head.build_module(vector(5, members), target)


def encoded(head: FraudHead, labels=LABELS) -> Batch:
    return head.encode({"label": labels}, head.fit_targets({"label": LABELS}))


class TestFraud(HeadLaws):
    @pytest.fixture(params=CASES, ids=str)
    def config(self, request):
        return FraudConfig(**request.param)

    @pytest.fixture
    def spec(self):
        return FRAUD

    @pytest.fixture
    def head(self, config):
        return FRAUD.build(config)

    @pytest.fixture
    def targets(self):
        return {"label": LABELS}

    @pytest.fixture
    def columns(self):
        return COLUMNS


# --- targets


def test_the_rarer_label_is_positive():
    target = head().fit_targets({"label": LABELS})
    assert (target.negative, target.positive) == ("no", "yes")
    flipped = head().fit_targets({"label": [1, 1, 0, 1]})
    assert (flipped.negative, flipped.positive) == (1, 0)


@pytest.mark.parametrize(
    ("labels", "shares", "settings"),
    [
        (["fraud"] * 52 + ["ok"] * 48, "'fraud' 52 % and 'ok' 48 %", 'positive = "fraud" or positive = "ok"'),
        ([0] * 50 + [1] * 50, "0 50 % and 1 50 %", "positive = 0 or positive = 1"),
        ([False] * 66 + [True] * 34, "False 66 % and True 34 %", "positive = false or positive = true"),
        (["0"] * 36 + ["1"] * 64, "'0' 36 % and '1' 64 %", 'positive = "0" or positive = "1"'),
    ],
    ids=["undersampled", "half", "a-little-over-a-third", "texts"],
)
def test_near_balance_the_positive_label_must_be_named(labels, shares, settings):
    with pytest.raises(FraudError) as caught:
        head().fit_targets({"label": labels})
    assert str(caught.value) == (
        "'fraud' detects the rarer of two labels, but in the target column 'label' neither is clearly rarer: "
        f"{shares} of 100 training rows. Name the label to detect in the head's settings: {settings}."
    )
    named = head(positive=labels[0]).fit_targets({"label": labels})
    assert (named.positive, named.share) == (labels[0], labels.count(labels[0]) / 100)


def test_a_third_of_the_training_rows_is_rare():
    assert head().fit_targets({"label": ["ok"] * 2 + ["fraud"]}).positive == "fraud"


def test_a_label_that_is_rarer_in_training_and_commoner_in_validation_must_be_named():
    target = head().fit_targets({"label": ["fraud"] * 7 + ["ok"] * 3})
    assert target.positive == "ok"
    with pytest.raises(FraudError) as caught:
        head().check_tuning_rows(head().encode({"label": ["ok"] * 199 + ["fraud"]}, target), {}, target)
    assert str(caught.value) == (
        "'fraud' detects the rarer of two labels: in the training rows that is 'ok' (30 %), but in the validation rows it is "
        "the commoner one (99.5 %). Name the label to detect in the head's settings: "
        'positive = "fraud" or positive = "ok".'
    )
    named = head(positive="ok")
    named.check_tuning_rows(named.encode({"label": ["ok"] * 199 + ["fraud"]}, target), {}, target)


def test_the_positive_label_and_its_share_are_said_before_training():
    rows = {"label": ["ok"] * 9 + ["fraud"]}
    assert head().summary(head().fit_targets(rows)) == (
        "'fraud' detects the label 'fraud', 10 % of the training rows: the rarer one. To detect the other, set the head's "
        'positive = "ok".',
    )
    named = head(positive="ok")
    assert named.summary(named.fit_targets(rows)) == ("'fraud' detects the label 'ok', 90 % of the training rows.",)


def test_of_a_target_of_an_older_teacher_no_share_is_known():
    target = head().fit_targets({"label": LABELS}).model_copy(update={"share": None})
    assert head().summary(target) == ("'fraud' detects the label 'yes'.",)


def test_predictions_name_the_positive_label():
    chosen = head(positive="no")
    assert build(chosen).predict(torch.zeros(2, 1), UNREAD).positive == "no"


def test_the_positive_label_may_be_given_as_text():
    assert head(positive="0").fit_targets({"label": [0, 0, 1]}).positive == 0


def test_before_tuning_the_threshold_is_the_given_one():
    assert head().fit_targets({"label": LABELS}).threshold == Threshold(value=0.5, chosen="stated")
    assert head(threshold=0.2).fit_targets({"label": LABELS}).threshold.value == 0.2


def test_a_third_label_is_an_error():
    with pytest.raises(FraudError) as caught:
        head().fit_targets({"kind": ["a", "b", "c"]})
    assert str(caught.value) == (
        "'fraud' predicts two labels, but the target column 'kind' has 3: 'a', 'b', 'c'. "
        "Choose the head 'classification', or merge labels."
    )


def test_a_single_label_is_an_error():
    with pytest.raises(TaskgraftError, match="only the label 'a'"):
        head().fit_targets({"kind": ["a", "a"]})


def test_a_positive_label_that_does_not_occur_is_an_error():
    with pytest.raises(FraudError) as caught:
        head(positive="fraud").fit_targets({"kind": ["a", "b"]})
    assert str(caught.value) == (
        "The label to detect (positive) is 'fraud', but the target column 'kind' has 'a', 'b'. Name one of these."
    )


# --- the loss


def test_the_loss_is_the_mean_logistic_loss_in_nats():
    output, batch = torch.randn(6, 1), encoded(head())
    loss = build(head()).loss(output, batch, UNREAD)
    expected = binary_cross_entropy_with_logits(output[:, 0], batch["label"].float())
    torch.testing.assert_close(loss.total / loss.weight, expected)


def test_a_weighted_loss_is_the_weighted_mean():
    chosen, output = head(positive_weight=4.0), torch.randn(6, 1)
    loss = build(chosen).loss(output, encoded(chosen), UNREAD)
    weights = torch.tensor([1.0, 4, 1, 1, 1, 4])
    each = binary_cross_entropy_with_logits(output[:, 0], encoded(chosen)["label"].float(), reduction="none")
    torch.testing.assert_close(loss.total / loss.weight, (each * weights).sum() / weights.sum())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_follows_the_paper(gamma):
    output, batch = torch.randn(6, 1), encoded(head())
    loss = build(head(focal=gamma)).loss(output, batch, UNREAD)
    probability = output[:, 0].sigmoid()
    right = torch.where(batch["label"] == 1, probability, 1 - probability)
    torch.testing.assert_close(loss.total, (-((1 - right) ** gamma) * right.log()).sum())


def test_the_gradient_of_the_focal_loss_is_finite_for_certain_rows():
    output = torch.tensor([[-300.0], [300.0], [300.0], [-300.0], [0.0], [0.0]], requires_grad=True)
    build(head(focal=0.5)).loss(output, encoded(head()), UNREAD).total.backward()
    assert output.grad.isfinite().all()


def test_the_loss_of_an_ensemble_is_the_mean_loss_of_its_members():
    output, batch = torch.randn(6, 4, 1), encoded(head())
    loss = build(head(), members=4).loss(output, batch, UNREAD)
    expected = binary_cross_entropy_with_logits(output[..., 0], batch["label"].float()[:, None].expand(6, 4))
    torch.testing.assert_close(loss.total / loss.weight, expected)


def test_a_linear_probe_with_focal_loss_uses_gradient_descent():
    plans = [tg.compose(table(), head(focal=gamma), "linear-probe").composition.plan for gamma in (0.0, 2.0)]
    assert [plan[0].solve for plan in plans] == [HeadSolver.CONVEX, HeadSolver.DESCENT]


# --- predictions


def test_probabilities_are_in_the_order_negative_positive():
    predictions = build(head()).predict(torch.tensor([[2.0], [-1.0]]), UNREAD)
    probabilities = torch.tensor([2.0, -1.0]).sigmoid().numpy()
    assert predictions.classes == ("no", "yes")
    assert predictions.values == ["yes", "no"]
    np.testing.assert_allclose(
        np.stack(predictions.probabilities), np.stack([1 - probabilities, probabilities], 1), rtol=1e-6
    )


def test_a_row_is_an_alert_if_its_probability_exceeds_the_threshold():
    output = torch.tensor([[0.0], [0.01]])
    assert build(head()).predict(output, UNREAD).values == ["no", "yes"]
    low = build(head(), threshold=Threshold(value=0.4, chosen="stated"))
    assert low.predict(output, UNREAD).values == ["yes", "yes"]


def test_probabilities_of_members_are_averaged_then_calibrated():
    output = torch.tensor([[[3.0], [-1.0]]])
    predictions = build(head(), members=2, calibration=Temperature(temperature=2.0)).predict(output, UNREAD)
    mean = output.sigmoid().mean()
    expected = ((mean / (1 - mean)).log() / 2).sigmoid()
    assert predictions.probabilities[0][1] == pytest.approx(float(expected), rel=1e-6)


def test_each_member_has_its_own_weights():
    assert build(head(), members=4).readout.weight.shape == (4, 1, 5)


def test_isotonic_calibration_interpolates_between_knots():
    line = Isotonic(knots=((0.5, 0.1), (0.7, 0.3)))
    predictions = build(head(), calibration=line).predict(torch.tensor([[0.0], [0.4055]]), UNREAD)
    assert [row[1] for row in predictions.probabilities] == pytest.approx([0.1, 0.2], abs=1e-4)


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"review": 2.0, "amount": "a", "threshold": 0.5},
            "review and threshold each choose the threshold; keep one of review, alerts_per_day, threshold.",
        ),
        (
            {"review": 2.0, "amount": "a", "loss": 5.0},
            "amount and loss both give the cost of a missed fraud; keep one.",
        ),
        (
            {"review": 2.0},
            "review is the cost of an alert; also set the cost of a missed fraud: amount, a column, or loss, a number.",
        ),
        ({"amount": "a"}, "amount is the cost of a missed fraud; also set the cost of an alert: review."),
        ({"loss": 5.0}, "loss is the cost of a missed fraud; also set the cost of an alert: review."),
        (
            {"alerts_per_day": 5},
            "alerts_per_day counts alerts per day; also name the column of times: time.",
        ),
        ({"threshold": 1.0}, "the setting 'threshold' is 1.0: input should be less than 1."),
        ({"review": 0, "loss": 5.0}, "the setting 'review' is 0: input should be greater than 0."),
    ],
)
def test_contradictory_settings_are_an_error(settings, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(FraudConfig, settings, "head 'fraud'")
    assert str(caught.value) == f"head 'fraud': {message}"


@pytest.mark.parametrize(
    ("settings", "tunes", "columns"),
    [
        ({}, "a temperature", ()),
        ({"calibration": "isotonic", "threshold": 0.1}, "an isotonic calibration", ()),
        ({"review": 1.0, "amount": "eur", "time": "at"}, "a temperature and a threshold", ("eur", "at")),
        ({"calibration": "none", "alerts_per_day": 3, "time": "at"}, "a threshold", ("at",)),
        ({"calibration": "none", "threshold": 0.1}, "", ()),
        ({"calibration": "none", "threshold": 0.1, "customer": "who"}, "", ("who",)),
    ],
)
def test_the_description_names_what_is_tuned_and_the_columns_for_it(settings, tunes, columns):
    description = FRAUD.describe(FraudConfig(**settings))
    assert (description.tunes, description.tuning_columns) == (tunes, columns)


# --- end to end


def transactions(count: int = 400, seed: int = 0):
    """Rows of which about one in eight is a fraud, more likely with a large amount far from home."""
    rng = np.random.default_rng(seed)
    amount, far = rng.exponential(50.0, count).round(2), rng.normal(size=count)
    odds = -3.5 + 0.02 * amount + 1.5 * far
    fraud = rng.random(count) < 1 / (1 + np.exp(-odds))
    days = [f"2018-07-{25 + row * 4 // count}" for row in range(count)]
    return {"amount": amount.tolist(), "far": far.tolist(), "day": days, "fraud": fraud.astype(int).tolist()}


def table() -> Table:
    return Table(TableConfig(columns=("amount", "far"), means=(50.0, 0.0), scales=(50.0, 1.0)))


def fitted(validation=None, *, train=None, strategy="linear-probe", **settings):
    model = tg.compose(table(), head(**settings), strategy)
    how = {"inputs": ["amount", "far"], "target": "fraud", "quiet": True}
    return model, model.fit(train or transactions(), validation=validation or transactions(seed=1), **how)


@pytest.mark.parametrize("strategy", ["linear-probe", "full"])
def test_predictions_are_the_same_bits_after_saving_and_loading(tmp_path, strategy):
    settings = {"review": 5.0, "amount": "amount"}
    model, _ = fitted(strategy=strategy, **settings)
    path = model.save(tmp_path / "artifact")
    again = tg.load(path, backbone=table(), head=head(**settings))
    rows = transactions(seed=2)
    assert again.predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)
    assert again.predict(rows, quiet=True) == model.predict(rows, quiet=True)


def test_an_artifact_contains_calibration_and_threshold(tmp_path):
    model, _ = fitted(review=5.0, amount="amount")
    target = json.loads((model.save(tmp_path / "artifact") / "taskgraft.json").read_text())["target"]
    assert FraudTarget.model_validate(target) == model.fitted.target
    assert (target["negative"], target["positive"]) == (0, 1)
    assert 0.5 < target["calibration"]["temperature"] < 2.0
    assert 0.01 < target["threshold"]["value"] < 0.5
    validation = transactions(seed=1)
    alerts = np.array(model.predict(validation, quiet=True)) == 1
    missed = np.array(validation["amount"])[~alerts & (np.array(validation["fraud"]) == 1)].sum()
    assert target["threshold"] == {
        "value": model.fitted.target.threshold.value,
        "chosen": "by costs",
        "cost": pytest.approx(missed + 5.0 * alerts.sum()),
        "alerts_per_day": None,
    }


@pytest.mark.slow
def test_more_expensive_reviews_give_fewer_alerts():
    counts = []
    for review in (1.0, 5.0, 25.0):
        model, _ = fitted(review=review, amount="amount")
        counts.append(model.predict(transactions(seed=2), quiet=True).count(1))
    assert counts[0] > counts[1] > counts[2] > 0


@pytest.mark.parametrize("calibration", ["temperature", "isotonic"])
def test_alerts_fill_the_capacity_of_the_validation_days(calibration):
    model, _ = fitted(calibration=calibration, alerts_per_day=6, time="day")
    alerts = model.predict(transactions(seed=1), quiet=True).count(1)
    assert alerts / 4 == model.fitted.target.threshold.alerts_per_day
    assert (alerts == 24) if calibration == "temperature" else (8 <= alerts <= 24)  # a step of the line is one score


def test_without_tuning_no_validation_rows_are_needed():
    model = tg.compose(table(), head(calibration="none", threshold=0.2), "linear-probe")
    model.fit(transactions(), inputs=["amount", "far"], target="fraud", quiet=True)
    assert model.fitted.target.threshold == Threshold(value=0.2, chosen="stated")


def test_its_own_metric_uses_the_columns_of_its_settings():
    rows = {**transactions(seed=1), "who": [f"customer {row % 40}" for row in range(400)]}
    _, run = fitted(validation=rows, review=5.0, amount="amount", time="day", customer="who", positive=1)
    assert {"average_precision", "precision", "card_precision_at_100", "expected_cost"} <= set(run.metrics)
    assert run.metrics.groups == "who"


def test_a_missing_column_of_its_metric_is_an_error_before_training():
    with pytest.raises(MissingColumn) as caught:
        fitted(calibration="none", threshold=0.2, customer="who")
    assert str(caught.value) == "the validation data has no column 'who'. Columns: amount, far, day, fraud."


def test_the_model_is_saved_even_if_its_metric_cannot_use_the_validation_rows(tmp_path, capsys):
    validation = {**transactions(seed=1), "day": ["2018-07-25"] * 399 + ["soon"], "who": ["one"] * 400}
    model = tg.compose(table(), head(calibration="none", threshold=0.2, time="day", customer="who"), "linear-probe")
    run = model.fit(transactions(), validation=validation, inputs=["amount", "far"], target="fraud")
    assert dict(run.metrics) == {}
    warning = (
        "The model is fitted, but its validation rows could not be evaluated. Row 400: the column 'day' is 'soon', "
    )
    assert warning in capsys.readouterr().err
    assert tg.load(model.save(tmp_path / "artifact"), backbone=table(), head=model.fitted.head) is not None


@pytest.mark.slow
def test_a_positive_weight_gives_more_alerts():
    plain, heavy = (fitted(positive_weight=weight, calibration="none")[0] for weight in (1.0, 8.0))
    alerts = [model.predict(transactions(seed=2), quiet=True).count(1) for model in (plain, heavy)]
    assert alerts[1] > 2 * alerts[0]


def test_without_validation_rows_nothing_is_trained():
    model = tg.compose(table(), {"name": "fraud", "review": 5.0, "loss": 50.0}, "linear-probe")
    with pytest.raises(TaskgraftError) as caught:
        model.fit(transactions(), inputs=["amount", "far"], target="fraud", quiet=True)
    assert str(caught.value) == (
        "'fraud' tunes a temperature and a threshold on validation rows after training, but there are no validation rows. "
        "Give data.validation or data.split."
    )


def test_validation_rows_of_one_label_are_an_error_before_training():
    validation = {name: values[:40] for name, values in transactions(seed=1).items()} | {"fraud": [0] * 40}
    with pytest.raises(FraudError) as caught:
        fitted(validation)
    assert str(caught.value) == (
        "'fraud' tunes a temperature on validation rows, but none of the 40 has the label 1 in the column 'fraud'. "
        "Provide other rows with data.validation, or hold out more training rows with data.split."
    )


def test_a_fraud_without_amount_is_an_error_before_training():
    validation = transactions(8, seed=1) | {"fraud": [0, 1] * 4, "eur": ["1", "2", "", "x", "-5", "", "7", "8"]}
    with pytest.raises(InvalidRows) as caught:
        fitted(validation, review=5.0, amount="eur")
    assert str(caught.value) == (
        "the validation data, row 3: the column 'eur' is 'x', which is not a number.\n"
        "the validation data, row 5: the column 'eur' is empty.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_row_with_an_invalid_time_is_an_error_before_training():
    with pytest.raises(InvalidRows) as caught:
        fitted(transactions(seed=1) | {"day": ["later"] + ["2018-07-25"] * 399}, alerts_per_day=3, time="day")
    assert str(caught.value) == (
        "the validation data, row 0: the column 'day' is 'later', which is not a time such as 2018-07-25 13:05:00.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_missing_amount_column_is_an_error_before_training():
    with pytest.raises(MissingColumn) as caught:
        fitted(review=5.0, amount="amuont")
    assert str(caught.value) == (
        "the validation data has no column 'amuont'. Did you mean 'amount'? Columns: amount, far, day, fraud."
    )
