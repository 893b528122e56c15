"""Stored weights that are not finite are refused when they are loaded, by the name of the tensor."""

from dataclasses import replace

import pytest
import torch
from backbones import Words
from forged_artifact import change_tensor
from small_tasks import Planned, classification, sentences, trained, training_stage, words
from torch import nn

import taskgraft as tg
from taskgraft.engine.finite import weight_fault
from taskgraft.engine.precision import is_finite
from taskgraft.storage.checkpoints import InvalidCheckpoint
from taskgraft.storage.manifest import InvalidArtifact

NAN, INFINITY = torch.nan, torch.inf
LAST = training_stage("block-1", epochs=1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_nan_and_infinity_are_found_in_every_dtype(dtype):
    whole = torch.linspace(-3, 3, 1_001).to(dtype)
    assert is_finite(whole)
    for value in [NAN] if dtype == torch.float8_e4m3fn else [NAN, INFINITY, -INFINITY]:
        assert not is_finite(torch.cat([whole, torch.tensor([value]).to(dtype)]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_whose_sum_overflows_are_finite(dtype):
    assert is_finite(torch.full((100,), torch.finfo(dtype).max, dtype=dtype))


def test_integers_and_weights_without_data_are_finite():
    assert is_finite(torch.arange(3))
    assert is_finite(torch.empty(3, device="meta"))


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.tensor([1.0, 2.0]), None),
        (torch.tensor([1.0, NAN, NAN]), "NaN in 2 of 3 places"),
        (torch.tensor([0.0, INFINITY]), "infinity in 1 of 2 places"),
        (nn.Parameter(torch.tensor([0.0, -INFINITY])), "infinity in 1 of 2 places"),
        (torch.tensor([1.0, -INFINITY]), "infinity in 1 of 2 places"),
        (torch.tensor(-INFINITY), "infinity in 1 of 1 places"),
        (torch.zeros(4, 4).masked_fill(torch.ones(4, 4).triu(1).bool(), -INFINITY), None),
    ],
)
def test_a_buffer_of_zeros_and_minus_infinity_is_a_mask_and_nothing_else_may_be_infinite(tensor, fault):
    expected = None if fault is None else f"contains values that are not finite ({fault})"
    assert weight_fault(tensor) == expected


class Masked(Words):
    """With a stored mask, as causal decoders have, and a statistic."""

    def __init__(self, config=None):
        super().__init__(config)
        self.blocks[0].register_buffer("bias_mask", torch.zeros(3, 3))
        self.blocks[0].register_buffer("seen", torch.ones(()))


def fit(backbone):
    model = tg.compose(backbone, "classification", "linear-probe")
    model.fit(sentences(), target="label", training={"epochs": 1}, quiet=True)
    return model


@pytest.mark.parametrize("value", [NAN, INFINITY])
@pytest.mark.parametrize("name", ["embedding.weight", "norm.weight", "blocks.0.seen"])
def test_a_backbone_with_such_a_weight_is_refused_before_anything_is_computed(name, value):
    backbone = Masked()
    tensors = backbone.state_dict()
    with torch.no_grad():
        tensors[name].view(-1)[0] = value
    with pytest.raises(InvalidCheckpoint) as caught:
        fit(backbone)
    kind = "NaN" if value != value else "infinity"
    assert str(caught.value) == (
        f"The checkpoint 'Masked' cannot be used: the tensor {name} contains values that are not finite ({kind} in 1 of "
        f"{tensors[name].numel():,} places). Download it again, or choose other weights."
    )


def test_a_mask_of_minus_infinity_is_no_fault():
    backbone = Masked()
    backbone.blocks[0].bias_mask.fill_(-INFINITY).fill_diagonal_(0.0)
    fit(backbone)


def test_what_the_features_do_not_use_may_be_anything(monkeypatch):
    backbone = Masked()
    described = backbone.description
    backbone.blocks[0].seen.fill_(NAN)
    monkeypatch.setattr(Masked, "description", property(lambda self: replace(described, unused=("blocks.0.seen",))))
    fit(backbone)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("name", ["head.readout.weight", "head.readout.scale"])
def test_an_artifact_with_such_a_weight_or_buffer_is_refused(tmp_path, name, value):
    trained(words(), LAST).save(tmp_path / "saved")
    change_tensor(tmp_path / "saved", name, lambda tensor: tensor.view(-1)[:1].fill_(value))
    with pytest.raises(InvalidArtifact) as caught:
        tg.load(tmp_path / "saved", backbone=words(), strategy=Planned(LAST), head=classification())
    assert f"the tensor {name} contains values that are not finite (" in str(caught.value)
