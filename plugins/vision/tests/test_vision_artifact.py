"""Models of images: artifacts and their verification, every source of rows, worker processes, augmentation."""

import csv
import json
import os
import tracemalloc

import components
import numpy as np
import pytest
import torch
from commands import typed
from safetensors.torch import load_file
from sample_images import encode, noise_image, randomize_weights
from timm_files import SIZE, random_model, save_folder, save_weights

import taskgraft as tg
from taskgraft.plugin import Layout, Predictions, TargetKind, TaskgraftError
from taskgraft.testing import LabelledRows, PluginLaws, StrategyLaws
from taskgraft_vision import processor, timm_backbone
from taskgraft_vision.settings import TimmConfig

pytestmark = pytest.mark.slow

MANIFEST, TENSORS = "taskgraft.json", "learned.safetensors"

IMAGES = [encode(noise_image(40 + 9 * number, 60 - 5 * number, number)) for number in range(8)]
LABELS = ["cat", "dog"] * 4
ROWS = {"image": IMAGES, "label": LABELS}
TRAINING = {"epochs": 2, "batch_size": 4, "precision": "fp32", "workers": 0}


@pytest.fixture(scope="module")
def weight_folder(tmp_path_factory):
    """A folder of weights of small models, made once."""
    folder = tmp_path_factory.mktemp("weights")
    save_weights(random_model("test_resnet"), folder / "resnet.safetensors")
    save_weights(random_model("test_vit", img_size=SIZE), folder / "vit.safetensors")
    return folder


@pytest.fixture
def base(weight_folder):
    return resnet(weight_folder)


def resnet(weight_folder, **settings):
    weights = str(weight_folder / "resnet.safetensors")
    return {"name": "timm", "model": "test_resnet", "weights": weights, "image_size": SIZE} | settings


def fitted(backbone, strategy="linear-probe", head="classification", rows=ROWS, target="label", **training):
    model = tg.compose(backbone, head=head, strategy=strategy)
    model.fit(rows, target=target, training=TRAINING | training, quiet=True)
    return model


def probabilities(model, rows=ROWS):
    return model.predict_proba(rows, quiet=True)


def fingerprint(backbone):
    return timm_backbone.build(
        TimmConfig(**{key: value for key, value in backbone.items() if key != "name"})
    ).fingerprint()


def error_message(artifact, **backbone):
    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact, **({"backbone": backbone} if backbone else {}))
    return str(error.value).replace(str(artifact), "HERE")


# --- artifacts


def test_statistics_of_batch_norms_are_trained_and_saved(base, weight_folder, tmp_path):
    model = fitted(base, "full")
    artifact = model.save(tmp_path / "artifact")

    saved, before = load_file(artifact / TENSORS), load_file(weight_folder / "resnet.safetensors")
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(not torch.equal(saved[f"model.{name}"], before[name]) for name in statistics)


@pytest.mark.parametrize("strategy", ["full", {"name": "partial", "learn": 1}, "linear-probe"])
def test_predictions_after_loading_are_the_same_bits(base, tmp_path, strategy):
    model = fitted(base, strategy)
    artifact = model.save(tmp_path / "artifact")

    assert probabilities(tg.load(artifact)) == probabilities(model)


def test_the_artifact_of_a_linear_probe_is_small(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")

    assert sum(file.stat().st_size for file in artifact.iterdir()) < 200_000
    owners = {record["owner"] for record in json.loads((artifact / MANIFEST).read_text())["tensors"].values()}
    assert owners == {"head"}


def test_another_checkpoint_is_another_base(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")
    other = save_weights(random_model("test_resnet", seed=1), tmp_path / "other.safetensors")

    theirs, ours = fingerprint(base), fingerprint(base | {"weights": str(other)})
    assert error_message(artifact, **(base | {"weights": str(other)})) == (
        f"The artifact HERE cannot be used: it was trained on another base than 'timm:test_resnet' ({theirs} there, "
        f"{ours} here)."
    )


def test_another_classifier_is_the_same_base(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")
    own = random_model("test_resnet")
    own.reset_classifier(3)
    other = save_weights(own, tmp_path / "other.safetensors")

    assert probabilities(tg.load(artifact, backbone=base | {"weights": str(other)})) == probabilities(tg.load(artifact))


@pytest.mark.parametrize("settings", [{"until": "layer2.0"}, {"arguments": {"act_layer": "gelu"}}])
def test_the_same_weights_in_another_model_are_another_base(base, tmp_path, settings):
    artifact = fitted(base).save(tmp_path / "artifact")

    theirs, ours = fingerprint(base), fingerprint(base | settings)
    assert error_message(artifact, **(base | settings)) == (
        f"The artifact HERE cannot be used: it was trained on another base than 'timm:test_resnet' ({theirs} there, "
        f"{ours} here)."
    )


@pytest.mark.parametrize(
    ("settings", "differing"),
    [
        ({"crop": 0.5}, "crop"),
        ({"crop_mode": "squash"}, "mode"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"image_size": 96}, "height, width"),
        ({"mean": (0.5, 0.5, 0.501)}, "mean"),
        ({"std": (0.5, 0.5, 0.2)}, "std"),
    ],
)
def test_other_preprocessing_settings_are_an_error(base, tmp_path, settings, differing):
    artifact = fitted(base).save(tmp_path / "artifact")

    assert error_message(artifact, **(base | settings)) == (
        f"The artifact HERE cannot be used: the processor's settings differ from those it was trained with: {differing}."
    )


def test_a_flipped_bit_is_an_error(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")
    content = bytearray((artifact / TENSORS).read_bytes())
    content[-1] ^= 1
    (artifact / TENSORS).write_bytes(content)

    assert error_message(artifact) == (
        "The artifact HERE cannot be used: its files do not match SHA256SUMS, so it is damaged or was changed."
    )


def test_an_artifact_is_a_base_of_the_next_task(base, tmp_path):
    first = fitted(base, "full")
    artifact = first.save(tmp_path / "artifact")

    second = fitted(f"timm:{artifact}")
    again = second.save(tmp_path / "second")

    ours, theirs = second.fitted.task.backbone.state_dict(), first.fitted.task.backbone.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items() if "num_batches" not in name)
    assert probabilities(tg.load(again)) == probabilities(second)


def test_a_folder_saved_by_timm_is_a_base(tmp_path):
    folder = save_folder(random_model(), tmp_path / "saved")
    model = fitted({"name": "timm", "model": str(folder), "image_size": SIZE})

    assert probabilities(tg.load(model.save(tmp_path / "artifact"))) == probabilities(model)


# --- heads


def test_images_can_have_several_labels(base, tmp_path):
    rows = {"image": IMAGES, "label": [["red"], ["red", "round"], [], ["round"]] * 2}
    model = fitted(base, "full", "multi-label", rows)

    loaded = tg.load(model.save(tmp_path / "artifact"))
    assert loaded.predict_proba(IMAGES, quiet=True) == model.predict_proba(IMAGES, quiet=True)
    assert all(set(labels) <= {"red", "round"} for labels in loaded.predict(IMAGES, quiet=True))


def test_images_can_have_a_number(base, tmp_path):
    rows = {"image": IMAGES, "age": [float(number) for number in range(8)]}
    model = fitted(base, "full", "regression", rows, "age")

    loaded = tg.load(model.save(tmp_path / "artifact"))
    assert loaded.predict(IMAGES, quiet=True) == model.predict(IMAGES, quiet=True)
    assert all(isinstance(number, float) for number in loaded.predict(IMAGES, quiet=True))


# --- sources of rows


@pytest.fixture
def album(tmp_path):
    """A folder of labelled images."""
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (tmp_path / "album" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "album" / label / f"{number}.png").write_bytes(image)
    return tmp_path / "album"


def files(album):
    return sorted(album.rglob("*.png"))


def as_folder(album):
    return album


def as_csv(album):
    """A table in the folder of the images, with relative paths."""
    with (album / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        writer.writerows([path.relative_to(album), path.parent.name] for path in files(album))
    return album / "rows.csv"


def as_parquet(album):
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "image": [path.read_bytes() for path in files(album)],
        "label": [path.parent.name for path in files(album)],
    }
    parquet.write_table(pa.table(columns), album.parent / "rows.parquet")
    return album.parent / "rows.parquet"


def as_parquet_of_paths(album):
    """A table in another folder, with absolute paths."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"image": [str(path) for path in files(album)], "label": [path.parent.name for path in files(album)]}
    parquet.write_table(pa.table(columns), album.parent / "paths.parquet")
    return album.parent / "paths.parquet"


def as_dataset(album):
    from datasets import Dataset, Image

    rows = {"image": [str(path) for path in files(album)], "label": [path.parent.name for path in files(album)]}
    return Dataset.from_dict(rows).cast_column("image", Image())


def as_dataset_folder(album):
    """A data set saved by Hugging Face's library, with the files inside its Image column."""
    as_dataset(album).save_to_disk(album.parent / "saved")
    return album.parent / "saved"


def as_dataset_of_parquet(album):
    """A data set of the hub, by name and part."""
    (album.parent / "named").mkdir()
    as_dataset(album).to_parquet(album.parent / "named" / "train.parquet")
    return f"hub:{album.parent / 'named'}:train"


def as_dicts(album):
    return [{"image": path.read_bytes(), "label": path.parent.name} for path in files(album)]


@pytest.mark.parametrize(
    "source",
    [as_csv, as_parquet, as_parquet_of_paths, as_dataset, as_dataset_folder, as_dataset_of_parquet, as_dicts],
)
def test_every_source_gives_the_same_model_and_predictions(base, album, source, tmp_path, monkeypatch):
    """Run in another working directory than that of the data."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    expected = probabilities(fitted(base, rows=as_folder(album)), as_folder(album))

    rows = source(album)

    assert probabilities(fitted(base, rows=rows), rows) == expected


def test_the_command_features_reads_an_image_folder(weight_folder, base, album, tmp_path):
    settings = ("--set", f"weights={base['weights']}", "--set", f"image_size={SIZE}")
    done = typed("features", "timm:test_resnet", album, "-o", tmp_path / "features.npy", "--quiet", *settings)
    backbone = timm_backbone.build(TimmConfig(**{key: value for key, value in base.items() if key != "name"}))
    batch = backbone.processor.prepare({"image": [str(path) for path in files(album)]}).batch

    assert (done.code, done.err) == (0, "")
    with torch.no_grad():
        expected = backbone(batch, Layout.VECTOR).value
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "features.npy")), expected, rtol=1e-4, atol=1e-4)


# --- decoding


@pytest.fixture
def many(tmp_path):
    """A folder of more images than are processed at once."""
    for number in range(96):
        path = tmp_path / "many" / LABELS[number % 8] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGES[number % 8])
    return tmp_path / "many"


@pytest.mark.parametrize("strategy", ["linear-probe", "full"])
def test_images_are_decoded_only_by_worker_processes(weight_folder, many, tmp_path, monkeypatch, strategy):
    decode, notes = processor.load_image, tmp_path / "notes"

    def record(image):
        with notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return decode(image)

    monkeypatch.setattr(processor, "load_image", record)
    fitted(resnet(weight_folder, augment="light"), strategy, rows=many, workers=2, epochs=1)

    decoders = notes.read_text().split()
    assert len(decoders) >= 96
    assert str(os.getpid()) not in decoders
    assert len(set(decoders)) > 1


def test_images_that_do_not_fit_in_memory_are_decoded_again(weight_folder, many):
    side = 2 * SIZE
    rows = [{"image": path.read_bytes(), "label": path.parent.name} for path in files(many)] * 2

    def peak(memory):
        tracemalloc.start()
        try:
            fitted(resnet(weight_folder, image_size=side), rows=rows, memory=memory)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(0)  # imports do not count
    size, in_memory, on_the_fly = len(rows) * 3 * side * side, peak(1 << 30), peak(0)
    assert in_memory > size
    assert on_the_fly < size / 2  # 32 of 192 are processed at a time, while the previous 32 are used


# --- augmentation


@pytest.mark.parametrize("augment", ["light", "rand-augment", ["mix-up", "cut-mix"]])
def test_augmentation_does_not_depend_on_the_number_of_workers(weight_folder, augment):
    plain, alone, several = (
        fitted(resnet(weight_folder, augment=policies), "full", workers=workers)
        for policies, workers in (((), 0), (augment, 0), (augment, 2))
    )

    assert probabilities(alone) == probabilities(several)
    assert probabilities(alone) != probabilities(plain)


# --- conformance kit

STRATEGIES = {"full": {}, "partial": {"learn": 1}, "linear-probe": {}}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("way", list(STRATEGIES))
class TestStrategiesOnImages(StrategyLaws):
    @pytest.fixture
    def strategy(self, way):
        return components.strategy(way, **STRATEGIES[way])

    @pytest.fixture
    def backbone(self, name):
        return randomize_weights(timm_backbone.build(TimmConfig(model=name, weights="random", image_size=SIZE)))

    @pytest.fixture
    def inputs(self):
        return {"image": IMAGES[:5]}

    @pytest.fixture
    def head(self):
        return components.head("classification")

    @pytest.fixture
    def targets(self):
        return {"label": ["a", "b", "a", "b", "a"]}


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "taskgraft_vision.plugin"

    @pytest.fixture
    def configs(self):
        return {"timm": TimmConfig(model="test_resnet", weights="random", image_size=SIZE)}

    @pytest.fixture
    def labelled(self):
        masks = [np.array([[0, 1], [1, 0]]), np.array([[1, 1], [0, 0]]), np.array([[0, 0], [0, 1]])]
        truth = [masks[0], masks[0], masks[2]]
        return {"segmentation": LabelledRows(TargetKind.GRID_CATEGORIES, Predictions(masks, None, (0, 1)), truth, {})}


def test_a_run_is_not_resumed_when_an_image_file_has_another_content(base, tmp_path):
    for number, image in enumerate(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(image)
    rows = {"image": [str(tmp_path / f"{number}.png") for number in range(len(IMAGES))], "label": LABELS}

    def fit():
        model = tg.compose(base, head="classification", strategy="partial:1")
        model.fit(rows, target="label", training=TRAINING, run=tmp_path / "run", resume=True, quiet=True)
        return model

    first = fit()
    assert probabilities(fit(), rows) == probabilities(first, rows)
    (tmp_path / "3.png").write_bytes(IMAGES[4])
    with pytest.raises(TaskgraftError) as raised:
        fit()
    assert [change.partition(" was ")[0] for change in raised.value.changed] == [
        "first 8 rows, processed",
        "training files",
    ]
