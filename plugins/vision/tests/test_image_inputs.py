"""Images to predict for, in every form: predicted as a list of encoded files, or one sentence says what to pass."""

import csv
import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from commands import typed
from PIL import Image
from refusals import refused
from sample_images import encode, noise_image
from timm_files import SIZE, random_model, save_weights

import taskgraft as tg
from taskgraft.plugin import TaskgraftError
from taskgraft_vision.images import encode_images, load_image

pytestmark = pytest.mark.slow

IMAGES = [noise_image(40 + 9 * number, 60 - 5 * number, number) for number in range(4)]
SQUARES = np.stack([np.asarray(noise_image(48, 48, number)) for number in range(3)])
FILES = [encode(image) for image in IMAGES]
NAMES = ["a.png", "b.png", "c.png", "d.png"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A model in a folder with images."""
    folder = tmp_path_factory.mktemp("template")
    save_weights(random_model("test_resnet"), folder / "resnet.safetensors")
    backbone = {
        "name": "timm",
        "model": "test_resnet",
        "weights": str(folder / "resnet.safetensors"),
        "image_size": SIZE,
    }
    model = tg.compose(backbone, head="classification", strategy="linear-probe")
    training = {"workers": 0, "batch_size": 4}
    model.fit({"image": FILES, "label": ["cat", "dog"] * 2}, target="label", training=training, quiet=True)
    model.save(folder / "pets")
    for name, content in zip(NAMES, FILES, strict=True):
        (folder / "photos").mkdir(exist_ok=True)
        (folder / "photos" / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def model(template):
    return tg.load(template / "pets")


@pytest.fixture
def workdir(template, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(template, tmp_path / "work"))
    return tmp_path / "work"


def chances(model, data):
    return model.predict_proba(data, quiet=True)


FORMS = {
    "Pillow images": lambda: list(IMAGES),
    "an iterator of Pillow images": lambda: iter(IMAGES),
    "arrays": lambda: [np.asarray(image) for image in IMAGES],
    "arrays with an alpha channel": lambda: [np.asarray(image.convert("RGBA")) for image in IMAGES],
    "dicts of a Pillow image": lambda: [{"image": image} for image in IMAGES],
    "a dict of Pillow images": lambda: {"image": IMAGES},
    "a DataFrame of Pillow images": lambda: pandas.DataFrame({"image": IMAGES}),
    "a Series of files": lambda: pandas.Series(FILES),
    "values of a dataset": lambda: [{"bytes": content, "path": None} for content in FILES],
    "paths as text": lambda: [f"photos/{name}" for name in NAMES],
    "paths": lambda: [Path("photos", name) for name in NAMES],
    "a folder": lambda: "photos",
    "a folder as a path": lambda: Path("photos"),
    "a pattern": lambda: "photos/*.png",
    "a mixture": lambda: [IMAGES[0], IMAGES[1], FILES[2], np.asarray(IMAGES[3])],
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_any_form_are_predicted_as_encoded_files(model, workdir, form):
    assert chances(model, FORMS[form]()) == chances(model, FILES)


@pytest.mark.parametrize(
    "one",
    [IMAGES[0], np.asarray(IMAGES[0]), FILES[0], bytearray(FILES[0]), "photos/a.png", Path("photos/a.png"),
     {"image": IMAGES[0]}],
    ids=["Pillow", "array", "bytes", "bytearray", "text", "path", "dict"],
)  # fmt: skip
def test_one_image_in_any_form_is_predicted_as_a_list_of_one(model, workdir, one):
    assert chances(model, one) == chances(model, FILES[:1])


def test_an_array_of_four_axes_is_several_images(model):
    assert chances(model, SQUARES) == chances(model, list(SQUARES))
    assert chances(model, SQUARES[:1]) == chances(model, SQUARES[0])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK", "I;16"])
def test_a_pillow_image_of_any_mode_is_seen_as_its_file_is(mode):
    image = noise_image(9, 7).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    form = "TIFF" if mode == "CMYK" else "PNG"
    file = encode(image, form)
    seen, _ = load_image(encode_images(image)[0])
    assert np.array_equal(np.asarray(seen), np.asarray(load_image(file)[0]))


def test_an_opened_photograph_is_upright_as_its_file_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise_image(9, 7).save(tmp_path / "turned.png", exif=exif)
    (encoded,) = encode_images(Image.open(tmp_path / "turned.png"))
    assert np.array_equal(np.asarray(load_image(encoded)[0]), np.asarray(load_image(str(tmp_path / "turned.png"))[0]))


def test_a_grey_array_is_a_grey_image():
    grey = np.asarray(noise_image(9, 7).convert("L"))
    for array in (grey, grey[..., None]):
        assert np.array_equal(np.asarray(load_image(encode_images(array)[0])[0]), np.stack([grey] * 3, -1))


WHAT = "pass a path, a Pillow image or a uint8 array (height, width, channel)"
WRONG = {
    "floats": (lambda: SQUARES / 255, "an array (3, 48, 48, 3) of float64 is not an image: pass values from 0 to 255 of uint8"),
    "channels first": (
        lambda: SQUARES[0].transpose(2, 0, 1),
        "an array (3, 48, 48) is not an image: pass (height, width), (height, width, channel) or (image, height, width, "
        "channel), with 1, 3 or 4 channels",
    ),
    "a tensor": (
        lambda: torch.zeros(3, 8, 8, dtype=torch.uint8),
        f"a Tensor is not an image: {WHAT}; a tensor with the channels first becomes one by .permute(1, 2, 0).numpy()",
    ),
    "an object": (lambda: [object()], f"a object is not an image: {WHAT}"),
    "an empty array": (
        lambda: np.zeros((0, 0, 3), np.uint8),
        "an array (0, 0, 3) of uint8 is not an image: pass values from 0 to 255 of uint8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_what_is_no_image_is_one_sentence(model, form):
    make, message = WRONG[form]
    with pytest.raises(TaskgraftError) as caught:
        model.predict(make())
    assert str(caught.value) == f"The data cannot be read: row 0: {message}."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "5, of the type int, cannot be predicted for. "),
        (None, "None cannot be predicted for. "),
        (["photos/a.png", IMAGES[1]], "Row 0 is a text, but row 1 is an object in memory. Pass either, not both."),
        ([SQUARES], "Row 0 holds 3 values for 'image'. Pass one per row."),
        ("photo.jpg", "photo.jpg: there is no such file."),
        ("photos/*.jpg", "No file matches photos/*.jpg."),
        ({"picture": IMAGES[0]}, "the data cannot be made into columns (column 'picture': "),
        ({"picture": "photos/a.png"}, "the data has no column 'image'. Columns: picture."),
    ],
)
def test_other_things_are_one_sentence(model, workdir, data, message):
    with pytest.raises(TaskgraftError) as caught:
        model.predict(data)
    assert str(caught.value).startswith(message)


def test_features_of_images_in_memory_are_those_of_their_files(template):
    backbone = f"timm:{template / 'pets'}"
    assert tg.extract_features(backbone, IMAGES, quiet=True).values.tolist() == (
        tg.extract_features(backbone, FILES, quiet=True).values.tolist()
    )


# --- on the command line


def predicted(*arguments):
    done = typed("predict", "pets", *arguments, "-q")
    assert (done.code, done.err) == (0, "")
    return list(csv.DictReader(StringIO(done.out)))


@pytest.fixture
def expected(model):
    return model.predict(FILES, quiet=True)


@pytest.mark.parametrize(
    ("arguments", "root"),
    [(("photos",), ""), (("photos/*.png",), "photos/"), (tuple(f"photos/{name}" for name in NAMES), "photos/")],
)
def test_names_of_files_are_in_the_output(workdir, expected, arguments, root):
    assert predicted(*arguments) == [
        {"file": f"{root}{name}", "prediction": label} for name, label in zip(NAMES, expected, strict=True)
    ]


def test_a_single_image_is_named_too(workdir, expected):
    assert predicted("photos/b.png") == [{"file": "photos/b.png", "prediction": expected[1]}]


def test_a_table_of_paths_has_no_column_of_files(workdir, expected):
    Path("new.csv").write_text("id,image\n" + "".join(f"{name[0]},photos/{name}\n" for name in NAMES))
    assert predicted("new.csv", "--keep", "id") == [
        {"id": name[0], "prediction": label} for name, label in zip(NAMES, expected, strict=True)
    ]


def test_paths_on_standard_input(workdir, expected, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(f"photos/{n}" for n in NAMES).encode())))
    assert [row["prediction"] for row in predicted("-")] == expected


def test_subfolders_are_no_labels_when_predicting(workdir, expected):
    (workdir / "photos" / "new").mkdir()
    (workdir / "photos" / "empty").mkdir()
    shutil.move(workdir / "photos" / "c.png", workdir / "photos" / "new" / "c.png")
    rows = predicted("photos")
    assert {row["file"]: row["prediction"] for row in rows} == dict(
        zip(["a.png", "b.png", "new/c.png", "d.png"], expected, strict=True)
    )


def test_a_broken_image_is_written_without_a_prediction(workdir, expected):
    (workdir / "photos" / "b.png").write_bytes(FILES[1][:300])
    done = typed("predict", "pets", "photos", "-o", "out.jsonl", "--on-bad-row", "null", "-q")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert done.code == 0
    assert [row["prediction"] for row in rows] == [expected[0], None, *expected[2:]]
    assert rows[1]["reason"] == "photos/b.png is truncated or damaged (image file is truncated)"
    assert [row["row"] for row in predicted("photos", "--on-bad-row", "skip")] == ["0", "2", "3"]


def test_a_broken_last_image_of_many_keeps_the_predictions(workdir, expected, monkeypatch):
    monkeypatch.setattr("taskgraft.inference.write_predictions.ROWS_PER_WINDOW", 2)
    (workdir / "photos" / "d.png").write_bytes(b"")
    done = typed("predict", "pets", "photos", "-o", "out.csv", "-q")
    assert (done.code, Path("out.csv").exists()) == (2, False)
    assert done.err == (
        "Error: photos, row 3: photos/d.png is an empty file.\n"
        "The other 3 predictions are in out.partial.csv, where these rows have none. "
        'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
        "leaves them out.\n"
    )
    rows = list(csv.DictReader(StringIO(Path("out.partial.csv").read_text())))
    assert [(row["file"], row["prediction"]) for row in rows] == [
        *zip(NAMES[:3], expected[:3], strict=True),
        ("d.png", ""),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photo.jpg",), "photo.jpg: there is no such file."),
        (("photos/*.jpg",), "No file matches photos/*.jpg."),
        (("photos/a.png", "photos/z.png"), "photos/z.png: there is no such file."),
        (("photos", "photos/a.png"), "photos is a folder. Name it alone, or the files in it: photos/*"),
        (("--text", "photos/a.png"),
         "The model does not read single texts. Pass the path of a file or folder, a list of paths or of objects in memory, a "
         "DataFrame, an Arrow table, a Dataset, a dict or a list of dicts with 'image'."),
        (("a.csv", "b.csv"), "2 files were given: a.csv, b.csv. Predict for one file of rows at a time, or join them."),
    ],
)  # fmt: skip
def test_images_that_are_not_there(workdir, arguments, message):
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("image\nphotos/a.png\n")
    assert refused("predict", "pets", *arguments, "-o", "out.csv", "-q") == message


def test_a_folder_without_images(workdir):
    Path("empty").mkdir()
    message = refused("predict", "pets", "empty", "-o", "out.csv", "-q")
    assert message.startswith("empty: no reader takes this folder. Readers look for ")
