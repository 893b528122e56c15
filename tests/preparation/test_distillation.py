"""Distillation: a student is trained on the soft labels of a teacher with another backbone, and then no longer needs it."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from backbones import WORDS
from small_tasks import Planned, assert_same_bits, classification, images, sentences, weights, words
from torch.nn.functional import cross_entropy

import taskgraft as tg
from taskgraft.adaptation.trainable import InvalidStage
from taskgraft.builtin.strategies.distill import Distill, DistillConfig, SoftLoss
from taskgraft.contract.head import LossSum
from taskgraft.contract.plan import Stage
from taskgraft.contract.rows import InvalidRows
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.data.soft_labels import join_soft_labels, split_soft_labels
from taskgraft.preparation.errors import TrainingError
from taskgraft.storage.manifest import MANIFEST, SUMS, TENSORS, InvalidArtifact, checksums
from taskgraft.storage.run_directory import ResumeMismatch
from taskgraft.testing import StrategyLaws

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_plugin_installed")]

FULL = {"name": "full", "learning_rate": 1e-2}
SMALLER = {"name": "small-words", "blocks": 1, "seed": 5, "dropout": 0.0}


def fit(backbone: Any, strategy: Any, rows: Any = None, head: Any = "classification", **given: Any) -> tg.TaskModel:
    training = {"batch_size": 8, "epochs": 2} | given.pop("training", {})
    model = tg.compose(backbone, head, strategy)
    model.fit(rows or sentences(), target=given.pop("target", "label"), training=training, quiet=True, **given)
    return model


def saved(folder: Path, rows: Any = None, backbone: Any = "small-words", **given: Any) -> str:
    """Fit and save a teacher."""
    return str(fit(backbone, FULL, rows, **given).save(folder / "teacher"))


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    return saved(tmp_path)


def distill(teacher: str, **settings: Any) -> dict[str, Any]:
    return {"name": "distill", "teacher": teacher, "learning_rate": 1e-2} | settings


def stage_of(teacher: str, **settings: Any) -> Stage:
    """The stage of a student of the small backbone."""
    strategy = Distill(DistillConfig(teacher=teacher, learning_rate=1e-2, **settings))
    return strategy.plan(words().description, classification().description)[0]


def logits(model: tg.TaskModel, rows: dict[str, list[Any]]) -> torch.Tensor:
    assert model.fitted is not None
    task = model.fitted.task.eval()
    batch = task.backbone.processor.prepare({"text": rows["text"]}).batch
    with torch.no_grad():
        return task.head(task.features(0, batch))


class TestDistill(StrategyLaws):
    @pytest.fixture
    def strategy(self, tmp_path):
        return Distill(
            DistillConfig(teacher=saved(tmp_path, {"text": list(WORDS.inputs["text"]), "label": list("abcabc")}))
        )

    @pytest.fixture
    def backbone(self):
        return words()

    @pytest.fixture
    def inputs(self):
        return {"text": list(WORDS.inputs["text"])}

    @pytest.fixture
    def head(self):
        return classification()

    @pytest.fixture
    def targets(self):
        return {"label": list("abcabc")}


# --- the loss


def test_the_loss_compares_each_row_with_the_soft_labels_of_its_teacher_by_the_formula(tmp_path):
    rows = sentences(8) | {"label": list("hgfedcba")}  # a label says which row it is
    teacher, temperature, mix = saved(tmp_path, rows), 3.0, 0.25
    said = (logits(tg.load(teacher), rows) / temperature).softmax(-1)
    seen = []

    def checked_loss(head, output, targets, features):
        found = SoftLoss(temperature, mix)(head, output, targets, features)
        own, soft = split_soft_labels(targets)
        label = own["label"]
        torch.testing.assert_close(soft["shares"], said[7 - label])
        divergence = (said[7 - label] * (said[7 - label].log() - (output / temperature).log_softmax(-1))).sum()
        wanted = mix * temperature**2 * divergence + (1 - mix) * cross_entropy(output, label, reduction="sum")
        torch.testing.assert_close(found.total, wanted)
        assert float(found.weight) == len(label)
        seen.extend(label.tolist())
        return found

    stage = replace(stage_of(teacher, temperature=temperature), loss=checked_loss)
    fit(words(), Planned(stage), rows, training={"micro_batch": 3})

    assert sorted(seen) == sorted([*range(8)] * 2)


def test_a_mix_of_zero_is_plain_training_bit_for_bit(teacher):
    plain, taught = fit("small-words", FULL), fit("small-words", distill(teacher, mix=0))

    assert_same_bits(weights(taught), weights(plain))


def test_a_mix_of_one_never_reads_labels():
    class Deaf:
        def loss(self, *_):
            raise AssertionError("the labels were looked at")

        def distillation_loss(self, output, soft, features, temperature):
            return LossSum(output.sum() * temperature, output.new_tensor(1.0))

    targets = join_soft_labels(tg.Batch({"label": torch.zeros(1)}), tg.Batch({"shares": torch.zeros(1, 2)}))
    found = SoftLoss(2.0, 1.0)(Deaf(), torch.ones(1, 2), targets, None)

    assert float(found.total) == 4.0


@pytest.mark.parametrize(
    ("head", "target"),
    [("classification", "label"), ("regression", "length"), ("multi-label", "has"), ("element-classification", "tags")],
)
def test_a_student_comes_to_predict_as_its_teacher_does(tmp_path, head, target):
    rows = sentences(32)
    split = [text.split() for text in rows["text"]]
    rows["length"] = [len(some) for some in split]
    rows["has"] = ["|".join(sorted({"xy"[len(word) % 2] for word in some})) for some in split]
    rows["tags"] = [["xy"[len(word) % 2] for word in some] for some in split]
    options = {"head": head, "target": target, "inputs": "text"}
    teacher = saved(tmp_path, rows, training={"epochs": 6}, **options)
    scratch = torch.Generator().manual_seed(0)
    if head == "classification":  # labels drawn at random: what the student knows, it has from the teacher
        rows["label"] = ["abc"[int(torch.randint(3, (), generator=scratch))] for _ in split]
    first = fit(SMALLER, distill(teacher, mix=1), rows, training={"steps": 1}, **options)
    last = fit(SMALLER, distill(teacher, mix=1), rows, training={"epochs": 12}, **options)
    wanted = logits(tg.load(teacher), rows)

    assert (logits(last, rows) - wanted).square().mean() < 0.5 * (logits(first, rows) - wanted).square().mean()


def test_a_teacher_of_texts_teaches_a_student_of_pictures(tmp_path):
    rows = images(16) | {"text": sentences(16)["text"]}
    teacher = saved(tmp_path, rows, inputs="text")

    model = fit("small-pictures", distill(teacher), rows, inputs="image")

    assert model.recipe.data.inputs == {"image": "image"}
    assert set(model.predict(rows)) <= {"a", "b"}


def test_distillation_works_with_cached_frozen_features(teacher):
    model = tg.compose("small-words", "classification", distill(teacher, learn=1))
    run = model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)

    assert run.stages[0].stored_at == 2


def test_the_head_adopts_the_labels_of_the_teacher(teacher):
    rows = {
        name: [value for value, label in zip(some, sentences()["label"], strict=True) if label != "b"]
        for name, some in sentences().items()
    }

    model = fit(SMALLER, distill(teacher), rows)

    assert model.fitted.target.vocabulary == ("a", "b", "c")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("none", None), ("balanced", "balanced"), ({"a": 1.0, "b": 2.0, "c": 3.0}, (1.0, 2.0, 3.0))],
)
def test_class_weights_are_those_of_the_student(tmp_path, weights, expected):
    rows = sentences()
    folder = saved(tmp_path, head={"name": "classification", "class_weights": "balanced"})
    labels = sorted(set(rows["label"]))
    if isinstance(weights, dict):
        weights = dict(zip(labels, weights.values(), strict=True))
    if expected == "balanced":
        expected = tuple(len(rows["label"]) / (len(labels) * rows["label"].count(label)) for label in labels)
    student = fit("small-words", distill(folder), head={"name": "classification", "class_weights": weights})
    assert student.fitted.target.vocabulary == tuple(labels)
    assert student.fitted.target.weights == expected


def test_a_label_of_the_teacher_that_the_student_never_sees_weighs_as_if_seen_once(tmp_path):
    rows = sentences()
    folder = saved(tmp_path)
    unseen = sorted(set(rows["label"]))[0]
    kept = [row for row, label in enumerate(rows["label"]) if label != unseen]
    fewer = {column: [values[row] for row in kept] for column, values in rows.items()}
    student = fit("small-words", distill(folder), fewer, head={"name": "classification", "class_weights": "balanced"})
    assert student.fitted.target.weights[0] == len(kept) / len(set(rows["label"]))


def test_a_stage_after_distillation_gets_no_soft_labels(teacher):
    def own_loss(head, output, targets, features):
        assert list(targets.tensors) == ["label"]
        return head.loss(output, targets, features)

    plain = replace(stage_of(teacher), name="plain", teacher=None, loss=own_loss)
    fit(words(), Planned(stage_of(teacher), plain))


def test_a_student_is_trained_without_its_teacher_in_later_strategies(teacher):
    model = tg.compose(SMALLER, "classification", {"name": "stages", "strategies": [distill(teacher), "linear-probe"]})
    run = model.fit(sentences(), target="label", training={"batch_size": 8}, quiet=True)

    assert [stage.name for stage in run.stages] == ["1-distill", "2-linear-probe"]


def test_a_row_that_the_teacher_cannot_use_is_reported_or_skipped(tmp_path):
    rows = images(16) | {"text": [*sentences(15)["text"], ""]}
    teacher = saved(tmp_path, {name: values[:15] for name, values in rows.items()}, inputs="text")

    with pytest.raises(InvalidRows) as raised:
        fit("small-pictures", distill(teacher), rows, inputs="image")
    model = fit("small-pictures", distill(teacher), rows, inputs="image", on_bad_row="skip")

    assert str(raised.value) == (
        "the training data, row 15: the teacher cannot use it: the text is empty.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )
    assert model.fitted is not None


def test_a_row_that_the_teacher_cannot_use_keeps_its_number_after_a_split(tmp_path):
    rows = images(20) | {"text": [*sentences(19)["text"], ""], "part": ["valid"] * 4 + ["train"] * 16}
    teacher = saved(tmp_path, {name: values[:19] for name, values in rows.items()}, inputs="text")

    with pytest.raises(InvalidRows) as raised:
        fit("small-pictures", distill(teacher), rows, inputs="image", split="column:part")

    assert str(raised.value).startswith("the training data, row 19: the teacher cannot use it: the text is empty.\n")


# --- the teacher stays as it was, and is no longer needed


def digests(folder: str) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


def test_the_teacher_is_what_it_was(teacher):
    before, said = digests(teacher), logits(tg.load(teacher), sentences())

    fit(SMALLER, distill(teacher))

    assert digests(teacher) == before
    assert torch.equal(logits(tg.load(teacher), sentences()), said)


def test_a_student_is_loaded_without_its_teacher_and_predicts_the_same(teacher, tmp_path):
    model = fit(SMALLER, distill(teacher))
    model.save(tmp_path / "student")
    shutil.rmtree(teacher)

    again = tg.load(tmp_path / "student")

    assert_same_bits(weights(again), weights(model))
    assert torch.equal(logits(again, sentences()), logits(model, sentences()))


def test_a_student_that_is_fitted_again_needs_its_teacher(teacher, tmp_path):
    fit(SMALLER, distill(teacher)).save(tmp_path / "student")
    shutil.rmtree(teacher)

    with pytest.raises(InvalidArtifact) as raised:
        tg.load(tmp_path / "student").fit(sentences(), target="label", quiet=True)
    assert str(raised.value) == f"The artifact {teacher} cannot be used: there is no such folder."


def test_a_student_can_be_a_teacher(teacher, tmp_path):
    middle = fit(SMALLER, distill(teacher)).save(tmp_path / "middle")
    shutil.rmtree(teacher)

    assert fit(SMALLER, distill(str(middle))).fitted is not None


# --- resuming


class Stop(Exception):
    pass


def stopping(backbone: torch.nn.Module, step: int) -> None:
    if step == 4:
        raise Stop


def test_an_interrupted_run_is_resumed_to_the_same_bits_and_with_the_same_teacher_only(teacher, tmp_path):
    stage, kept = stage_of(teacher), {"run": tmp_path / "run", "resume": True}
    whole = fit(words(), Planned(stage), training={"checkpoint_every": 1})
    with pytest.raises(Stop):
        fit(words(), Planned(replace(stage, on_step_end=stopping)), training={"checkpoint_every": 1}, **kept)
    before = shutil.copytree(teacher, tmp_path / "before")
    fit("small-words", FULL, training={"seed": 1}).save(teacher, overwrite=True)

    with pytest.raises(ResumeMismatch) as raised:
        fit(words(), Planned(stage), training={"checkpoint_every": 1}, **kept)
    shutil.rmtree(teacher)
    shutil.copytree(before, teacher)
    again = fit(words(), Planned(stage), training={"checkpoint_every": 1}, **kept)

    assert [text.partition(" was ")[0] for text in raised.value.changed] == [f"teachers.{teacher}"]
    assert_same_bits(weights(again), weights(whole))


# --- teachers that cannot be used


def error_of(teacher: str, head: Any = "classification", error: type[Exception] = TrainingError) -> str:
    with pytest.raises(error) as raised:
        tg.compose("small-words", head, distill(teacher))
    return str(raised.value)


def test_a_missing_teacher_is_rejected_when_composing(tmp_path):
    assert (
        error_of(f"{tmp_path}/gone", error=InvalidArtifact)
        == f"The artifact {tmp_path}/gone cannot be used: there is no such folder."
    )


def test_a_damaged_teacher_is_rejected_when_its_soft_labels_are_computed(teacher):
    path = Path(teacher, TENSORS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(InvalidArtifact) as raised:
        fit(SMALLER, distill(teacher))
    assert str(raised.value) == (
        f"The artifact {teacher} cannot be used: its files do not match SHA256SUMS, so it is damaged or was changed."
    )


def test_a_teacher_of_another_kind_of_target_is_rejected_when_composing(teacher):
    assert error_of(teacher, "regression") == (
        f"The teacher {teacher} cannot be used: its head 'classification' predicts category, but 'regression' predicts "
        "numbers. Choose another teacher, or the head 'classification'."
    )


def test_a_teacher_with_another_target_description_is_rejected_when_composing(teacher):
    from taskgraft.builtin.heads.classification import Classification
    from taskgraft.builtin.heads.configs import ClassificationConfig
    from taskgraft.contract.targets import TargetDescription

    class Other(TargetDescription):
        names: tuple[str, ...]

    class Strange(Classification):
        target = Other

    assert error_of(teacher, Strange(ClassificationConfig())) == (
        f"The teacher {teacher} cannot be used: 'Strange' cannot adopt the target description of its head "
        "'classification'. Choose another teacher, or the head 'classification'."
    )


def test_a_teacher_composed_from_an_object_is_rejected_when_composing(tmp_path):
    folder = saved(tmp_path, backbone=words())

    assert error_of(folder) == (
        f"The teacher {folder} cannot be used: its backbone was an object of the class backbones.Words, which its folder does "
        "not contain. Choose a teacher whose components were all named."
    )


def test_a_teacher_whose_plugin_is_not_installed_is_rejected_when_composing(teacher):
    path = Path(teacher, MANIFEST)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sources": {"acme-backbones": "2.0"}}))
    Path(teacher, SUMS).write_text(checksums(Path(teacher)))

    assert error_of(teacher, error=InvalidArtifact) == (
        f"The artifact {teacher} cannot be used: it needs acme-backbones 2.0, not installed here: "
        "pip install acme-backbones."
    )


def test_a_head_that_does_not_support_distillation_is_rejected_when_composing(teacher):
    assert error_of(teacher, "masked-elements", StrategyNotApplicable) == (
        "'distill' needs a head that supports soft labels from a teacher, but this head, with targets of the kind inputs, "
        "does not. Choose another strategy, or a head that does (classification, multi-label, regression, "
        "element-classification)."
    )


def test_more_parts_than_there_are_cannot_be_trained(teacher):
    with pytest.raises(StrategyNotApplicable) as raised:
        tg.compose("small-words", "classification", distill(teacher, learn=4))
    assert str(raised.value) == (
        "'distill' has learn = 4, but the backbone has only 3 parts: embedding, block-0, block-1. "
        "Choose learn = 3 or less."
    )


def test_labels_that_the_teacher_does_not_know_are_named(teacher):
    rows = sentences()
    rows["label"][3] = "z"

    with pytest.raises(InvalidRows) as raised:
        fit(SMALLER, distill(teacher), rows)
    assert str(raised.value) == (
        "the training data, row 3: the label 'z' does not occur in the training split, which has 'a', 'b', 'c'.\n"
        f"The training split meant is that of the teacher '{teacher}', whose labels and scales the head adopts.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_teacher_of_another_column_is_rejected_before_training(teacher):
    rows = sentences()
    rows["intent"] = rows.pop("label")

    with pytest.raises(TrainingError) as raised:
        fit(SMALLER, distill(teacher), rows, target="intent")
    assert str(raised.value) == (
        f"The teacher {teacher} cannot be used: it predicts 'label', but the target is 'intent'. "
        "Let teacher and student predict the same columns."
    )


def test_rows_without_a_column_that_the_teacher_reads_are_rejected_before_training(teacher):
    with pytest.raises(TrainingError) as raised:
        fit("small-pictures", distill(teacher), images())
    assert str(raised.value) == (
        f"The teacher {teacher} cannot be used: it reads 'text', but the training data has image, label. "
        "Give training rows with all columns that the teacher reads."
    )


def test_teachers_of_two_stages_must_share_a_target_description(teacher, tmp_path):
    other = saved(tmp_path / "other", sentences() | {"label": list("ab") * 12})
    second = replace(stage_of(other), name="second")

    with pytest.raises(TrainingError) as raised:
        tg.compose(words(), "classification", Planned(stage_of(teacher), second))
    assert str(raised.value) == (
        f"The teacher {other} cannot be used: its target description differs from that of another stage's teacher. "
        "Choose teachers that were trained on the same rows."
    )


def test_a_stage_with_a_teacher_needs_a_loss_that_uses_its_soft_labels(teacher):
    with pytest.raises(InvalidStage) as raised:
        fit(words(), Planned(replace(stage_of(teacher), loss=None)))
    assert (
        str(raised.value) == "The stage 'distill' cannot run: it has a teacher, but no loss that uses its soft labels."
    )
