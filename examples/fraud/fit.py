"""Train a fraud detector on transactions, and evaluate it on the two weeks that follow."""

import tomllib
from pathlib import Path

from generate import save

import taskgraft as tg

recipe = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text())
folder, data = save("runs/transactions"), recipe["data"]
data_options = {name: data[name] for name in ("inputs", "target", "reader", "split")}
model = tg.compose(recipe["backbone"], recipe["head"], recipe["strategy"])
model.fit(folder / "train.csv", **data_options, training=recipe["training"])
print(model.evaluate(folder / "test", groups="customer"))
model.save("runs/fraud", overwrite=True)
print(tg.load("runs/fraud").predict(folder / "test")[:5])
