"""Bottleneck adapters in table models: behind layers with roles, and around whole blocks of an ensemble that has none."""

import pytest
from tables import SMALL, TABLE

import taskgraft as tg

ROWS = {**TABLE, "fraud": ["no", "yes", "no", "no", "no", "yes"]}
PLACES = {
    "ft-transformer": ["attention.W_out", "ffn.linear2"],
    "tabular-resnet": ["linear2"],
    "mlp-plr": ["linear"],
    "tabm": [""],
}


@pytest.mark.parametrize("name", SMALL)
def test_they_train_and_load_to_the_same_bits(tmp_path, name):
    backbone = {"name": name} | SMALL[name].model_dump(mode="json", exclude={"learned"})
    model = tg.compose(backbone, "classification", {"name": "adapters", "style": "houlsby", "reduction": 4})
    model.fit(ROWS, target="fraud", training={"batch_size": 3, "epochs": 1}, quiet=True)
    ends = [one.path.partition(".0")[2].lstrip(".") for one in model.fitted.inserted if ".blocks.0" in one.path]
    assert ends == PLACES[name]
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact").predict_proba(TABLE) == model.predict_proba(TABLE)
