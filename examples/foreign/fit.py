"""Train a classifier of CIFAR-10 on your own network: ``python examples/foreign/fit.py WEIGHTS TRAIN TEST``."""

import sys
from pathlib import Path

from resnet import CifarResNet

import taskgraft as tg

weights, train, test = map(Path, sys.argv[1:])
model = tg.compose(CifarResNet(weights), head="classification", strategy="linear-probe")
model.fit(train, inputs="image", target="label_name")
print(model.evaluate(test))
model.save("runs/foreign", overwrite=True)
loaded = tg.load("runs/foreign", backbone=CifarResNet(weights))
print(loaded.evaluate(test, resamples=0)["accuracy"])
