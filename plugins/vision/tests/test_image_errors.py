"""Errors of users with images, on the command line: the whole message, the exit code, and that no file is left behind."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from commands import typed
from PIL import Image
from refusals import SKIP, refused
from sample_images import encode, noise_image
from timm_files import random_model, save_weights

pytestmark = pytest.mark.slow

RECIPE = """
head = "classification"
strategy = "linear-probe"

[backbone]
name = "timm"
model = "test_resnet"
weights = "resnet.safetensors"
image_size = 64

[data]
train = "pets.csv"
inputs = "image"
target = "label"

[training]
workers = 0
epochs = 1
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A valid recipe, weights of small models, and a table of images; made once."""
    folder = tmp_path_factory.mktemp("template")
    save_weights(random_model("test_resnet"), folder / "resnet.safetensors")
    save_weights(random_model("test_vit"), folder / "vit.safetensors")
    (folder / "animals.toml").write_text(RECIPE)
    for number in range(6):
        path = folder / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(noise_image(40, 50, number)))
    write_table(folder)
    return folder


@pytest.fixture
def workdir(template, tmp_path, monkeypatch):
    """The working directory: a copy of the template."""
    monkeypatch.chdir(shutil.copytree(template, tmp_path / "work"))
    return tmp_path / "work"


def write_table(folder, *extra):
    """Write a table of the images and extra rows."""
    rows = [(str(path.relative_to(folder)), path.parent.name) for path in sorted((folder / "pets").rglob("*.png"))]
    with (folder / "pets.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label"), *rows, *extra])


def refused_fit(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    return refused("fit", "animals.toml", "--quiet", *words)


def refused_features(*words, data="pets.csv"):
    return refused("features", "timm:test_resnet", data, "-o", "out.npy", "--quiet", *words)


def refused_image(workdir, name, content):
    """The error about a table with one more file."""
    (workdir / "pets" / name).write_bytes(content)
    write_table(workdir, (f"pets/{name}", "cat"))
    return refused_fit()


# --- files


def test_a_missing_file(workdir):
    write_table(workdir, ("pets/gone.png", "cat"))
    assert refused_fit() == f"pets.csv, line 8: there is no file pets/gone.png.\n{SKIP}"


def test_a_missing_file_of_a_table_in_another_folder(workdir, monkeypatch):
    write_table(workdir, ("pets/gone.png", "cat"))
    (workdir / "below").mkdir()
    monkeypatch.chdir(workdir / "below")
    words = ("--set", "backbone.weights=../resnet.safetensors", "--quiet")
    assert refused("fit", "../animals.toml", *words) == f"pets.csv, line 8: there is no file ../pets/gone.png.\n{SKIP}"


def test_a_truncated_photograph(workdir):
    content = encode(noise_image(64, 64), "JPEG")
    assert (
        refused_image(workdir, "half.jpg", content[: len(content) // 2])
        == f"pets.csv, line 8: pets/half.jpg is truncated or damaged (image file is truncated).\n{SKIP}"
    )


def test_a_text_file_with_the_suffix_of_an_image(workdir):
    assert (
        refused_image(workdir, "text.webp", b"no pixels here\n")
        == f"pets.csv, line 8: pets/text.webp is not an image that Pillow can read.\n{SKIP}"
    )


def test_an_empty_file(workdir):
    assert refused_image(workdir, "empty.jpg", b"") == f"pets.csv, line 8: pets/empty.jpg is an empty file.\n{SKIP}"


def test_a_folder_instead_of_a_file(workdir):
    write_table(workdir, ("pets/cat", "cat"))
    assert refused_fit() == f"pets.csv, line 8: pets/cat is a folder.\n{SKIP}"


def test_an_empty_cell(workdir):
    write_table(workdir, ("", "cat"))
    assert refused_fit() == f"pets.csv, line 8: the image is empty.\n{SKIP}"


def test_an_image_without_a_label(workdir):
    write_table(workdir, ("pets/cat/1.png", ""))
    assert refused_fit() == f"pets.csv, line 8: the target column 'label' is empty.\n{SKIP}"


def test_pixels_of_unknown_range(workdir):
    content = encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")
    assert refused_image(workdir, "height.tiff", content) == (
        "pets.csv, line 8: pets/height.tiff has Pillow's mode F, whose range is unknown; save it with 8"
        f" or 16 bits.\n{SKIP}"
    )


def test_a_vector_drawing(workdir):
    assert (
        refused_image(workdir, "drawing.eps", encode(noise_image(8, 8), "EPS"))
        == f"pets.csv, line 8: pets/drawing.eps has the format EPS, which is not supported.\n{SKIP}"
    )


def test_an_image_with_too_many_pixels(workdir, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    assert refused_features("--set", "weights=random", "--set", "image_size=64") == (
        "pets.csv, line 2: pets/cat/1.png has 40 × 50 pixels, more than 1,000; TASKGRAFT_IMAGE_PIXELS sets the limit.\n"
        "pets.csv, line 3: pets/cat/3.png has 40 × 50 pixels, more than 1,000; TASKGRAFT_IMAGE_PIXELS sets the limit.\n"
        "pets.csv, line 4: pets/cat/5.png has 40 × 50 pixels, more than 1,000; TASKGRAFT_IMAGE_PIXELS sets the limit.\n"
        "pets.csv, line 5: pets/dog/0.png has 40 × 50 pixels, more than 1,000; TASKGRAFT_IMAGE_PIXELS sets the limit.\n"
        "pets.csv, line 6: pets/dog/2.png has 40 × 50 pixels, more than 1,000; TASKGRAFT_IMAGE_PIXELS sets the limit.\n"
        "Further reasons: 1.\n"
        'Fix these rows, or leave them out: on_bad_row = "skip" (--on-bad-row skip).'
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(workdir):
    (workdir / "pets" / "cat" / "1.png").chmod(0)
    assert refused_fit() == f"pets.csv, line 2: pets/cat/1.png cannot be read (Permission denied).\n{SKIP}"


def test_a_column_of_numbers(workdir):
    (workdir / "pets.csv").write_text("image,label\n1,cat\n2,dog\n3,cat\n")
    assert refused_fit() == (
        "pets.csv, line 2: there is no file 1.\n"
        "pets.csv, line 3: there is no file 2.\n"
        f"pets.csv, line 4: there is no file 3.\n{SKIP}"
    )


def test_arrays_of_another_shape(workdir):
    lines = [json.dumps({"image": number, "label": label}) for number, label in enumerate(["cat", "dog"] * 2)]
    (workdir / "pets.jsonl").write_text("\n".join(lines))
    assert refused_fit("data.train=pets.jsonl") == (
        "pets.jsonl, line 1: the image is 0, not a path or an encoded image.\n"
        "pets.jsonl, line 2: the image is 1, not a path or an encoded image.\n"
        "pets.jsonl, line 3: the image is 2, not a path or an encoded image.\n"
        f"pets.jsonl, line 4: the image is 3, not a path or an encoded image.\n{SKIP}"
    )


def test_a_missing_column(workdir):
    assert refused_fit("data.inputs=picture") == "pets.csv has no column 'picture'. Columns: image, label."


def test_one_label_only(workdir):
    (workdir / "pets.csv").write_text("image,label\npets/cat/1.png,cat\npets/cat/3.png,cat\n")
    assert refused_fit() == (
        "The target column 'label' has only the label 'cat' in the training split; a head needs two or more to tell"
        " apart."
    )


# --- folders


def test_a_folder_without_images(workdir):
    shutil.rmtree(workdir / "pets")
    (workdir / "pets").mkdir()
    assert refused_fit("data.train=pets") == (
        "pets: no reader takes this folder. Readers look for *.bmp, *.gif, *.jpeg, *.jpg, *.png, *.ppm, *.tif, *.tiff, "
        "*.webp, dataset_dict.json, dataset_info.json, history.* in it."
    )


def test_a_folder_of_other_files(workdir):
    shutil.rmtree(workdir / "pets")
    (workdir / "pets").mkdir()
    (workdir / "pets" / "notes.md").write_text("")
    assert refused_fit("data.train=pets", "data.reader=image-folder") == (
        "pets: the folder has no image. Image files end in .bmp, .gif, .jpeg, .jpg, .png, .ppm, .tif, .tiff, .webp."
    )


def test_a_label_without_images(workdir):
    (workdir / "pets" / "horse").mkdir()
    assert (
        refused_fit("data.train=pets")
        == "pets: the folder of the label 'horse' has no image. Add images, or remove the folder."
    )


def test_a_file_among_the_images_that_is_not_an_image(workdir):
    (workdir / "pets" / "cat" / "notes.txt").write_text("")
    assert refused_fit("data.train=pets") == f"pets, row 3: cat/notes.txt does not have the suffix of an image.\n{SKIP}"


def test_a_damaged_image_in_a_folder(workdir):
    (workdir / "pets" / "cat" / "5.png").write_bytes(b"no pixels")
    assert (
        refused_fit("data.train=pets") == f"pets, row 2: pets/cat/5.png is not an image that Pillow can read.\n{SKIP}"
    )


def test_a_folder_of_one_label(workdir):
    shutil.rmtree(workdir / "pets" / "dog")
    assert refused_fit("data.train=pets") == (
        "The target column 'label' has only the label 'cat' in the training split; a head needs two or more to tell"
        " apart."
    )


def test_a_missing_folder(workdir):
    assert refused_fit("data.train=pet") == "pet: there is no such file."


# --- models and weights


def test_an_unknown_model(workdir):
    assert refused_fit("backbone.model=test_resnot") == (
        "timm has no model 'test_resnot'. Did you mean 'test_resnet'? timm.list_models() lists all; a folder "
        "saved by timm, or hf-hub:OWNER/NAME, works as well."
    )


def test_an_unknown_tag(workdir):
    assert refused_fit("backbone.model=test_resnet.r161_in1k") == (
        "timm has no weights 'r161_in1k' for the model 'test_resnet'. It has r160_in1k. Without a tag, timm chooses."
    )


def test_a_model_of_the_hub_without_a_network(workdir):
    assert refused_fit("backbone.model=hf-hub:nobody/nothing") == (
        "No checkpoint 'nobody/nothing': it is not a local folder, it is not in the local hub cache, and the hub"
        " cannot be reached.\n"
        "Check the spelling, give the path of a folder with config.json in it, or download the checkpoint on a machine "
        "with network access."
    )


def test_weights_of_the_hub_without_a_network(workdir):
    assert refused_fit("backbone.weights=pretrained") == (
        "No checkpoint 'timm/test_resnet.r160_in1k': it is not a local folder, it is not in the local hub cache,"
        " and the hub cannot be reached.\n"
        "Check the spelling, give the path of a folder with config.json in it, or download the checkpoint on a machine "
        "with network access."
    )


def test_a_missing_folder_of_a_model(workdir):
    assert refused_fit("backbone.model=./saved", "backbone.weights=pretrained") == (
        "No checkpoint './saved': there is no such folder.\n"
        "Check the spelling, give the path of a folder with config.json in it, or download the checkpoint on a machine "
        "with network access."
    )


def test_missing_weights(workdir):
    assert refused_fit("backbone.weights=resnet.pth") == (
        "The checkpoint 'resnet.pth' cannot be used: there is no such weight file (other values: pretrained, random)."
    )


def test_weights_of_another_model(workdir):
    assert refused_fit("backbone.weights=vit.safetensors") == (
        "The weights 'vit.safetensors' have 80 tensors that the model 'test_resnet' does not have: "
        "blocks.0.attn.proj.bias, blocks.0.attn.proj.weight, blocks.0.attn.qkv.bias and 77 more.\n"
        "So they belong to another model, and nothing is loaded. Choose that model, or set the arguments that it was "
        "built with."
    )


def test_truncated_weights(workdir):
    content = (workdir / "resnet.safetensors").read_bytes()
    (workdir / "resnet.safetensors").write_bytes(content[:10_000])
    assert refused_fit() == (
        "The checkpoint 'resnet.safetensors' cannot be used: its weights cannot be read (Error while deserializing "
        "header: incomplete metadata, file not fully covered); download them again, or save only the "
        "tensors (model.state_dict())."
    )


def test_a_table_instead_of_weights(workdir):
    assert refused_fit("backbone.weights=pets.csv") == (
        "The checkpoint 'pets.csv' cannot be used: its weights cannot be read (a file contains more than tensors, "
        "so it was not loaded); download them again, or save only the tensors (model.state_dict())."
    )


def test_an_unknown_part(workdir):
    assert (
        refused_fit("backbone.until=layer5")
        == "The setting 'until' names no part of the backbone: 'layer5'. Parts: layer1.0, layer2.0, layer3.0, layer4.0."
    )


def test_an_unknown_argument(workdir):
    assert refused_fit("backbone.arguments.act_layers=gelu") == (
        "The model 'test_resnet' has no argument 'act_layers'. Did you mean 'act_layer'? Arguments: block, "
        "layers, output_stride, global_pool, cardinality, base_width, stem_width, stem_type, replace_stem_pool, "
        "block_reduce_first, down_kernel_size, avg_down and 11 more."
    )


def test_an_argument_that_taskgraft_sets(workdir):
    assert (
        refused_fit("backbone.arguments.num_classes=3")
        == "The argument 'num_classes' of the model 'test_resnet' is set by taskgraft. Leave it out."
    )


# --- settings


NO_SIDE = "input should be greater than or equal to 1, or input should be a list."


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("0", f"0: {NO_SIDE}"),
        ("-64", f"-64: {NO_SIDE}"),
        (
            "large",
            "'large': input should be a valid integer, unable to parse string as an integer, or input should be a list.",
        ),
    ],
)
def test_an_invalid_image_size(workdir, size, message):
    assert refused_fit(f"backbone.image_size={size}") == f"backbone 'timm': the setting 'image_size' is {message}"


def test_an_image_size_that_the_model_cannot_read(workdir):
    assert refused_fit("backbone.model=test_vit", "backbone.weights=vit.safetensors", "backbone.image_size=70") == (
        "The model 'test_vit' cannot read images of 70 × 70 pixels: Input height (70) should be divisible by patch "
        "size (16).\n"
        "Change 'image_size' in the backbone's settings; the model's own size is 160 × 160."
    )


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ("0", "0: input should be greater than 0."),
        ("1.5", "1.5: input should be less than or equal to 1."),
        ("center", "'center': input should be a valid number, unable to parse string as a number."),
    ],
)
def test_an_invalid_crop(workdir, crop, message):
    assert refused_fit(f"backbone.crop={crop}") == f"backbone 'timm': the setting 'crop' is {message}"


def test_an_unknown_crop_mode(workdir):
    assert (
        refused_fit("backbone.crop_mode=middle")
        == "backbone 'timm': the setting 'crop_mode' is 'middle': input should be 'center', 'squash' or 'border'."
    )


def test_a_standard_deviation_of_zero(workdir):
    assert (
        refused_fit("backbone.std=[0, 0.2, 0.2]")
        == "backbone 'timm': the setting 'std.0' is 0: input should be greater than 0."
    )


def test_an_unknown_policy(workdir):
    assert refused_fit("backbone.augment=mixup") == (
        "backbone 'timm': the setting 'augment' is 'mixup': there is no policy 'mixup'. Did you mean 'mix-up'? "
        "Policies: light, rand-augment, mix-up, cut-mix."
    )


def test_policies_that_are_not_a_list(workdir):
    assert refused_fit("backbone.augment=5") == (
        "backbone 'timm': the setting 'augment' is 5: input should be a policy's name, a dict with its name, or a "
        "list of these."
    )


def test_mixed_images_for_a_regression_head(workdir):
    assert refused_fit("head=regression", "strategy=full", "backbone.augment=mix-up") == (
        "'timm:test_resnet' mixes training examples (mixup), but 'regression' does not support soft labels.\n"
        "Choose another augmentation, or a head that supports them (classification)."
    )


def test_a_head_that_reads_a_layout_that_the_backbone_does_not_emit(workdir):
    assert refused_fit("head=element-classification", "strategy=full") == (
        "'element-classification' reads sequence features, but 'timm:test_resnet' emits vector and grid and "
        "pyramid.\n"
        "Choose a head that reads one of those (classification, fraud, multi-label, regression, segmentation), or a "
        "backbone that emits sequence."
    )


# --- features and predictions

RANDOM = ("--set", "weights=random", "--set", "image_size=64")


def test_features_of_a_layout_that_the_backbone_does_not_emit(workdir):
    assert (
        refused_features(*RANDOM, "--layout", "sequence")
        == "'timm:test_resnet' has no sequence features. Choose vector or grid."
    )


def test_features_of_an_unknown_layout(workdir):
    assert (
        refused_features(*RANDOM, "--layout", "grids")
        == "'timm:test_resnet' has no grids features. Did you mean grid? Choose vector or grid."
    )


def test_features_of_a_damaged_image(workdir):
    (workdir / "pets" / "cat" / "3.png").write_bytes(b"no pixels")
    assert refused_features(*RANDOM) == (
        "pets.csv, line 3: pets/cat/3.png is not an image that Pillow can read.\n"
        'Fix these rows, or leave them out: on_bad_row = "skip" (--on-bad-row skip).'
    )


def test_pooling_that_the_model_does_not_have(workdir):
    assert refused_features(*RANDOM, "--pooling", "max") == (
        "backbone 'timm': there is no setting 'pooling'. Settings: model, revision, until, image_size, crop, crop_mode, "
        "interpolation, mean, std, augment, dtype, weights and 1 more."
    )


def test_predicting_for_an_invalid_image_among_valid_ones(workdir):
    assert typed("fit", "animals.toml", "-q", "-o", "model").code == 0
    (workdir / "pets" / "cat" / "3.png").write_bytes(b"no pixels")
    assert refused("predict", "model", "pets.csv", "-q", "-o", "out.csv") == (
        "pets.csv, line 3: pets/cat/3.png is not an image that Pillow can read.\n"
        'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
        "leaves them out."
    )


def test_predicting_for_a_folder_without_images(workdir):
    assert typed("fit", "animals.toml", "-q", "-o", "model").code == 0
    (workdir / "empty").mkdir()
    assert refused("predict", "model", "empty", "-q", "-o", "out.csv") == (
        "empty: no reader takes this folder. Readers look for *.bmp, *.gif, *.jpeg, *.jpg, *.png, *.ppm, *.tif, *.tiff, "
        "*.webp, dataset_dict.json, dataset_info.json, history.* in it."
    )


def test_predicting_for_a_file_that_is_no_image(workdir):
    assert typed("fit", "animals.toml", "-q", "-o", "model").code == 0
    (workdir / "notes.md").write_text("no pixels")
    assert refused("predict", "model", "notes.md", "-q", "-o", "out.csv") == (
        "notes.md, row 0: notes.md is not an image that Pillow can read.\n"
        'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
        "leaves them out."
    )


# --- not errors


def test_the_first_frame_of_an_animation_is_used_with_a_note(workdir):
    frames = [noise_image(40, 40, number) for number in range(3)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (workdir / "pets" / "wave.gif").write_bytes(content)
    write_table(workdir, ("pets/wave.gif", "cat"))
    done = typed("fit", "animals.toml", "-o", "model")
    assert done.code == 0
    assert "used the first of several frames: 1 of 7 training rows\n" in done.err


def test_skipped_rows_are_counted(workdir):
    (workdir / "pets" / "cat" / "5.png").write_bytes(b"no pixels")
    write_table(workdir, ("pets/gone.png", "cat"))
    done = typed("fit", "animals.toml", "-o", "model", "--set", "data.on_bad_row=skip")
    assert done.code == 0
    assert (
        "skipped, since pets/cat/5.png is not an image that Pillow can read: 1 of 7 training rows\n"
        "skipped, since there is no file pets/gone.png: 1 of 7 training rows\n"
    ) in done.err
