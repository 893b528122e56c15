"""Train a classifier of digits on images in folders, from random weights."""

from save import save

import taskgraft as tg

folder = save("runs/digits")
backbone = {"name": "timm:test_resnet", "weights": "random", "image_size": 32, "crop": 1.0}
model = tg.compose(backbone, head="classification", strategy={"name": "full", "learning_rate": 2e-3})
model.fit(folder / "train", target="label", training={"epochs": 10})
print(model.evaluate(folder / "test"))
model.save("runs/digits/model", overwrite=True)
images = [str(image) for image in sorted(folder.glob("test/*/*.png"))[::120]]
for image, digit in zip(images, tg.load("runs/digits/model").predict(images), strict=True):
    print(f"{image:30} {digit}")
