"""A run is resumed with the base it was started with, or refused with both fingerprints."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

import taskgraft as tg
from taskgraft.plugin import TaskgraftError

ROWS = {"text": ["lost card", "late parcel", "my card", "my parcel"], "label": ["card", "parcel", "card", "parcel"]}


@pytest.fixture
def base(saved, tmp_path):
    return shutil.copytree(saved("bert"), tmp_path / "base")


def fit(base, run):
    """Fit; the checkpoint of the last epoch stays in the folder, so a second call resumes it."""
    model = tg.compose(f"hf-text:{base}", head="classification", strategy="partial:1")
    model.fit(ROWS, target="label", training={"epochs": 1}, run=run, resume=True, quiet=True)
    return model


def change_weights(base):
    tensors = load_file(base / "model.safetensors")
    name = next(name for name in tensors if name.endswith("query.weight"))
    save_file(tensors | {name: tensors[name] + 1}, base / "model.safetensors", {"format": "pt"})


def change_tokenizer(base):
    path = base / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize("change", [change_weights, change_tokenizer])
def test_another_base_is_refused_with_both_fingerprints(base, tmp_path, change):
    before = fit(base, tmp_path / "run").fitted.base
    change(base)
    now = tg.compose(f"hf-text:{base}", head="classification", strategy="partial:1")
    now.fit(ROWS, target="label", training={"epochs": 1}, quiet=True)
    assert now.fitted.base != before

    with pytest.raises(TaskgraftError) as raised:
        fit(base, tmp_path / "run")
    assert str(raised.value) == (
        f"Cannot resume {tmp_path / 'run'}: "
        f'base was "{before}" and is now "{now.fitted.base}". '
        "Undo this, or start again without resume (on the command line: --overwrite instead of --resume)."
    )


def test_a_file_that_decides_nothing_may_change(base, tmp_path):
    first = fit(base, tmp_path / "run")
    (base / "README.md").write_text("about this checkpoint")
    assert fit(base, tmp_path / "run").predict_proba(ROWS, quiet=True) == first.predict_proba(ROWS, quiet=True)
