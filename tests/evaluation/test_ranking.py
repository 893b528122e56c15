"""Areas for resamples equal those of torchmetrics for the rows written out."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    multiclass_auroc,
    multiclass_average_precision,
    multilabel_auroc,
    multilabel_average_precision,
)

from taskgraft.evaluation.ranking import RankingCurves

CLASSES, ROWS = 5, 60


def scores(seed: int, levels: int, shape=(ROWS, CLASSES)) -> np.ndarray:
    """Scores from 0 to 1; few levels give many ties."""
    return (np.random.default_rng(seed).integers(0, levels, shape) / levels).astype(np.float32)


def resample(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ROWS, ROWS)


def areas(ranking: RankingCurves, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ranking.areas(np.bincount(rows, minlength=ROWS))


@pytest.mark.parametrize("levels", [2, 10, 10_000])
@pytest.mark.parametrize("rows", [np.arange(ROWS), resample(1), resample(2)], ids=["each-once", "one", "another"])
def test_areas_of_two_classes_equal_those_of_torchmetrics(levels, rows):
    given, truth = scores(0, levels, (ROWS, 1)), np.random.default_rng(3).random((ROWS, 1)) < 0.3
    auroc, precision = areas(RankingCurves(given, truth), rows)
    one, other = torch.from_numpy(given[rows, 0]), torch.from_numpy(truth[rows, 0]).long()
    assert auroc == pytest.approx([float(binary_auroc(one, other))], abs=1e-6)
    assert precision == pytest.approx([float(binary_average_precision(one, other))], abs=1e-6)


@pytest.mark.parametrize("levels", [2, 10, 10_000])
@pytest.mark.parametrize("rows", [np.arange(ROWS), resample(1), resample(2)], ids=["each-once", "one", "another"])
def test_areas_of_many_classes_equal_those_of_torchmetrics(levels, rows):
    given, truth = scores(0, levels), np.random.default_rng(3).integers(0, CLASSES, ROWS)
    auroc, precision = areas(RankingCurves(given, truth[:, None] == np.arange(CLASSES)), rows)
    one, other = torch.from_numpy(given[rows]), torch.from_numpy(truth[rows])
    assert auroc == pytest.approx(multiclass_auroc(one, other, CLASSES, average="none").numpy(), abs=1e-6)
    wanted = multiclass_average_precision(one, other, CLASSES, average="none")
    assert precision == pytest.approx(wanted.numpy(), abs=1e-6)


@pytest.mark.parametrize("levels", [2, 10, 10_000])
@pytest.mark.parametrize("rows", [np.arange(ROWS), resample(1), resample(2)], ids=["each-once", "one", "another"])
def test_areas_of_labels_some_of_which_are_unknown_equal_those_of_torchmetrics(levels, rows):
    given, truth = scores(0, levels), np.random.default_rng(3).integers(-1, 2, (ROWS, CLASSES))
    auroc, precision = areas(RankingCurves(given, truth == 1, truth >= 0), rows)
    one, other = torch.from_numpy(given[rows]), torch.from_numpy(truth[rows])
    options = {"average": "none", "ignore_index": -1}
    assert auroc == pytest.approx(multilabel_auroc(one, other, CLASSES, **options).numpy(), abs=1e-6)
    wanted = multilabel_average_precision(one, other, CLASSES, **options)
    assert precision == pytest.approx(wanted.numpy(), abs=1e-6)


def test_scores_that_are_all_equal_are_as_good_as_chance():
    truth = np.arange(ROWS)[:, None] < 15
    auroc, precision = areas(RankingCurves(np.full((ROWS, 1), 0.5), truth), np.arange(ROWS))
    assert (auroc[0], precision[0]) == (0.5, 0.25)


def test_a_class_that_no_row_or_every_row_has_has_no_area():
    truth = np.stack([np.zeros(ROWS, bool), np.ones(ROWS, bool), np.arange(ROWS) < 3], axis=1)
    ranking = RankingCurves(scores(0, 10, (ROWS, 3)), truth)
    for found in areas(ranking, np.arange(ROWS)):
        assert np.isnan(found).tolist() == [True, True, False]
    for found in areas(ranking, np.arange(3, ROWS)):
        assert np.isnan(found).all()
