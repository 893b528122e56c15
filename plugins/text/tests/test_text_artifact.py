import json
import shutil

import pytest
import torch
from forged_artifact import MANIFEST, change_tensor, rewrite_manifest, write_checksums

import taskgraft as tg
from taskgraft.plugin import TaskgraftError

ROWS = {"text": ["lost card", "late parcel", "my card", "my parcel"], "label": ["card", "parcel", "card", "parcel"]}


@pytest.fixture
def artifact(saved, tmp_path):
    model = tg.compose(f"hf-text:{saved('bert')}", head="classification", strategy="linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    return model.save(tmp_path / "artifact")


def test_it_loads_and_predicts_the_same_bits(artifact):
    first, second = (tg.load(artifact).predict_proba(ROWS, quiet=True) for _ in range(2))

    assert first == second


def test_it_holds_the_head_alone(artifact):
    owners = {record["owner"] for record in json.loads((artifact / MANIFEST).read_text())["tensors"].values()}

    assert owners == {"head"}


def test_it_cannot_switch_on_remote_code(artifact, saved):
    rewrite_manifest(artifact, lambda manifest: manifest["recipe"]["backbone"]["settings"].update(remote_code=True))

    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact)
    assert str(error.value) == (
        f"The artifact {artifact} cannot be used: it asks for 'remote_code', which only you can grant: "
        'pass backbone={"name": "hf-text", "remote_code": True, …} if you trust it.'
    )
    tg.load(artifact, backbone={"name": "hf-text", "checkpoint": str(saved("bert")), "remote_code": True})


def test_as_a_base_it_cannot_switch_on_remote_code_either(artifact):
    rewrite_manifest(artifact, lambda manifest: manifest["recipe"]["backbone"]["settings"].update(remote_code=True))

    with pytest.raises(TaskgraftError) as error:
        tg.compose(f"hf-text:{artifact}", head="classification", strategy="full")
    assert "it asks for 'remote_code', which only you can grant" in str(error.value)


def test_inputs_that_the_backbone_does_not_read_are_rejected(artifact):
    rewrite_manifest(artifact, lambda manifest: manifest["recipe"]["data"].update(inputs={"image": "text"}))

    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact)
    assert str(error.value) == (
        f"The artifact {artifact} cannot be used: its inputs are image, but the backbone reads text."
    )


def test_another_tokenizer_is_another_base(artifact, saved, tmp_path):
    other = shutil.copytree(saved("bert"), tmp_path / "other")
    (other / "tokenizer_config.json").write_text((other / "tokenizer_config.json").read_text() + "\n")

    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact, backbone=f"hf-text:{other}")
    assert str(error.value).startswith(
        f"The artifact {artifact} cannot be used: it was trained on another base than 'hf-text:{other}' ("
    )


def test_a_duplicate_key_is_rejected(artifact):
    content = (artifact / MANIFEST).read_text()
    (artifact / MANIFEST).write_text(content.replace("{", '{"schema_version": 1,', 1))
    write_checksums(artifact)

    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact)
    assert str(error.value) == f"The artifact {artifact} cannot be used: taskgraft.json is not a valid manifest."


def test_a_tensor_that_is_not_finite_is_rejected(artifact):
    change_tensor(artifact, "head.readout.bias", lambda tensor: tensor.fill_(torch.nan))

    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact)
    assert str(error.value) == (
        f"The artifact {artifact} cannot be used: the tensor head.readout.bias contains values that "
        "are not finite (NaN in 2 of 2 places)."
    )


def test_a_device_that_does_not_exist_is_rejected(artifact):
    with pytest.raises(TaskgraftError) as error:
        tg.load(artifact, device="nowhere")
    assert str(error.value).startswith("The device 'nowhere' cannot be used: ")
    assert str(error.value).endswith(". 'cpu' always can.")


def test_one_text_is_not_taken_for_a_file(artifact):
    model = tg.load(artifact)
    assert model.predict("I lost my card", quiet=True) == model.predict(["I lost my card"], quiet=True)
