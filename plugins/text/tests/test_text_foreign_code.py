"""Checkpoints that ask for code, kernels or weights from elsewhere: nothing is fetched or run, and one sentence says so."""

import json
import shutil
import sys
import warnings

import pytest
import transformers.modeling_utils
from transformers import CLIPConfig

import taskgraft as tg
from taskgraft.plugin import Checkpoint, InvalidCheckpoint
from taskgraft_text.backbone import TextBackbone
from taskgraft_text.settings import TextConfig
from taskgraft_transformers.foreign_code import IgnoredSetting, ignore_implementations
from taskgraft_transformers.structure import read_config

pytestmark = pytest.mark.slow

IMPLEMENTATIONS = (
    "evil/kernel",
    "evil/kernel@main",
    "evil/kernel@v1:forward",
    "kernels-community/flash-attn2",
    "flash_attention_2",
    "flash_attention_3",
    "paged|evil/kernel",
    "msa|evil/kernel",
    "flex_attention",
    "unheard of",
)

KEYS = ("attn_implementation", "_attn_implementation")


@pytest.fixture
def checkpoint(saved, tmp_path):
    return shutil.copytree(saved("bert"), tmp_path / "checkpoint")


@pytest.fixture
def fetched(monkeypatch):
    """What transformers would fetch from the hub; the library for kernels is installed, as far as it can tell."""
    asked = []
    monkeypatch.setattr(transformers.modeling_utils, "lazy_import_flash_attention", lambda *a, **k: asked.append(a))
    monkeypatch.setattr(transformers.modeling_utils, "is_kernels_available", lambda: True)
    return asked


def change(folder, name="config.json", **changes):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def build(folder):
    return TextBackbone(TextConfig(checkpoint=str(folder)))


def test_the_trap_works_on_transformers_itself(checkpoint, fetched):
    change(checkpoint, attn_implementation="evil/kernel")
    transformers.AutoModel.from_pretrained(checkpoint)
    assert fetched


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", IMPLEMENTATIONS)
def test_an_attention_implementation_from_elsewhere_is_ignored_and_said(checkpoint, fetched, key, value):
    change(checkpoint, **{key: value})
    with pytest.warns(IgnoredSetting) as caught:
        backbone = build(checkpoint)
    assert fetched == []
    assert backbone.model.config._attn_implementation in ("sdpa", "eager")
    assert {str(one.message) for one in caught} == {
        f"The checkpoint '{checkpoint}' asks for attn_implementation = '{value}', whose code is not part of transformers and "
        "would be fetched. It is ignored; the default implementation computes the same."
    }


def test_by_configuration_too(checkpoint, fetched):
    change(checkpoint, attn_implementation={"": "evil/kernel"})
    with pytest.warns(IgnoredSetting):
        build(checkpoint)
    assert fetched == []


def test_also_of_experts_and_in_nested_configurations():
    config = CLIPConfig(text_config={"attn_implementation": "evil/kernel"}, experts_implementation="evil/experts")
    config.others = [{"deep": CLIPConfig(attn_implementation="flash_attention_2")}]
    with pytest.warns(IgnoredSetting):
        ignore_implementations(config, "acme/model")
    deep = config.others[0]["deep"]
    every = (config, config.text_config, config.vision_config, deep, deep.text_config, deep.vision_config)
    assert {one._attn_implementation for one in every} == {None}
    assert {one._experts_implementation for one in every} == {None}


@pytest.mark.parametrize("value", ["eager", "sdpa"])
def test_the_implementations_of_transformers_are_obeyed_without_a_word(checkpoint, value):
    change(checkpoint, attn_implementation=value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build(checkpoint).model.config._attn_implementation == value


def test_features_are_those_of_the_honest_checkpoint(saved, checkpoint, fetched):
    change(checkpoint, attn_implementation="evil/kernel")
    honest = tg.extract_features(f"hf-text:{saved('bert')}", ["my card is lost"], quiet=True)
    with pytest.warns(IgnoredSetting):
        forged = tg.extract_features(f"hf-text:{checkpoint}", ["my card is lost"], quiet=True)
    assert (honest.values == forged.values).all()


CODE = (
    "its model is Python code (auto_map in config.json), which runs only if you set remote_code = true, for a backbone "
    "that has this setting (hf-text)"
)

REFUSED = {
    "quantization": (
        {"quantization_config": {"quant_method": "mxfp4"}},
        "its weights are quantized by 'mxfp4' (quantization_config in config.json), which needs code from elsewhere; choose "
        "the checkpoint without quantization",
    ),
    "quantization of a part": (
        {"text_config": {"quantization_config": {"bits": 4}}},
        "its weights are quantized (quantization_config in config.json), which needs code from elsewhere; choose the "
        "checkpoint without quantization",
    ),
    "timm from the hub": (
        {"model_type": "timm_wrapper", "architecture": "hf-hub:evil/model"},
        "its config.json takes a model from elsewhere (architecture = 'hf-hub:evil/model'); name that checkpoint itself",
    ),
    "timm from a folder": (
        {"model_type": "detr", "backbone_config": {"model_type": "timm_backbone", "backbone": "local-dir:/elsewhere"}},
        "its config.json takes a model from elsewhere (backbone = 'local-dir:/elsewhere'); name that checkpoint itself",
    ),
    "arguments of timm": (
        {"model_type": "timm_wrapper", "architecture": "resnet18", "model_args": {"checkpoint_path": "/elsewhere.pth"}},
        "its config.json makes timm read other files (model_args.checkpoint_path); remove that",
    ),
    "other weights": (
        {"transformers_weights": "hidden/model.safetensors"},
        "its config.json takes the weights from another file (transformers_weights = 'hidden/model.safetensors'); remove that",
    ),
    "code of its own": (
        {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Model"}},
        CODE,
    ),
    "code of another repository": (
        {"model_type": "evil", "auto_map": {"AutoConfig": "evil/code--evil.Evil"}},
        CODE,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_taken_from_elsewhere_is_refused(checkpoint, case):
    changes, problem = REFUSED[case]
    (checkpoint / "evil.py").write_text("raise SystemExit('code ran')\n")
    change(checkpoint, **changes)
    with pytest.raises(InvalidCheckpoint) as caught:
        build(checkpoint)
    assert str(caught.value) == f"The checkpoint '{checkpoint}' cannot be used: {problem}."


def test_an_adapter_beside_the_weights_is_refused(checkpoint):
    (checkpoint / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "evil/base"}')
    with pytest.raises(InvalidCheckpoint) as caught:
        read_config(Checkpoint(str(checkpoint)))
    assert str(caught.value) == (
        f"The checkpoint '{checkpoint}' cannot be used: it has an adapter (adapter_config.json), which changes its weights; "
        "merge it with merge_and_unload() of peft and save the model, or remove the file."
    )


HARMLESS = {
    "config.json": {
        "auto_map": {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"},
        "trust_remote_code": True,
        "use_kernels": True,
        "kernel_config": {"kernel_mapping": {"LayerNorm": "evil/kernel:LayerNorm"}},
        "custom_pipelines": {"evil": {"impl": "evil.Evil"}},
        "custom_pipeline": "evil/pipeline",
        "name_or_path": "evil/model",
        "_commit_hash": "0" * 40,
    },
    "tokenizer_config.json": {
        "auto_map": {"AutoTokenizer": ["evil.Slow", "evil.Fast"]},
        "tokenizer_class": "EvilTokenizer",
        "trust_remote_code": True,
        "name_or_path": "evil/model",
    },
}
"""Keys that transformers knows, and that do nothing without consent."""


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in HARMLESS.items() for key in keys])
def test_other_keys_that_mention_code_do_nothing(saved, checkpoint, fetched, name, key):
    for module in ("evil", "modeling_evil"):
        (checkpoint / f"{module}.py").write_text("raise SystemExit('code ran')\n")
    change(checkpoint, name, **{key: HARMLESS[name][key]})
    backbone = build(checkpoint)
    assert fetched == []
    assert not [module for module in sys.modules if "evil" in module]
    assert backbone.state_dict().keys() == build(saved("bert")).state_dict().keys()
