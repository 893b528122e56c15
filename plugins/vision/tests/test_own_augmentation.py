"""A user's own augmentation of images: a function that takes a path or encoded file and returns an image in memory."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from sample_images import noise_image
from timm_files import SIZE

import taskgraft as tg

pytestmark = pytest.mark.slow

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder of images, beside which the test works."""
    for number in range(8):
        place = tmp_path / "pets/train" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        noise_image(40 + 3 * number, 48, number).save(place / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return "pets/train"


def model(augment=()):
    backbone = {"name": "timm:test_resnet", "weights": "random", "image_size": SIZE, "augment": list(augment)}
    return tg.compose(backbone, head="classification", strategy="full")


def fitted(pets, augmentation, augment=(), workers=0):
    made = model(augment)
    training = {"epochs": 2, "batch_size": 4, "workers": workers}
    made.fit(pets, target="label", augmentation=augmentation, training=training, quiet=True)
    return made.fitted.task.state_dict()


def opened(example, rng):
    """The image itself, in memory."""
    return {"image": Image.open(example["image"])}


@pytest.mark.parametrize("augment", [(), ("light", "mix-up")], ids=["alone", "before that of the backbone"])
def test_an_image_in_memory_is_the_image_of_its_path(pets, augment):
    paths, images = fitted(pets, None, augment), fitted(pets, opened, augment, workers=1)
    assert all(torch.equal(images[name], paths[name]) for name in paths)


def test_the_augmentation_of_the_readme_runs(pets):
    (code,) = re.findall(r"^```python\n(from PIL.*?)^```", README, re.MULTILINE | re.DOTALL)
    made = model()
    exec(compile(code, "README.md", "exec"), {"model": made})
    assert len(made.predict(f"{pets}/cat/*.png")) == 4


def listed(example, rng):
    with Image.open(example["image"]) as image:
        return {"image": [image.copy()]}


def test_what_is_no_image_is_one_sentence(pets):
    with pytest.raises(tg.plugin.TaskgraftError) as caught:
        fitted(pets, listed)
    assert re.sub(r"row \d", "row 0", str(caught.value)) == (
        "The augmentation 'listed' returned a image for row 0 that cannot be used: a list is not an image: pass a path, a "
        "Pillow image or a uint8 array (height, width, channel)."
    )
