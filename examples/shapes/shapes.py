"""Segment circles, squares and triangles, with a decoder over all levels of a backbone and with one over the last only."""

import taskgraft as tg

random = {"name": "timm", "model": "test_resnet", "weights": "random"}
backbone = random | {"image_size": 64, "crop_mode": "squash", "crop": 1.0, "augment": "light"}
strategy = {"name": "full", "learning_rate": 3e-3, "head_learning_rate": 3e-3}
training = {"epochs": 8, "batch_size": 16, "workers": 0}
for layout in ("pyramid", "grid"):
    model = tg.compose(backbone, {"name": "segmentation", "layout": layout}, strategy)
    model.fit("runs/drawn/train.csv", inputs="image", target="mask", training=training)
    evaluation = model.evaluate("runs/drawn/test.csv", resamples=0)
    print(f"{layout:8} mean_iou={evaluation['mean_iou']:.4f}")
