"""Train a model to predict the class of synthetic proteins, and evaluate it on families it was not trained on."""

import tomllib
from pathlib import Path

import taskgraft as tg

folder = Path(__file__).parent
recipe = tomllib.loads((folder / "recipe.toml").read_text())
data = {name: recipe["data"][name] for name in ("inputs", "target", "reader", "split")}
model = tg.compose(recipe["backbone"], recipe["head"], recipe["strategy"])
model.fit(folder / "train.fasta", **data, training=recipe["training"])
print(model.evaluate(folder / "test.fasta"))
model.save("runs/proteins", overwrite=True)
print(tg.load("runs/proteins").predict(folder / "test.fasta")[:9])
