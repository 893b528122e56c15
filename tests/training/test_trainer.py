from dataclasses import replace

import pytest
import torch
from backbones import TABLE, Words
from small_tasks import (
    PARTS,
    Planned,
    assert_same_bits,
    changed,
    classification,
    copied,
    fitted,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)
from torch import nn

import taskgraft as tg
from taskgraft.adaptation.insertion import InvalidInsertion
from taskgraft.adaptation.trainable import InvalidStage
from taskgraft.builtin.heads.configs import ElementClassificationConfig, RegressionConfig
from taskgraft.builtin.heads.element_classification import ElementClassification
from taskgraft.builtin.heads.regression import Regression
from taskgraft.contract.plan import HeadSolver, Stage, Unfreeze
from taskgraft.data.batching import BatchBudget
from taskgraft.engine.feature_checks import CHECKED_EXAMPLES
from taskgraft.preparation.errors import TrainingError
from taskgraft.training import convex_solver

PROBE = Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True)


class Rows:
    """Counts the rows that go through a module."""

    def __init__(self, module: nn.Module):
        self.count = 0
        module.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self.count += len(output)


def cached_and_not(backbone, *learn: str, **training):
    """Train with cached frozen features, and without."""
    return (fitted(backbone(), training_stage(*learn, cache_features=store), **training) for store in (True, False))


@pytest.mark.parametrize("learn", [("block-1",), ("block-0", "block-1"), PARTS])
def test_cached_features_give_the_weights_that_recomputed_ones_give(learn):
    (cached, _), (recomputed, _) = cached_and_not(words, *learn)
    for name, tensor in weights(cached).items():
        torch.testing.assert_close(tensor, weights(recomputed)[name], atol=1e-5, rtol=1e-5)


def test_cached_grids_give_the_weights_that_recomputed_ones_give():
    (cached, _), (recomputed, _) = cached_and_not(pictures, "last")
    for name, tensor in weights(cached).items():
        torch.testing.assert_close(tensor, weights(recomputed)[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("learn", "cut"), [(("block-1",), 2), (("block-0", "block-1"), 1), (PARTS, None)])
def test_states_are_cached_at_the_last_cut_before_anything_trainable(learn, cut):
    (_, cached), (_, recomputed) = cached_and_not(words, *learn)
    assert cached.stages[0].stored_at == cut
    assert recomputed.stages[0].stored_at is None


class NotCacheable(Words):
    """Emits features that must not be cached."""

    @property
    def description(self):
        right = super().description
        return replace(right, features=tuple(replace(feature, cacheable=False) for feature in right.features))


def test_features_that_are_not_cacheable_are_recomputed_with_the_same_result():
    (cached, _), (recomputed, run) = (
        fitted(kind().eval(), training_stage("block-1", cache_features=True)) for kind in (Words, NotCacheable)
    )

    assert run.stages[0].stored_at is None
    for name, tensor in weights(cached).items():
        torch.testing.assert_close(tensor, weights(recomputed)[name], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_probe_of_features_that_are_not_cacheable_reads_them_from_the_backbone():
    backbone = NotCacheable().eval()
    embedded = Rows(backbone.embedding)

    cached, recomputed = trained(Words().eval(), PROBE), trained(backbone, PROBE)

    assert embedded.count > 10 * 24
    for name, tensor in weights(cached).items():
        torch.testing.assert_close(tensor, weights(recomputed)[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_frozen_part_runs_once_per_example_whatever_the_epochs(epochs):
    backbone = words()
    embedded = Rows(backbone.embedding)
    trained(backbone, training_stage("block-1", cache_features=True, epochs=epochs))
    tried = (
        CHECKED_EXAMPLES * 4 + 8
    )  # alone, together, whole and to the cut; and a first batch, for the scale of the features
    assert embedded.count == 24 + tried


def test_a_probe_sends_each_example_through_the_backbone_once():
    backbone = words()
    embedded = Rows(backbone.embedding)
    trained(backbone, PROBE, validation=sentences(10, seed=1))
    tried = CHECKED_EXAMPLES * 2
    assert embedded.count == 24 + 10 + tried


@pytest.mark.slow
def test_a_cache_in_files_gives_the_same_bits():
    for stage in (PROBE, training_stage("block-1", cache_features=True)):
        in_memory, in_files = (weights(trained(words(), stage, memory=memory)) for memory in (1 << 30, 0))
        assert_same_bits(in_memory, in_files)


def test_files_are_deleted_with_the_run(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trained(words(), PROBE, memory=0)
    assert list(tmp_path.iterdir()) == []


def test_files_are_deleted_after_an_error_too(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InvalidStage):
        trained(words(), Stage("empty"), memory=0)
    assert list(tmp_path.iterdir()) == []


def test_a_probe_keeps_every_bit_of_the_backbone():
    for backbone in (words(), pictures()):
        before = copied(backbone)
        trained(backbone, PROBE)
        assert changed(backbone, before) == set()


def test_a_probe_of_elements_reads_few_at_a_time_and_rows_of_similar_length_together(monkeypatch):
    texts = ["a", "b a b a b a b a b a b a b a b a", "b a", "a b a", "b", "a b"] * 4
    rows = {"text": texts, "label": [text.split() for text in texts]}
    shapes, real = [], convex_solver.batch_to_features

    def read(batch, layout):
        found = real(batch, layout)
        shapes.append(found.value.shape[:2])
        return found

    def probed():
        head = ElementClassification(ElementClassificationConfig())
        model = tg.compose(words(), head=head, strategy=Planned(replace(PROBE, l2_penalty=1e-2)))
        model.fit(rows, inputs="text", target="label", quiet=True)
        return weights(model)["head.readout.weight"]

    at_once = probed()
    monkeypatch.setattr(convex_solver, "SOLVER_BUDGET", BatchBudget(8_192, 40))
    monkeypatch.setattr(convex_solver, "batch_to_features", read)
    torch.testing.assert_close(probed(), at_once, atol=1e-4, rtol=1e-3)
    assert max(count * longest for count, longest in shapes) <= 40
    assert sum(count * longest for count, longest in shapes) < 2 * sum(len(text.split()) for text in texts)


def test_a_probe_uses_the_penalty_it_was_given():
    _, run = fitted(
        words(), Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True, l2_penalty=0.25)
    )
    assert run.stages[0].penalty == 0.25


def test_a_stronger_penalty_gives_smaller_weights():
    norms = []
    for penalty in (1e-4, 1.0):
        model = trained(
            words(),
            Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True, l2_penalty=penalty),
        )
        norms.append(float(weights(model)["head.readout.weight"].norm()))
    assert norms[1] < 0.2 * norms[0]


def test_a_probe_chooses_its_penalty_on_validation_or_on_held_out_rows():
    for validation in (None, sentences(20, seed=1)):
        _, run = fitted(words(), PROBE, validation=validation)
        assert 1e-6 * 0.8 <= run.stages[0].penalty <= 1e-2


def test_a_probe_does_not_depend_on_the_seed_when_it_has_validation():
    one, other = (weights(trained(words(), PROBE, validation=sentences(20, seed=1), seed=seed)) for seed in (0, 1))
    assert_same_bits(one, other)


def test_a_probe_works_over_members():
    rows = {name: list(values) * 3 for name, values in TABLE.inputs.items()}
    rows["label"] = ["a", "b", "b", "a", "a", "b"] * 3
    model = tg.compose(TABLE.build(), classification(), Planned(PROBE))
    model.fit(rows, target="label", inputs=list(TABLE.inputs), quiet=True)
    assert len(model.predict(rows)) == 18


def test_one_row_is_too_few_to_choose_a_penalty():
    model = tg.compose(words(), Regression(RegressionConfig()), Planned(PROBE))
    with pytest.raises(TrainingError) as caught:
        model.fit({"text": ["a b"], "price": [1]}, target="price", quiet=True)
    assert str(caught.value) == (
        "There is only 1 training row, so none can be held out to choose the penalty. "
        "Give more rows, a validation set, or the setting 'penalty'."
    )


def test_a_report_lists_what_was_done():
    _, run = fitted(words(), training_stage("block-1", cache_features=True, name="last part"))
    (report,) = run.stages
    assert report.name == "last part"
    assert report.seconds > 0
    assert len(report.losses) == 2
    block = sum(tensor.numel() for name, tensor in copied(words()).items() if name.startswith(("blocks.1.", "norm.")))
    assert report.trained == block + sum(tensor.numel() for tensor in weights_of_head().values())


def weights_of_head() -> dict[str, torch.Tensor]:
    model = trained(words(), PROBE)
    return dict(model.fitted.task.head.named_parameters())


def test_stages_follow_each_other():
    probe_first = PROBE, training_stage("block-1", cache_features=True, name="last")
    model, run = fitted(words(), *probe_first)
    assert [report.name for report in run.stages] == ["probe", "last"]
    assert model.fitted.trained > {"head.readout.weight", "blocks.1.query.weight"}
    assert (
        run.stages[1].losses[0] < fitted(words(), training_stage("block-1", cache_features=True))[1].stages[0].losses[0]
    )


def test_the_epochs_of_the_training_settings_hold_where_a_stage_does_not_say():
    _, run = fitted(words(), Stage("first", (Unfreeze(PARTS, 1e-3),), head_learning_rate=1e-3), epochs=4)
    assert len(run.stages[0].losses) == 4


def test_a_stage_that_cannot_run_is_named():
    with pytest.raises(InvalidStage) as caught:
        trained(words(), Stage("odd", (Unfreeze(("block-9",), 1e-3),)))
    assert str(caught.value) == (
        "The stage 'odd' cannot run: there is no part 'block-9'; the parts are embedding, block-0, block-1."
    )


def test_an_insertion_that_fits_nothing_is_named():
    from taskgraft.contract.plan import Insertion

    with pytest.raises(InvalidInsertion):
        trained(words(), training_stage(insertions=(Insertion("nothing", PARTS, frozenset(), nn.Identity, 1e-3),)))


def test_images_train_through_all_stages():
    _, run = fitted(
        pictures(), PROBE, training_stage("last", name="last"), rows=images(20), validation=images(8, seed=1)
    )
    assert set(run.metrics) >= {"accuracy", "f1_macro"}
