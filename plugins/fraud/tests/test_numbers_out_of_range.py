"""Numbers too far from the training rows to compute with: invalid at prediction as in training, for every table backbone."""

import csv
import json

import numpy as np
import pytest
import torch
from commands import typed

import taskgraft as tg
from taskgraft.plugin import InvalidRows
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.processor import TableProcessor
from taskgraft_fraud.settings import NumberColumn, TableConfig, TimeColumn

pytestmark = pytest.mark.slow

BACKBONES = {
    "ft-transformer": {"feature_size": 8, "blocks": 1},
    "tabular-resnet": {"feature_size": 8, "blocks": 1},
    "mlp-plr": {"feature_size": 8, "blocks": 1},
    "tabm": {"feature_size": 8, "blocks": 1, "members": 2},
}
HEADS = {"fraud": {"positive": 1}, "classification": {}, "regression": {}}
FAR = ["1e19", "-1e30", "1e39", "1e300"]
"""All are beyond 1e18 standard deviations, some are beyond the largest float32."""

NO_LIMIT = '; the backbone\'s scaling = "quantile" has no such limit'
ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)


def table(count=60):
    chance = np.random.default_rng(0)
    amount = 10 + 5 * np.sin(np.arange(count))
    return {
        "amount": [f"{value:.2f}" for value in amount],
        "shop": chance.choice(["food", "books"], count).tolist(),
        "label": [int(value > 13) for value in amount],
    }


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([list(rows), *zip(*rows.values(), strict=True)])
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A function: backbone, head → the folder of a fitted model, made once."""
    folders = {}

    def folder_of(backbone, head):
        if (backbone, head) not in folders:
            folder = tmp_path_factory.mktemp(f"{backbone}-{head}")
            model = tg.compose({"name": backbone, **BACKBONES[backbone]}, {"name": head, **HEADS[head]}, "full")
            rows = table()
            validation = {name: values[:30] for name, values in rows.items()}
            model.fit(
                rows,
                inputs=["amount", "shop"],
                target="label",
                validation=validation,
                training={"epochs": 1},
                quiet=True,
            )
            folders[backbone, head] = model.save(folder / "model")
        return folders[backbone, head]

    return folder_of


def reason(value):
    numbers = np.array([float(cell) for cell in table()["amount"]])
    return (
        f"the column 'amount' is {value!r}, more than 1e+18 standard deviations ({numbers.std():g}) from the mean of the "
        f"training split ({numbers.mean():g}){NO_LIMIT}"
    )


def with_cells(cells):
    rows = table()
    return rows | {"amount": [cells.get(row, cell) for row, cell in enumerate(rows["amount"])]}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("head", HEADS)
def test_a_number_too_far_from_the_training_rows_has_no_prediction(fitted, tmp_path, backbone, head):
    artifact = fitted(backbone, head)
    model = tg.load(artifact)
    whole = list(model.predict(table(), quiet=True))
    for value in FAR:
        rows = with_cells({4: value})
        path = write(tmp_path / "rows.csv", rows)
        with pytest.raises(InvalidRows) as caught:
            model.predict(path, quiet=True)
        assert str(caught.value) == f"rows.csv, line 6: {reason(value)}.\n{ADVICE}"
        null = model.predict(path, quiet=True, on_bad_row="null")
        assert null[4] is None
        assert null.reasons == {4: reason(value)}
        others = [one for row, one in enumerate(whole) if row != 4]  # numbers of other batches differ by rounding
        assert [one for row, one in enumerate(null) if row != 4] == (
            pytest.approx(others, rel=1e-5) if head == "regression" else others
        )
        with pytest.raises(InvalidRows) as caught:
            model.evaluate(path, quiet=True)
        advice = 'Fix these rows, or drop them with data.on_bad_row = "skip".'
        assert str(caught.value) == f"rows.csv, line 6: {reason(value)}.\n{advice}"
        skipped = model.evaluate(path, quiet=True, settings={"on_bad_row": "skip"})
        assert skipped.rows == 59
        assert all(np.isfinite(number) for number in skipped.values())


def test_the_command_names_line_column_and_value(fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifact = fitted("ft-transformer", "fraud")
    write(tmp_path / "rows.csv", with_cells({4: "1e39"}))
    done = typed("predict", artifact, "rows.csv", "-o", "out.csv")
    assert done.code == 2
    assert done.err.endswith(f"rows.csv, line 6: {reason('1e39')}.\n{ADVICE}\n")
    assert not (tmp_path / "out.csv").exists()
    done = typed("predict", artifact, "rows.csv", "--json", "--probabilities", "--on-bad-row", "null", "-q")
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [row for row, line in enumerate(lines) if line["prediction"] is None] == [4]
    assert lines[4]["reason"] == reason("1e39")
    assert "NaN" not in done.out


@pytest.mark.parametrize("backbone", BACKBONES)
def test_numbers_within_the_limit_have_finite_predictions(fitted, backbone):
    model = tg.load(fitted(backbone, "regression"))
    cells = {
        row: f"{sign}{number}" for row, (sign, number) in enumerate((s, n) for s in ("", "-") for n in ("1e12", "9e17"))
    }
    assert np.isfinite(model.predict(with_cells(cells), quiet=True)).all()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_overflows_in_half_precision_has_no_prediction(fitted, backbone):
    model = tg.load(fitted(backbone, "fraud"))
    model.fitted.task.backbone.to(torch.float16)
    found = model.predict_proba(with_cells({4: "1e16"}), quiet=True, on_bad_row="null")
    assert {row for row, one in enumerate(found) if one is None} in ({4}, set())
    for row, shares in enumerate(found):
        if row != 4:
            assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    if found[4] is None:
        assert found.reasons[4] == (
            "its prediction is not finite: the values of the row are too large to compute with in float16; float32 has a "
            "wider range"
        )
    else:
        assert backbone == "mlp-plr"  # of a number it reads sine and cosine


# --- in training


@pytest.mark.parametrize("backbone", BACKBONES)
def test_such_a_row_is_invalid_in_training_and_validation_too(tmp_path, monkeypatch, backbone):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.csv", table())
    write(tmp_path / "valid.csv", with_cells({4: "1e39"}))
    settings = {"name": backbone, **BACKBONES[backbone]}
    model = tg.compose(settings, "classification", "full")
    given = {"inputs": ["amount", "shop"], "target": "label", "training": {"epochs": 1}, "quiet": True}
    with pytest.raises(InvalidRows) as caught:
        model.fit("train.csv", validation="valid.csv", **given)
    assert str(caught.value).splitlines()[0] == f"valid.csv, line 6: {reason('1e39')}."
    write(tmp_path / "train.csv", with_cells({4: "1e39"}))
    unscaled = tg.compose(settings | {"scaling": "none"}, "classification", "full")
    with pytest.raises(InvalidRows) as caught:
        unscaled.fit("train.csv", **given)
    assert str(caught.value).splitlines()[0] == (
        f"train.csv, line 6: the column 'amount' is '1e39', which is beyond ±1e+18, too large to compute with{NO_LIMIT}."
    )


# --- the processor


def processor(column):
    return TableProcessor((column,))


@pytest.mark.parametrize("value", [1e18 * 2.5, 1.7e308, -1e39])
def test_a_float_is_named_as_it_is(value):
    column = NumberColumn(name="x", mean=0.5, scale=2.0, sign=False)
    prepared = processor(column).prepare({"x": [1.0, value]})
    assert bool(torch.isfinite(prepared.batch["numbers"]).all())
    assert list(prepared.invalid) == [1]
    assert prepared.invalid[1].startswith(f"the column 'x' is {value!r}, more than 1e+18 standard deviations (2) from")


def test_a_time_too_far_from_the_training_rows_is_invalid():
    column = TimeColumn(
        name="when",
        cycles=("hour",),
        first="2024-01-01T00:00:00+00:00",
        elapsed=True,
        mean=0.0,
        scale=1e-16,
        sign=False,
    )
    prepared = processor(column).prepare({"when": ["2024-01-01T00:00:00", "2024-12-31T00:00:00"]})
    assert prepared.invalid == {
        1: "the column 'when' is '2024-12-31T00:00:00', more than 1e+18 standard deviations (1e-16) from the mean of the "
        "training split (0)"
    }


def test_quantile_scaling_has_no_limit():
    config = fit_config(TableConfig(scaling="quantile"), {"x": [1.0, 2.0, 3.0, 4.0]})
    prepared = TableProcessor(config.learned).prepare({"x": [1.7e308, -1.7e308]})
    assert prepared.invalid == {}
    assert prepared.batch["numbers"][:, 0].tolist() == pytest.approx([3.719016, -3.719016])
