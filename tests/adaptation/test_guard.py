"""The guard catches planted faults, and does not fire on correct training of models of the common shapes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from backbones import Pictures, PicturesConfig, PicturesProcessor, Words, WordsProcessor, mean
from small_tasks import PARTS, fitted, images, pictures, sentences, trained, training_stage, words
from torch import Tensor, nn

import taskgraft as tg
from taskgraft.adaptation.guard import WeightGuardError
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import (
    BackboneDescription,
    FeatureDescription,
    InputField,
    LayerRole,
    Layout,
    Part,
    sequence,
    vector,
)
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.head import HeadModule, LossSum
from taskgraft.contract.plan import HeadSolver, Insertion, SharedWrap, Stage, Teacher, Unfreeze
from taskgraft.contract.processor import Processor
from taskgraft.data.soft_labels import split_soft_labels

FAULT = "This is a bug in the strategy, the backbone or the head, not in your data."


def faults(backbone: Backbone, stage: Stage, **training: Any) -> list[str]:
    """The lines of faults that the guard names in a stage."""
    with pytest.raises(WeightGuardError) as caught:
        trained(backbone, stage, **training)
    first, *lines, last = str(caught.value).splitlines()
    assert first == f"The stage '{stage.name}' did not train exactly what it declared:"
    assert last == FAULT
    assert tuple(line.removeprefix("  ") for line in lines) == caught.value.faults
    return list(caught.value.faults)


def after(change: Callable[[Any], object]) -> Callable[[nn.Module, int], None]:
    """Change a backbone after the first step."""

    @torch.no_grad()
    def once(backbone: nn.Module, step: int) -> None:
        if step == 1:
            change(backbone)

    return once


# --- frozen tensors


def test_a_frozen_weight_moved_by_weight_decay():
    def decay(backbone: nn.Module, step: int) -> None:
        weight = backbone.blocks[0].query.weight
        weight.grad = torch.zeros_like(weight)
        torch.optim.AdamW([weight], lr=1e-3, weight_decay=0.1).step()

    assert faults(words(), training_stage("block-1", on_step_end=decay)) == [
        "the tensor blocks.0.query.weight is frozen, but changed"
    ]


def test_a_frozen_weight_rounded_to_half_precision_and_back():
    def rounded(backbone: Words) -> None:
        weight = backbone.embedding.weight
        weight.copy_(weight.bfloat16().float())

    assert faults(words(), training_stage("block-1", on_step_end=after(rounded))) == [
        "the tensor embedding.weight is frozen, but changed"
    ]


def test_a_frozen_embedding_that_its_own_forward_rescales():
    def limit(backbone: Words) -> None:
        backbone.embedding.max_norm = 0.5

    assert faults(words(), training_stage("block-1", on_step_end=after(limit))) == [
        "the tensor embedding.weight is frozen, but changed"
    ]


def test_a_single_bit_of_a_frozen_weight():
    def flip(backbone: Words) -> None:
        backbone.blocks[0].key.bias.view(torch.int32)[0] ^= 1

    assert faults(words(), training_stage("block-1", on_step_end=after(flip))) == [
        "the tensor blocks.0.key.bias is frozen, but changed"
    ]


def test_a_frozen_buffer_changed_after_a_step():
    assert faults(
        words(), training_stage("block-1", on_step_end=after(lambda backbone: backbone.frequencies.add_(1)))
    ) == ["the tensor frequencies is frozen, but changed"]


def test_a_statistic_of_a_frozen_batchnorm():
    stage = training_stage("last", on_step_end=after(lambda backbone: backbone.stem.norm.train()))
    assert faults(pictures(), stage) == [
        "the module stem.norm is frozen, but ran in training mode",
        "the tensor stem.norm.num_batches_tracked is frozen, but changed",
        "the tensor stem.norm.running_mean is frozen, but changed",
        "the tensor stem.norm.running_var is frozen, but changed",
    ]


def test_dropout_left_on_in_a_frozen_part():
    stage = training_stage("block-1", on_step_end=after(lambda backbone: backbone.blocks[0].dropout.train()))
    assert faults(words(), stage) == ["the module blocks.0.dropout is frozen, but ran in training mode"]


class Scaled(nn.Module):
    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) * self.factor


SCALING = Insertion("scale", ("block-1",), frozenset({LayerRole.QUERY}), Scaled, 1e-2)


def test_a_base_weight_under_an_insertion():
    stage = training_stage(
        insertions=(SCALING,), on_step_end=after(lambda backbone: backbone.blocks[1].query.wrapped.weight.add_(1))
    )
    assert faults(words(), stage) == ["the tensor blocks.1.query.weight is frozen, but changed"]


def test_an_insertion_of_an_earlier_stage():
    def change(backbone: Words) -> None:
        backbone.blocks[1].query.factor.add_(1)

    with pytest.raises(WeightGuardError) as caught:
        trained(
            words(), training_stage(insertions=(SCALING,)), training_stage(name="second", on_step_end=after(change))
        )
    assert caught.value.stage == "second"
    assert caught.value.faults == ("the tensor blocks.1.query:scale.factor is frozen, but changed",)


def test_a_frozen_head_that_changed():
    def shifted(head: HeadModule, output: Tensor, targets: Batch, features: Features) -> LossSum:
        head.readout.bias.data.add_(1)
        return head.loss(output, targets, features)

    assert faults(words(), training_stage("block-1", head_learning_rate=None, loss=shifted)) == [
        "the tensor head.readout.bias is frozen, but changed"
    ]


def test_a_tensor_that_was_removed():
    def lose(backbone: Words) -> None:
        backbone.blocks[0].query.register_parameter("bias", None)

    assert faults(words(), training_stage("block-1", on_step_end=after(lose))) == [
        "the tensor blocks.0.query.bias was removed"
    ]


def test_a_tensor_that_was_added():
    def add(backbone: Words) -> None:
        backbone.register_parameter("extra", nn.Parameter(torch.zeros(2)))

    assert faults(words(), training_stage("block-1", on_step_end=after(add))) == ["the tensor extra was added"]


def test_a_base_that_changed_while_a_solver_found_the_head():
    backbone = words()

    def forgetful(module: nn.Module, inputs: object, output: object) -> None:
        module.frequencies.add_(1e-9)

    backbone.register_forward_hook(forgetful)
    stage = Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, l2_penalty=1e-3, cache_features=True)
    assert faults(backbone, stage) == ["the tensor frequencies is frozen, but changed"]


# --- trainable tensors


def test_a_group_that_never_moved():
    start = {name: tensor.clone() for name, tensor in words().blocks[1].named_parameters()}

    @torch.no_grad()
    def put_back(backbone: nn.Module, step: int) -> None:
        for name, tensor in backbone.blocks[1].named_parameters():
            tensor.copy_(start[name])
        backbone.norm.weight.copy_(words().norm.weight)
        backbone.norm.bias.copy_(words().norm.bias)

    assert faults(words(), training_stage("block-1", on_step_end=put_back)) == [
        "the group 'block-1' has learning rate 0.01, but none of its tensors changed"
    ]


def test_a_tensor_that_is_not_finite():
    def spoil(backbone: nn.Module, step: int) -> None:
        if step == 3:
            backbone.blocks[1].query.weight.data[0, 0] = float("inf")

    assert faults(words(), training_stage("block-1", epochs=1, on_step_end=spoil)) == [
        "the tensor blocks.1.query.weight is not finite"
    ]


class Detached(Words):
    def embedded(self, batch: Batch) -> Tensor:
        return super().embedded(batch).detach()


def test_tensors_that_never_received_a_gradient():
    assert faults(Detached().eval(), training_stage(*PARTS)) == [
        "the tensor embedding.weight is trainable, but never received a gradient",
        "the tensor embedding_norm.bias is trainable, but never received a gradient",
        "the tensor embedding_norm.weight is trainable, but never received a gradient",
    ]


def test_a_tensor_that_was_replaced():
    def replace(backbone: Words) -> None:
        layer = backbone.blocks[1].query
        layer.weight = nn.Parameter(layer.weight.clone())

    assert faults(words(), training_stage("block-1", on_step_end=after(replace))) == [
        "the tensor blocks.1.query.weight is trainable, but was replaced by another"
    ]


def test_a_long_list_of_faults_is_cut_with_the_number_left_out():
    def spoil(backbone: Words) -> None:
        for parameter in backbone.blocks[0].parameters():
            parameter.add_(1)

    with pytest.raises(WeightGuardError) as caught:
        trained(words(), training_stage("block-1", on_step_end=after(spoil)))
    lines = str(caught.value).splitlines()
    assert len(caught.value.faults) == 16
    assert lines[11] == "  … and 6 more."
    assert len(lines) == 13


# --- faults of losses, callbacks and insertions of a stage


def test_a_regularizer_that_changes_a_weight():
    def shrink(backbone: nn.Module) -> Tensor:
        backbone.blocks[0].query.weight.data.mul_(0.99)
        return backbone.blocks[1].query.weight.square().sum()

    assert faults(words(), training_stage("block-1", regularizer=shrink)) == [
        "the tensor blocks.0.query.weight is frozen, but changed"
    ]


def test_base_weights_initialised_again_before_the_steps():
    def draw(backbone: nn.Module, steps: int) -> None:
        nn.init.normal_(backbone.blocks[0].query.weight)

    assert faults(words(), training_stage("block-1", on_stage_start=draw)) == [
        "the tensor blocks.0.query.weight is frozen, but changed"
    ]


def test_a_frozen_part_in_training_mode_before_the_steps():
    stage = training_stage("block-1", on_stage_start=lambda backbone, steps: backbone.blocks[0].dropout.train())
    assert faults(words(), stage) == ["the module blocks.0.dropout is frozen, but ran in training mode"]


def halved(layer: nn.Module) -> nn.Module:
    layer.weight.data.mul_(0.5)
    return Scaled(layer)


def balanced(layers: Sequence[nn.Module]) -> Callable[[nn.Module], nn.Module]:
    layers[0].bias.data.add_(1)
    return Scaled


@pytest.mark.parametrize(
    ("wrap", "tensor"), [(halved, "weight"), (SharedWrap(balanced), "bias")], ids=["one layer", "all layers together"]
)
def test_a_layer_changed_while_it_is_wrapped(wrap, tensor):
    insertion = replace(SCALING, wrap=wrap)
    assert faults(words(), training_stage(insertions=(insertion,))) == [
        f"the tensor blocks.1.query.{tensor} is frozen, but changed"
    ]


class Tiring(Scaled):
    """Changes the layer that it wraps in every training step."""

    def forward(self, value: Tensor) -> Tensor:
        if self.training:
            self.wrapped.bias.data.mul_(0.9)
        return super().forward(value)


def test_a_layer_changed_by_the_module_around_it():
    assert faults(words(), training_stage(insertions=(replace(SCALING, wrap=Tiring),))) == [
        "the tensor blocks.1.query.bias is frozen, but changed"
    ]


class Absent(Scaled):
    """Takes part in eval mode only, as in a dry run."""

    def forward(self, value: Tensor) -> Tensor:
        return self.wrapped(value) if self.training else super().forward(value)


def test_an_inserted_module_that_takes_no_part_in_training():
    assert faults(words(), training_stage(insertions=(replace(SCALING, wrap=Absent),))) == [
        "the tensor blocks.1.query:scale.factor is trainable, but never received a gradient",
        "the group 'inserted scale' has learning rate 0.01, but none of its tensors changed",
    ]


def test_a_loss_that_stops_the_gradient_before_the_backbone():
    def detached(head: HeadModule, output: Tensor, targets: Batch, features: Features) -> LossSum:
        cut = replace(features, values=tuple(value.detach() for value in features.values))
        return head.loss(head(cut), targets, cut)

    query = Unfreeze(("block-1",), 1e-2, roles=frozenset({LayerRole.QUERY}))
    assert faults(words(), training_stage(unfreeze=(query,), loss=detached)) == [
        "the tensor blocks.1.query.bias is trainable, but never received a gradient",
        "the tensor blocks.1.query.weight is trainable, but never received a gradient",
        "the group 'block-1' has learning rate 0.01, but none of its tensors changed",
    ]


def test_a_loss_of_a_teacher_that_moves_the_student_s_head(small_plugin_installed, tmp_path):
    teacher = tg.compose("small-words", "classification", "linear-probe")
    teacher.fit(sentences(), target="label", quiet=True)
    teacher.save(tmp_path / "teacher")

    def shifted(head: HeadModule, output: Tensor, targets: Batch, features: Features) -> LossSum:
        labels, soft = split_soft_labels(targets)
        head.readout.bias.data.copy_(soft["shares"].mean(0))
        return head.loss(output, labels, features)

    stage = training_stage("block-1", head_learning_rate=None, loss=shifted, teacher=Teacher(str(tmp_path / "teacher")))
    assert faults(words(), stage) == ["the tensor head.readout.bias is frozen, but changed"]


def test_a_learning_rate_that_decays_so_fast_that_nothing_changes():
    assert faults(words(), training_stage("embedding", layer_decay=1e-30)) == [
        "the group 'embedding' has learning rate 0.01, but none of its tensors changed"
    ]


# --- allowed


def test_a_learning_rate_of_zero_is_allowed():
    trained(words(), training_stage("block-1", rate=0.0, head_learning_rate=0.0))


def test_a_tensor_overwritten_with_its_own_values_is_allowed():
    def same(backbone: Words) -> None:
        backbone.embedding.weight.copy_(backbone.embedding.weight.clone())

    trained(words(), training_stage("block-1", on_step_end=after(same)))


class Gated(Words):
    """Its last block adds something through a gate that is zero at first and stays zero."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks[1].extra = nn.Linear(16, 16)
        self.blocks[1].gate = nn.Parameter(torch.zeros(16))

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        features = super().forward_from_cut(cut, state, layout)
        block = self.blocks[1]
        return Features(layout, (features.value + block.gate * block.extra(features.value),), features.lengths)


def test_zero_gradients_behind_a_gate_that_stays_zero_are_reported_with_the_reason():
    @torch.no_grad()
    def close(backbone: nn.Module, step: int) -> None:
        backbone.blocks[1].gate.zero_()

    reason = "behind blocks.1.gate, which was zero"
    assert zero_gradients(Gated().eval(), training_stage("block-1", on_step_end=close)) == {
        "blocks.1.extra.weight": reason,
        "blocks.1.extra.bias": reason,
    }


def test_behind_a_gate_that_opens_no_zero_gradient_is_reported():
    assert zero_gradients(Gated().eval(), training_stage("block-1")) == {}


def test_a_gate_that_opened_does_not_explain_a_missing_gradient():
    class Half(Gated):
        def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
            features = Words.forward_from_cut(self, cut, state, layout)
            extra = self.blocks[1].extra(features.value).detach()
            return Features(layout, (features.value + self.blocks[1].gate * extra,), features.lengths)

    assert faults(Half().eval(), training_stage("block-1")) == [
        "the tensor blocks.1.extra.bias is trainable, but never received a gradient",
        "the tensor blocks.1.extra.weight is trainable, but never received a gradient",
    ]


def test_a_bias_of_zero_is_not_a_gate():
    backbone = Detached().eval()
    nn.init.zeros_(backbone.embedding_norm.bias)
    assert "the tensor embedding.weight is trainable, but never received a gradient" in faults(
        backbone, training_stage(*PARTS)
    )


def zero_gradients(backbone: Backbone, stage: Stage, **settings: Any) -> dict[str, str]:
    return fitted(backbone, stage, **settings)[1].stages[0].excused


# --- correct training of the common shapes


class Encoder(Backbone):
    """A model of the transformers library, or a residual network, with a description."""

    def __init__(self, model: nn.Module, parts: tuple[Part, ...], size: int, unused: tuple[str, ...] = ()):
        super().__init__()
        self.model = model
        self.parts, self.size, self.unused = parts, size, unused
        self.eval()

    @property
    def description(self) -> BackboneDescription:
        inputs = (InputField(self.column),)
        return BackboneDescription(inputs, (vector(self.size),), self.parts, unused=self.unused)


class TextEncoder(Encoder):
    column = "text"

    @property
    def processor(self) -> Processor:
        return WordsProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        mask = batch.mask(ELEMENT_AXIS)
        hidden = self.model(input_ids=batch["words"] % 60 + 3, attention_mask=mask.long()).last_hidden_state
        return Features(layout, (mean(hidden, mask, batch.lengths[ELEMENT_AXIS]),))


class ImageEncoder(Encoder):
    column = "image"

    @property
    def processor(self) -> Processor:
        return PicturesProcessor(8)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        image = batch["image"].to(next(self.model.parameters()).dtype)
        output = self.model(image)
        return Features(layout, (output if isinstance(output, Tensor) else output.last_hidden_state.mean(1),))


def parts_of(first: tuple[str, ...], blocks: str, last: tuple[str, ...]) -> tuple[Part, ...]:
    return (
        Part("first", first, sequence(16)),
        Part("block-0", (f"{blocks}.0",), sequence(16)),
        Part("block-1", (f"{blocks}.1", *last), sequence(16)),
    )


SHAPE: Mapping[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def bert() -> Backbone:
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**SHAPE, vocab_size=64), add_pooling_layer=False)
    return TextEncoder(model, parts_of(("model.embeddings",), "model.encoder.layer", ()), 16)


def esm() -> Backbone:
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(**SHAPE, vocab_size=64, position_embedding_type="rotary", pad_token_id=1, mask_token_id=2)
    model = EsmModel(config, add_pooling_layer=False)
    parts = parts_of(
        ("model.embeddings", "model.rotary_embeddings"), "model.encoder.layer", ("model.encoder.emb_layer_norm_after",)
    )
    return TextEncoder(model, parts, 16, ("model.contact_head", "model.embeddings.position_ids"))


def vit() -> Backbone:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(**SHAPE, image_size=8, patch_size=4, num_channels=1)
    model = ViTModel(config, add_pooling_layer=False)
    blocks = "model.encoder.layer" if hasattr(model, "encoder") else "model.layers"
    return ImageEncoder(model, parts_of(("model.embeddings",), blocks, ("model.layernorm",)), 16)


class Residual(nn.Module):
    """Two convolutions around which the input passes; the last scale is zero at first, as timm draws it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(2))
        self.norm_one, self.norm_two = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        nn.init.zeros_(self.norm_two.weight)

    def forward(self, grid: Tensor) -> Tensor:
        inner = torch.relu(self.norm_one(self.one(grid)))
        return torch.relu(grid + self.norm_two(self.two(inner)))


def resnet() -> Backbone:
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(stem, nn.Sequential(Residual(), Residual()), pool)
    grid = FeatureDescription(Layout.GRID, (16,), strides=(1,))
    parts = (
        Part("first", ("model.0",), grid),
        Part("block-0", ("model.1.0",), grid),
        Part("block-1", ("model.1.1",), grid),
    )
    return ImageEncoder(model, parts, 16)


SHAPES = {"BERT": bert, "ESM": esm, "ViT": vit, "ResNet": resnet}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["weights fp32", "weights bf16"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("parts", [("first", "block-0", "block-1"), ("block-1",), ()], ids=["full", "last", "head"])
@pytest.mark.parametrize("shape", SHAPES)
def test_correct_training_raises_nothing(shape, parts, precision, dtype):
    torch.manual_seed(0)
    backbone = SHAPES[shape]().to(dtype)
    rows = sentences() if isinstance(backbone, TextEncoder) else images()
    trained(backbone, training_stage(*parts, rate=1e-3), rows=rows, precision=precision)


def test_zero_gradients_behind_a_zero_scale_in_the_only_step_are_reported():
    torch.manual_seed(0)
    found = zero_gradients(resnet(), training_stage("block-1", epochs=1), rows=images(), batch_size=16, warmup=0.0)
    reason = "behind model.1.1.norm_two.weight, which was zero"
    assert found == dict.fromkeys(
        (f"model.1.1.{name}" for name in ("one.weight", "two.weight", "norm_one.weight", "norm_one.bias")), reason
    )


# --- data


class Dark(Pictures):
    """Its features of a black image are zero, as behind layers without bias."""

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        bright = state["image"].flatten(1).abs().sum(1) if cut == 0 else torch.ones(len(state))
        return replace(
            features, values=tuple(value * bright.view(-1, *[1] * (value.dim() - 1)) for value in features.values)
        )


def test_inputs_that_give_no_features_are_a_fault_of_the_data():
    rows = images()
    rows["image"] = [[[0.0] * 8] * 8] * len(rows["image"])
    stage = training_stage("stem", "middle", "last")
    with pytest.raises(WeightGuardError) as caught:
        trained(Dark(PicturesConfig()).eval(), stage, rows=rows)
    assert str(caught.value) == (
        "The stage 'first' had nothing to train on: the features of all 8 examples checked are zero, and so "
        "are all values of image. Check the input columns: image."
    )
