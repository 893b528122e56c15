"""Bottleneck adapters in protein language models."""

import taskgraft as tg

SEQUENCES = ["MKTAYIAKQRQISFVK", "GAVLI", "MSTNPKPQRKTKRNTNRRPQDV", "WYFHC"]


def test_they_train_and_load_to_the_same_bits(saved, tmp_path):
    model = tg.compose(f"protein:{saved('esm2')}", "classification", "adapters")
    rows = {"sequence": SEQUENCES, "label": ["in", "out", "in", "out"]}
    model.fit(rows, target="label", training={"batch_size": 2, "epochs": 1}, quiet=True)
    assert [one.path for one in model.fitted.inserted] == [
        f"model.encoder.layer.{block}.output.dense" for block in range(3)
    ]
    model.save(tmp_path / "artifact")
    assert tg.load(tmp_path / "artifact").predict_proba(SEQUENCES) == model.predict_proba(SEQUENCES)


def test_for_attention_maps_they_wrap_only_layers_that_the_maps_use(saved):
    model = tg.compose(f"protein:{saved('esm2')}", "contact-map", "adapters:houlsby")
    (stage,) = model.composition.plan
    assert [(one.parts[0], sorted(one.roles)) for one in stage.insertions] == [
        ("block.0", ["attention-output", "feed-forward-out"]),
        ("block.1", ["attention-output", "feed-forward-out"]),
        ("block.2", ["key", "query"]),
    ]
