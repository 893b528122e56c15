"""What is learned over images: kept, loaded, refused and used again; the same from any source, and however it is read."""

import csv
import json
import os
import tracemalloc

import numpy as np
import pytest
import torch
from commands import typed
from safetensors.torch import load_file
from sample_images import encode, noise_image, randomize_weights
from timm_files import SIZE, random_model, save_folder, save_weights

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.builtin.strategies.full import Full, FullConfig
from taskgraft.builtin.strategies.linear_probe import LinearProbe, LinearProbeConfig
from taskgraft.builtin.strategies.partial import Partial, PartialConfig
from taskgraft.plugin import Layout, Predictions, TargetKind, TaskgraftError
from taskgraft.storage.manifest import MANIFEST, TENSORS
from taskgraft.testing import LabelledRows, PluginLaws, StrategyLaws
from taskgraft_vision import processor, timm_backbone
from taskgraft_vision.settings import TimmConfig

IMAGES = [encode(noise_image(40 + 9 * number, 60 - 5 * number, number)) for number in range(8)]
LABELS = ["cat", "dog"] * 4
ROWS = {"image": IMAGES, "label": LABELS}
TRAINING = {"epochs": 2, "batch_size": 4, "precision": "fp32", "workers": 0}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Weights of small models, made once."""
    folder = tmp_path_factory.mktemp("shelf")
    save_weights(random_model("test_resnet"), folder / "resnet.safetensors")
    save_weights(random_model("test_vit", img_size=SIZE), folder / "vit.safetensors")
    return folder


@pytest.fixture
def base(shelf):
    return resnet(shelf)


def resnet(shelf, **settings):
    weights = str(shelf / "resnet.safetensors")
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


def refusal(artifact, **backbone):
    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact, **({"backbone": backbone} if backbone else {}))
    return str(error.value).replace(str(artifact), "HERE")


# --- artifacts


def test_statistics_of_batch_norms_are_learned_and_kept(base, shelf, tmp_path):
    model = fitted(base, "full")
    artifact = model.save(tmp_path / "artifact")

    kept, before = load_file(artifact / TENSORS), load_file(shelf / "resnet.safetensors")
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(not torch.equal(kept[f"model.{name}"], before[name]) for name in statistics)


@pytest.mark.parametrize("strategy", ["full", {"name": "partial", "learn": 1}, "linear-probe"])
def test_predictions_after_loading_are_the_same_bits(base, tmp_path, strategy):
    model = fitted(base, strategy)
    artifact = model.save(tmp_path / "artifact")

    assert probabilities(tg.load(artifact)) == probabilities(model)


def test_the_artifact_of_a_probe_is_small(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")

    assert sum(file.stat().st_size for file in artifact.iterdir()) < 200_000
    owners = {record["owner"] for record in json.loads((artifact / MANIFEST).read_text())["tensors"].values()}
    assert owners == {"head"}


def test_another_checkpoint_is_another_base(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")
    other = save_weights(random_model("test_resnet", seed=1), tmp_path / "other.safetensors")

    theirs, ours = fingerprint(base), fingerprint(base | {"weights": str(other)})
    assert refusal(artifact, **(base | {"weights": str(other)})) == (
        f"The artifact HERE cannot be used: it was trained on another base than 'timm:test_resnet' ({theirs} there, {ours} here)."
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
    assert refusal(artifact, **(base | settings)) == (
        f"The artifact HERE cannot be used: it was trained on another base than 'timm:test_resnet' ({theirs} there, {ours} here)."
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
def test_images_that_are_read_otherwise_are_refused(base, tmp_path, settings, differing):
    artifact = fitted(base).save(tmp_path / "artifact")

    assert refusal(artifact, **(base | settings)) == (
        f"The artifact HERE cannot be used: the processor's settings differ from those it was trained with: {differing}."
    )


def test_a_flipped_bit_is_refused(base, tmp_path):
    artifact = fitted(base).save(tmp_path / "artifact")
    content = bytearray((artifact / TENSORS).read_bytes())
    content[-1] ^= 1
    (artifact / TENSORS).write_bytes(content)

    assert refusal(artifact) == (
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


def test_a_folder_of_timms_own_is_a_base(tmp_path):
    folder = save_folder(random_model(), tmp_path / "saved")
    model = fitted({"name": "timm", "model": str(folder), "image_size": SIZE})

    assert probabilities(tg.load(model.save(tmp_path / "artifact"))) == probabilities(model)


# --- heads


def test_images_have_several_labels(base, tmp_path):
    rows = {"image": IMAGES, "label": [["red"], ["red", "round"], [], ["round"]] * 2}
    model = fitted(base, "full", "multi-label", rows)

    loaded = tg.load(model.save(tmp_path / "artifact"))
    assert loaded.predict_proba(IMAGES, quiet=True) == model.predict_proba(IMAGES, quiet=True)
    assert all(set(some) <= {"red", "round"} for some in loaded.predict(IMAGES, quiet=True))


def test_images_have_a_number(base, tmp_path):
    rows = {"image": IMAGES, "age": [float(number) for number in range(8)]}
    model = fitted(base, "full", "regression", rows, "age")

    loaded = tg.load(model.save(tmp_path / "artifact"))
    assert loaded.predict(IMAGES, quiet=True) == model.predict(IMAGES, quiet=True)
    assert all(isinstance(number, float) for number in loaded.predict(IMAGES, quiet=True))


# --- where images come from


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
    """A table beside the images, whose paths start at its folder."""
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
    """Paths in a table elsewhere, which start at the root."""
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
    """What Hugging Face's library saved, an Image column with the files inside."""
    as_dataset(album).save_to_disk(album.parent / "saved")
    return album.parent / "saved"


def as_dataset_of_parquet(album):
    """A data set as the hub holds it, by name and part."""
    (album.parent / "named").mkdir()
    as_dataset(album).to_parquet(album.parent / "named" / "train.parquet")
    return f"hub:{album.parent / 'named'}:train"


def as_dicts(album):
    return [{"image": path.read_bytes(), "label": path.parent.name} for path in files(album)]


@pytest.mark.parametrize(
    "source",
    [as_csv, as_parquet, as_parquet_of_paths, as_dataset, as_dataset_folder, as_dataset_of_parquet, as_dicts],
)
def test_every_source_trains_and_predicts_alike(base, album, source, tmp_path, monkeypatch):
    """From another working directory than that of the data."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    expected = probabilities(fitted(base, rows=as_folder(album)), as_folder(album))

    rows = source(album)

    assert probabilities(fitted(base, rows=rows), rows) == expected


def test_features_of_a_folder_are_written_by_a_command(shelf, base, album, tmp_path):
    settings = ("--set", f"weights={base['weights']}", "--set", f"image_size={SIZE}")
    done = typed("features", "timm:test_resnet", album, "-o", tmp_path / "features.npy", "--quiet", *settings)
    backbone = timm_backbone.build(TimmConfig(**{key: value for key, value in base.items() if key != "name"}))
    batch = backbone.processor.prepare({"image": [str(path) for path in files(album)]}).batch

    assert (done.code, done.err) == (0, "")
    with torch.no_grad():
        expected = backbone(batch, Layout.VECTOR).value
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "features.npy")), expected, rtol=1e-4, atol=1e-4)


# --- how images are read


@pytest.fixture
def many(tmp_path):
    """A folder of more images than are prepared at once."""
    for number in range(96):
        path = tmp_path / "many" / LABELS[number % 8] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGES[number % 8])
    return tmp_path / "many"


@pytest.mark.parametrize("strategy", ["linear-probe", "full"])
def test_images_are_decoded_by_worker_processes_alone(shelf, many, tmp_path, monkeypatch, strategy):
    decode, notes = processor.load_image, tmp_path / "notes"

    def noted(image):
        with notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return decode(image)

    monkeypatch.setattr(processor, "picture", noted)
    fitted(resnet(shelf, augment="light"), strategy, rows=many, workers=2, epochs=1)

    decoders = notes.read_text().split()
    assert len(decoders) >= 96
    assert str(os.getpid()) not in decoders
    assert len(set(decoders)) > 1


def test_images_that_memory_may_not_hold_are_read_anew_and_take_none_of_it(shelf, many):
    side = 2 * SIZE
    rows = [{"image": path.read_bytes(), "label": path.parent.name} for path in files(many)] * 2

    def peak(memory):
        tracemalloc.start()
        try:
            fitted(resnet(shelf, image_size=side), rows=rows, memory=memory)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(0)  # what is imported on the way counts for nothing
    prepared, kept, anew = len(rows) * 3 * side * side, peak(1 << 30), peak(0)
    assert kept > prepared
    assert anew < prepared / 2  # 32 of 192 are prepared at a time, while the 32 before them are read


# --- images that vary


@pytest.mark.parametrize("augment", ["light", "rand-augment", ["mix-up", "cut-mix"]])
def test_varied_images_train_the_same_with_any_number_of_workers(shelf, augment):
    plain, alone, several = (
        fitted(resnet(shelf, augment=some), "full", workers=workers)
        for some, workers in (((), 0), (augment, 0), (augment, 2))
    )

    assert probabilities(alone) == probabilities(several)
    assert probabilities(alone) != probabilities(plain)


# --- laws

STRATEGIES = {
    "full": lambda: Full(FullConfig()),
    "partial": lambda: Partial(PartialConfig(learn=1)),
    "linear-probe": lambda: LinearProbe(LinearProbeConfig()),
}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("way", list(STRATEGIES))
class TestStrategiesOnImages(StrategyLaws):
    @pytest.fixture
    def strategy(self, way):
        return STRATEGIES[way]()

    @pytest.fixture
    def backbone(self, name):
        return randomize_weights(timm_backbone.build(TimmConfig(model=name, weights="random", image_size=SIZE)))

    @pytest.fixture
    def inputs(self):
        return {"image": IMAGES[:5]}

    @pytest.fixture
    def head(self):
        return Classification(ClassificationConfig())

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
