import pytest
import torch
from backbones import PAIRS, TABLE, Words
from small_tasks import changed, classification, copied, images, pictures, sentences, words
from torch import nn

import taskgraft as tg
from taskgraft.adaptation.trainable import InvalidStage, is_norm
from taskgraft.contract.backbone import Backbone

TRAINING = {"batch_size": 8, "epochs": 1}


class Scaled(nn.Module):
    """A norm as some libraries define their own: a scale along the feature axis."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, value):
        return self.weight * value / value.square().mean(-1, keepdim=True).add(1e-6).sqrt()


class Unbiased(Words):
    """An encoder without any bias, with norms that a library defines itself."""

    def __init__(self) -> None:
        super().__init__()
        for path, module in list(self.named_modules()):
            if isinstance(module, nn.LayerNorm):
                self.set_submodule(path, Scaled(module.normalized_shape[0]))
            elif isinstance(module, nn.Linear):
                module.bias = None


def moved(backbone: Backbone, **settings) -> set[str]:
    """The tensors that a fit changed."""
    before = copied(backbone)
    model = tg.compose(backbone, classification(), {"name": "bitfit", **settings})
    rows = images() if "image" in [role.name for role in backbone.description.inputs] else sentences()
    model.fit(rows, target="label", training=TRAINING, quiet=True)
    return changed(backbone, before)


def test_only_biases_are_trained():
    found = moved(words())
    assert found == {name for name in copied(words()) if name.endswith("bias")}


def test_scales_of_norms_are_trained_on_request():
    extra = moved(words(), norms=True) - moved(words())
    assert extra == {name for name in copied(words()) if name.endswith("norm.weight")}


def test_statistics_of_batch_norm_stay_frozen():
    found = moved(pictures(), norms=True)
    assert found == {f"{part}.norm.{own}" for part in ("stem", "middle", "last") for own in ("weight", "bias")}


@pytest.mark.parametrize("small", [TABLE, PAIRS], ids=str)
def test_biases_of_tables_and_pairs_are_trained(small):
    backbone = small.build()
    before = copied(backbone)
    rows = {name: list(values) for name, values in small.inputs.items()} | {"label": ["a", "b"] * 3}
    model = tg.compose(backbone, classification(), "bitfit")
    model.fit(rows, inputs=list(small.inputs), target="label", training=TRAINING, quiet=True)
    assert changed(backbone, before) == {name for name in before if name.endswith("bias")}


def test_a_backbone_without_biases_is_rejected():
    with pytest.raises(InvalidStage) as caught:
        moved(Unbiased().eval())
    assert str(caught.value) == (
        "The stage 'bitfit' cannot run: its selection 1 matches no tensor of embedding, block-0, block-1: none is called "
        "'bias' or 'in_proj_bias'. Choose another strategy."
    )


def test_a_backbone_without_biases_is_rejected_when_composing():
    with pytest.raises(InvalidStage) as caught:
        tg.compose(Unbiased().eval(), classification(), "bitfit")
    assert "none is called 'bias' or 'in_proj_bias'. Choose another strategy." in str(caught.value)


def test_a_backbone_without_biases_can_train_its_norms():
    assert moved(Unbiased().eval(), norms=True) == {name for name in copied(Unbiased()) if name.endswith("norm.weight")}


@pytest.mark.parametrize(
    "module",
    [
        nn.LayerNorm(4),
        nn.RMSNorm(4),
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.GroupNorm(2, 4, affine=False),
        Scaled(4),
    ],
    ids=lambda module: type(module).__name__,
)
def test_norms_are_recognised_by_type_or_by_their_tensors(module):
    assert is_norm(module)


@pytest.mark.parametrize(
    "module",
    [None, nn.PReLU(4), nn.Linear(4, 4), nn.Embedding(4, 4), nn.Dropout(), nn.Conv1d(1, 4, 1, bias=False)],
    ids=lambda module: type(module).__name__,
)
def test_other_modules_are_not_norms(module):
    assert not is_norm(module)


def test_the_rmsnorm_of_transformers_is_recognised():
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    assert is_norm(LlamaRMSNorm(4))
    assert is_norm(T5LayerNorm(4))
