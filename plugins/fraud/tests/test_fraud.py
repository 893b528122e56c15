import json

import numpy as np
import pytest
import torch
from backbones import Table
from small_plugin import TableConfig
from torch.nn.functional import binary_cross_entropy_with_logits

import taskgraft as tg
from taskgraft.contract.labels import TooFewLabels
from taskgraft.plugin import (
    Batch,
    ConfigError,
    Features,
    HeadSolver,
    InvalidRows,
    Layout,
    MissingColumn,
    parse_config,
    vector,
)
from taskgraft.testing import HeadLaws
from taskgraft.training.validation_tuning import NothingToSettleBy
from taskgraft_fraud.calibration import Isotonic, Temperature
from taskgraft_fraud.fraud import Fraud, FraudTarget, NoSuchLabel, NotTwoLabels, OneLabel
from taskgraft_fraud.fraud_settings import FraudConfig
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


def head(**settings) -> Fraud:
    return Fraud(FraudConfig(**settings))


def built(head: Fraud, members: int | None = None, **settled):
    target = head.fit_targets({"label": LABELS}).model_copy(update=settled)
    torch.manual_seed(0)
    return head.build_module(vector(5, members), target)


def encoded(head: Fraud, labels=LABELS) -> Batch:
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


# --- what is learned


def test_the_rarer_label_is_the_one_to_find():
    target = head().fit_targets({"label": LABELS})
    assert (target.negative, target.positive) == ("no", "yes")
    turned = head().fit_targets({"label": [1, 1, 0, 1]})
    assert (turned.negative, turned.positive) == (1, 0)


def test_of_two_labels_as_rare_the_later_is_the_one_to_find():
    assert head().fit_targets({"label": [0, 1]}).positive == 1


def test_the_label_to_find_may_be_named_by_its_text():
    assert head(positive="0").fit_targets({"label": [0, 0, 1]}).positive == 0


def test_before_validation_rows_were_seen_the_threshold_is_the_stated_one():
    assert head().fit_targets({"label": LABELS}).threshold == Threshold(value=0.5, chosen="stated")
    assert head(threshold=0.2).fit_targets({"label": LABELS}).threshold.value == 0.2


def test_a_third_label_is_refused():
    with pytest.raises(NotTwoLabels) as caught:
        head().fit_targets({"kind": ["a", "b", "c"]})
    assert str(caught.value) == (
        "'fraud' tells two labels apart, but the target column 'kind' has 3: 'a', 'b', 'c'. "
        "Choose the head 'classification', or merge labels."
    )


def test_one_label_leaves_nothing_to_tell():
    with pytest.raises(TooFewLabels):
        head().fit_targets({"kind": ["a", "a"]})


def test_a_label_to_find_that_does_not_occur_is_refused():
    with pytest.raises(NoSuchLabel) as caught:
        head(positive="fraud").fit_targets({"kind": ["a", "b"]})
    assert str(caught.value) == (
        "'fraud' is to find the label 'fraud' (positive), but the target column 'kind' has 'a', 'b'. Name one of these."
    )


# --- the loss


def test_the_loss_is_the_mean_logistic_loss_in_nats():
    output, batch = torch.randn(6, 1), encoded(head())
    loss = built(head()).loss(output, batch, UNREAD)
    wanted = binary_cross_entropy_with_logits(output[:, 0], batch["label"].float())
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_a_weighted_loss_is_the_weighted_mean():
    chosen, output = head(positive_weight=4.0), torch.randn(6, 1)
    loss = built(chosen).loss(output, encoded(chosen), UNREAD)
    weights = torch.tensor([1.0, 4, 1, 1, 1, 4])
    each = binary_cross_entropy_with_logits(output[:, 0], encoded(chosen)["label"].float(), reduction="none")
    torch.testing.assert_close(loss.total / loss.weight, (each * weights).sum() / weights.sum())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_is_that_of_the_paper(gamma):
    output, batch = torch.randn(6, 1), encoded(head())
    loss = built(head(focal=gamma)).loss(output, batch, UNREAD)
    chance = output[:, 0].sigmoid()
    right = torch.where(batch["label"] == 1, chance, 1 - chance)
    torch.testing.assert_close(loss.total, (-((1 - right) ** gamma) * right.log()).sum())


def test_the_slope_of_the_focal_loss_is_finite_where_a_row_is_certain():
    output = torch.tensor([[-300.0], [300.0], [300.0], [-300.0], [0.0], [0.0]], requires_grad=True)
    built(head(focal=0.5)).loss(output, encoded(head()), UNREAD).total.backward()
    assert output.grad.isfinite().all()


def test_the_loss_of_members_is_their_mean_loss():
    output, batch = torch.randn(6, 4, 1), encoded(head())
    loss = built(head(), members=4).loss(output, batch, UNREAD)
    wanted = binary_cross_entropy_with_logits(output[..., 0], batch["label"].float()[:, None].expand(6, 4))
    torch.testing.assert_close(loss.total / loss.weight, wanted)


def test_a_focal_loss_is_not_convex_so_a_probe_descends():
    plans = [tg.compose(table(), head(focal=gamma), "linear-probe").composition.plan for gamma in (0.0, 2.0)]
    assert [plan[0].solve for plan in plans] == [HeadSolver.CONVEX, HeadSolver.DESCENT]


# --- predictions


def test_probabilities_stand_in_the_order_negative_positive():
    found = built(head()).predict(torch.tensor([[2.0], [-1.0]]), UNREAD)
    chances = torch.tensor([2.0, -1.0]).sigmoid().numpy()
    assert found.classes == ("no", "yes")
    assert found.values == ["yes", "no"]
    np.testing.assert_allclose(np.stack(found.probabilities), np.stack([1 - chances, chances], 1), rtol=1e-6)


def test_a_row_is_an_alert_where_its_probability_exceeds_the_threshold():
    output = torch.tensor([[0.0], [0.01]])
    assert built(head()).predict(output, UNREAD).values == ["no", "yes"]
    low = built(head(), threshold=Threshold(value=0.4, chosen="stated"))
    assert low.predict(output, UNREAD).values == ["yes", "yes"]


def test_members_are_averaged_as_probabilities_and_calibrated_after():
    output = torch.tensor([[[3.0], [-1.0]]])
    found = built(head(), members=2, calibration=Temperature(temperature=2.0)).predict(output, UNREAD)
    mean = output.sigmoid().mean()
    wanted = ((mean / (1 - mean)).log() / 2).sigmoid()
    assert found.probabilities[0][1] == pytest.approx(float(wanted), rel=1e-6)


def test_each_member_has_weights_of_its_own():
    assert built(head(), members=4).readout.weight.shape == (4, 1, 5)


def test_what_a_head_settles_by_isotonic_regression_predicts_on_the_line():
    line = Isotonic(knots=((0.5, 0.1), (0.7, 0.3)))
    found = built(head(), calibration=line).predict(torch.tensor([[0.0], [0.4055]]), UNREAD)
    assert [row[1] for row in found.probabilities] == pytest.approx([0.1, 0.2], abs=1e-4)


# --- settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"review": 2.0, "amount": "a", "threshold": 0.5},
            "review and threshold each choose the threshold; keep one of review, alerts_per_day, threshold.",
        ),
        (
            {"review": 2.0, "amount": "a", "loss": 5.0},
            "amount and loss both say what a missed fraud costs; keep one.",
        ),
        (
            {"review": 2.0},
            "review is the price of an alert; say too what a missed fraud costs: amount, a column, or loss, a number.",
        ),
        ({"amount": "a"}, "amount says what a missed fraud costs; say too what an alert costs: review."),
        ({"loss": 5.0}, "loss says what a missed fraud costs; say too what an alert costs: review."),
        (
            {"alerts_per_day": 5},
            "alerts_per_day counts the alerts of a day; say too which column holds the times: time.",
        ),
        ({"threshold": 1.0}, "the setting 'threshold' is 1.0: input should be less than 1."),
        ({"review": 0, "loss": 5.0}, "the setting 'review' is 0: input should be greater than 0."),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(ConfigError) as caught:
        parse_config(FraudConfig, settings, "head 'fraud'")
    assert str(caught.value) == f"head 'fraud': {said}"


@pytest.mark.parametrize(
    ("settings", "settles", "columns"),
    [
        ({}, "a temperature", ()),
        ({"calibration": "isotonic", "threshold": 0.1}, "an isotonic calibration", ()),
        ({"review": 1.0, "amount": "eur", "time": "at"}, "a temperature and a threshold", ("eur", "at")),
        ({"calibration": "none", "alerts_per_day": 3, "time": "at"}, "a threshold", ("at",)),
        ({"calibration": "none", "threshold": 0.1}, "", ()),
        ({"calibration": "none", "threshold": 0.1, "customer": "who"}, "", ("who",)),
    ],
)
def test_a_head_says_what_it_settles_and_by_which_columns(settings, settles, columns):
    description = FRAUD.describe(FraudConfig(**settings))
    assert (description.tunes, description.tuning_columns) == (settles, columns)


# --- end to end


def transactions(count: int = 400, seed: int = 0):
    """Rows of which about one in eight is a fraud, likelier with a large amount far from home."""
    chance = np.random.default_rng(seed)
    amount, far = chance.exponential(50.0, count).round(2), chance.normal(size=count)
    odds = -3.5 + 0.02 * amount + 1.5 * far
    fraud = chance.random(count) < 1 / (1 + np.exp(-odds))
    days = [f"2018-07-{25 + row * 4 // count}" for row in range(count)]
    return {"amount": amount.tolist(), "far": far.tolist(), "day": days, "fraud": fraud.astype(int).tolist()}


def table() -> Table:
    return Table(TableConfig(columns=("amount", "far"), means=(50.0, 0.0), scales=(50.0, 1.0)))


def fitted(held=None, *, train=None, strategy="linear-probe", **settings):
    model = tg.compose(table(), head(**settings), strategy)
    how = {"inputs": ["amount", "far"], "target": "fraud", "quiet": True}
    return model, model.fit(train or transactions(), validation=held or transactions(seed=1), **how)


@pytest.mark.parametrize("strategy", ["linear-probe", "full"])
def test_a_fitted_head_is_saved_and_loaded_and_predicts_the_same_bits(tmp_path, strategy):
    settings = {"review": 5.0, "amount": "amount"}
    model, _ = fitted(strategy=strategy, **settings)
    path = model.save(tmp_path / "artifact")
    again = tg.load(path, backbone=table(), head=head(**settings))
    rows = transactions(seed=2)
    assert again.predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)
    assert again.predict(rows, quiet=True) == model.predict(rows, quiet=True)


def test_an_artifact_shows_what_was_settled(tmp_path):
    model, _ = fitted(review=5.0, amount="amount")
    target = json.loads((model.save(tmp_path / "artifact") / "taskgraft.json").read_text())["target"]
    assert FraudTarget.model_validate(target) == model.fitted.target
    assert (target["negative"], target["positive"]) == (0, 1)
    assert 0.5 < target["calibration"]["temperature"] < 2.0
    assert 0.01 < target["threshold"]["value"] < 0.5
    held = transactions(seed=1)
    alerts = np.array(model.predict(held, quiet=True)) == 1
    missed = np.array(held["amount"])[~alerts & (np.array(held["fraud"]) == 1)].sum()
    assert target["threshold"] == {
        "value": model.fitted.target.threshold.value,
        "chosen": "by costs",
        "cost": pytest.approx(missed + 5.0 * alerts.sum()),
        "alerts_per_day": None,
    }


def test_a_dearer_review_gives_fewer_alerts():
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


def test_a_head_that_settles_nothing_needs_no_validation_rows():
    model = tg.compose(table(), head(calibration="none", threshold=0.2), "linear-probe")
    model.fit(transactions(), inputs=["amount", "far"], target="fraud", quiet=True)
    assert model.fitted.target.threshold == Threshold(value=0.2, chosen="stated")


def test_its_own_metric_judges_it_with_the_columns_that_it_was_told_of():
    rows = {**transactions(seed=1), "who": [f"customer {row % 40}" for row in range(400)]}
    _, run = fitted(held=rows, review=5.0, amount="amount", time="day", customer="who", positive=1)
    assert {"average_precision", "precision", "card_precision_at_100", "expected_cost"} <= set(run.metrics)
    assert run.metrics.groups == "who"


def test_a_column_for_its_metric_that_is_not_there_is_told_before_training():
    with pytest.raises(MissingColumn) as caught:
        fitted(calibration="none", threshold=0.2, customer="who")
    assert str(caught.value) == "the validation data has no column 'who'. Columns: amount, far, day, fraud."


def test_validation_rows_that_its_metric_cannot_read_do_not_cost_the_model(tmp_path, capsys):
    held = {**transactions(seed=1), "day": ["2018-07-25"] * 399 + ["soon"], "who": ["one"] * 400}
    model = tg.compose(table(), head(calibration="none", threshold=0.2, time="day", customer="who"), "linear-probe")
    run = model.fit(transactions(), validation=held, inputs=["amount", "far"], target="fraud")
    assert dict(run.metrics) == {}
    said = "The model is fitted, but its validation rows could not be judged. Row 400: the column 'day' is 'soon', "
    assert said in capsys.readouterr().err
    assert tg.load(model.save(tmp_path / "artifact"), backbone=table(), head=model.fitted.head) is not None


def test_training_examples_may_be_weighed():
    plain, heavy = (fitted(positive_weight=weight, calibration="none")[0] for weight in (1.0, 8.0))
    alerts = [model.predict(transactions(seed=2), quiet=True).count(1) for model in (plain, heavy)]
    assert alerts[1] > 2 * alerts[0]


def test_without_validation_rows_nothing_is_trained():
    model = tg.compose(table(), {"name": "fraud", "review": 5.0, "loss": 50.0}, "linear-probe")
    with pytest.raises(NothingToSettleBy) as caught:
        model.fit(transactions(), inputs=["amount", "far"], target="fraud", quiet=True)
    assert str(caught.value) == (
        "'fraud' chooses a temperature and a threshold by validation rows after training, but there are none. "
        "Give data.validation or data.split."
    )


def test_validation_rows_of_one_label_are_refused_before_training():
    held = {name: values[:40] for name, values in transactions(seed=1).items()} | {"fraud": [0] * 40}
    with pytest.raises(OneLabel) as caught:
        fitted(held)
    assert str(caught.value) == (
        "'fraud' chooses a temperature by validation rows, but none of the 40 has 1 in the column 'fraud'. "
        "Give others with data.validation, or hold out more of the training rows with data.split."
    )


def test_a_fraud_without_its_amount_is_told_before_training():
    held = transactions(8, seed=1) | {"fraud": [0, 1] * 4, "eur": ["1", "2", "", "x", "-5", "", "7", "8"]}
    with pytest.raises(InvalidRows) as caught:
        fitted(held, review=5.0, amount="eur")
    assert str(caught.value) == (
        "the validation data, row 3: the column 'eur' is 'x', which is no number.\n"
        "the validation data, row 5: the column 'eur' is empty.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_row_without_time_is_told_before_training():
    with pytest.raises(InvalidRows) as caught:
        fitted(transactions(seed=1) | {"day": ["later"] + ["2018-07-25"] * 399}, alerts_per_day=3, time="day")
    assert str(caught.value) == (
        "the validation data, row 0: the column 'day' is 'later', which is no time like 2018-07-25 13:05:00.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_column_that_is_not_there_is_told_before_training():
    with pytest.raises(MissingColumn) as caught:
        fitted(review=5.0, amount="amuont")
    assert str(caught.value) == (
        "the validation data has no column 'amuont'. Did you mean 'amount'? Columns: amount, far, day, fraud."
    )
