"""Bottleneck adapters in table models: after layers with roles, or around whole blocks if no layer has a role."""

import pytest
from small_tables import SMALL, TABLE

import taskgraft as tg

ROWS = {**TABLE, "fraud": ["no", "yes", "no", "no", "no", "yes"]}
INSERTED_AT = {
    "ft-transformer": ["attention.W_out", "ffn.linear2"],
    "tabular-resnet": ["linear2"],
    "mlp-plr": ["linear"],
    "tabm": [""],
}


@pytest.mark.parametrize("name", SMALL)
def test_adapters_train_and_predict_the_same_after_loading(tmp_path, name):
    backbone = {"name": name} | SMALL[name].model_dump(mode="json", exclude={"learned"})
    model = tg.compose(backbone, "classification", {"name": "adapters", "style": "houlsby", "reduction": 4})
    model.fit(ROWS, target="fraud", training={"batch_size": 3, "epochs": 1}, quiet=True)
    paths = [
        module.path.partition(".0")[2].lstrip(".") for module in model.fitted.inserted if ".blocks.0" in module.path
    ]
    assert paths == INSERTED_AT[name]
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact").predict_proba(TABLE) == model.predict_proba(TABLE)
