"""Fuzzing with hypothesis: whatever a recipe, a manifest or a run's state says, every exception is one of ours."""

import copy
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flips
import torch
import yaml
from attacks import Tally
from forged_artifact import MANIFEST, rewrite_manifest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import taskgraft as tg
from taskgraft.errors import TaskgraftError
from taskgraft.recipes.files import read_recipe
from taskgraft.storage.run_directory import STATE
from taskgraft.storage.verified_tensors import read_verified, write_verified

EXAMPLES = 25
"""Examples of one round; rounds follow each other, each with the next seed, until the time is up."""

NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**18, 10**30, 1e308, 1e-320, 0.5, True, False]),
)

NAMES = st.sampled_from(
    [
        "full",
        "lora",
        "partial:1",
        "stages",
        "distill",
        "classification",
        "regression",
        "fraud",
        "ft-transformer",
        "tabm",
        "csv",
        "fraction:0.1",
        "time",
        "taskgraft/full",
        "x",
        "",
        ":",
        "hf-text:nowhere",
        "timm:test_resnet",
        "full:",
        "a/b/c",
        "�",
        "name",
        "settings",
        "strategies",
        "object",
        "base",
        "learn",
        "learning_rate",
        "rank",
        "vocabulary",
        "0",
        "-1",
        "null",
    ]
)

TEXTS = st.one_of(NAMES, st.text(max_size=20))

VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def fuzz(tally: Tally, strategy: st.SearchStrategy[Any], attack: Callable[[Any], object], seconds: float) -> None:
    """Call a function with examples of a strategy until the time is up. It holds unless something else than ours is raised."""
    number, start = 0, time.monotonic()
    while time.monotonic() - start < seconds and len(tally.failures) < 5:
        last: list[Any] = []
        try:
            _round(number, tally, strategy, attack, last)
        except Exception as error:
            tally.failures.append(f"seed {number}: {type(error).__name__}: {error!s:.300} after {last!r:.1500}")
        number += 1


def _round(
    number: int, tally: Tally, strategy: st.SearchStrategy[Any], attack: Callable[[Any], object], last: list[Any]
) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def once(example: Any) -> None:
        last[:] = [example]
        begin, message = time.monotonic(), "accepted"
        tally.tried += 1
        try:
            attack(example)
        except TaskgraftError as error:
            message = str(error)
        assert message.strip(), "the message is empty"
        message.encode()
        tally.held += 1
        tally.seconds = max(tally.seconds, time.monotonic() - begin)

    once()


# --- recipes

KNOWN = {
    "backbone": TEXTS | VALUES,
    "head": TEXTS | VALUES,
    "strategy": TEXTS | VALUES,
    "data": VALUES
    | st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("train", "validation", "split", "reader", "inputs", "target", "labels", "missing", "x"), VALUES
        ),
    ),
    "training": VALUES
    | st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("epochs", "batch_size", "seed", "precision", "workers", "memory", "clip"), NUMBERS | VALUES
        ),
    ),
}

COMPONENTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["full", "lora", "stages", "classification", "multi-label", "tabular-resnet", "new-esm"])},
    optional=dict.fromkeys(
        (
            "learn",
            "rank",
            "strategies",
            "settings",
            "learning_rate",
            "feature_size",
            "blocks",
            "classes",
            "roles",
            "last",
        ),
        VALUES,
    ),
)

DOCUMENTS = st.fixed_dictionaries({}, optional=KNOWN) | st.fixed_dictionaries(
    {"backbone": COMPONENTS | TEXTS, "head": COMPONENTS | TEXTS, "strategy": COMPONENTS | TEXTS},
    optional={"data": KNOWN["data"], "training": KNOWN["training"]},
)

TOML = """backbone = "tabular-resnet"
head = {name = "classification", gamma = 2.0}
[strategy]
name = "stages"
strategies = ["linear-probe", {name = "full", learning_rate = 1e-4}]
[data]
train = 'train.csv'
labels = {"a b" = 'c'}
[training]
epochs = 3
seed = 0x1F
"""

YAML = """backbone: &b {name: tabular-resnet, blocks: 2}
head: classification
strategy:
  name: stages
  strategies: [linear-probe, {name: full, learning_rate: 1e-4}]
data: {train: train.csv, "labels": {a: 'b'}}
training:
  <<: {epochs: 3}
  precision: |
    auto
"""

PIECES = [
    *"{}[]\"'=:,.#&*!|>-+_ \n\t\0\\@%`?~",
    "<<",
    "---",
    "...",
    "1e999",
    "\\ud800",
    "é",
    "\ufeff",
    "\x85",
    "null",
    "!!int",
    "&b",
    "*b",
]

JSON = json.dumps(
    {"backbone": "tabular-resnet", "head": {"name": "classification"}, "strategy": "full", "training": {"epochs": 3}}
)


@st.composite
def changed_texts(draw: st.DrawFn) -> tuple[str, str]:
    """A recipe of one of the formats, with pieces replaced, doubled or left out."""
    suffix, text = draw(st.sampled_from([("toml", TOML), ("yaml", YAML), ("json", JSON)]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=5), st.just(text[start:end] * 2)))
        text = text[:start] + piece + text[end:]
    return suffix, text


def recipe_texts() -> st.SearchStrategy[tuple[str, str]]:
    suffixes = st.sampled_from(["toml", "yaml", "json"])
    written = DOCUMENTS.map(lambda document: ("json", json.dumps(document)))
    in_yaml = DOCUMENTS.map(lambda document: ("yaml", yaml.safe_dump(document, allow_unicode=True)))
    return st.one_of(changed_texts(), st.tuples(suffixes, st.text(max_size=200)), written, in_yaml)


def read_and_compose(folder: Path) -> Callable[[tuple[str, str]], None]:
    def attack(example: tuple[str, str]) -> None:
        suffix, text = example
        path = folder / f"recipe.{suffix}"
        path.write_bytes(text.encode(errors="surrogatepass"))
        recipe = read_recipe(path)
        tg.compose(recipe.backbone, recipe.head, recipe.strategy)

    return attack


# --- manifests and run states


@st.composite
def changes(draw: st.DrawFn, document: Any) -> Any:
    """A copy of a document with one to three of its values replaced, removed, renamed or doubled."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        place = changed
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if not (isinstance(inner, dict | list) and inner) or draw(st.integers(0, 3)) == 0:
                _change(draw, place, key)
                break
            place = inner
    return changed


def _change(draw: st.DrawFn, place: Any, key: Any) -> None:
    kind = draw(st.sampled_from(["replace", "replace", "remove", "rename", "double"]))
    value = place.pop(key) if kind in ("remove", "rename") else place[key]
    if kind == "replace":
        place[key] = draw(VALUES)
    elif kind == "rename" and isinstance(place, dict):
        place[draw(TEXTS)] = value
    elif kind == "double":
        place.append(value) if isinstance(place, list) else place.update({draw(TEXTS): value})


def load_changed(artifact: Path, folder: Path) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
    """Give changed manifests of an artifact, and what loads one with checksums that match, and predicts."""
    document = json.loads((artifact / MANIFEST).read_text())

    def attack(changed: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(artifact, folder)
        rewrite_manifest(folder, lambda old: (old.clear(), old.update(changed)))
        tg.load(folder).predict({"a": [1.0], "b": [2.0]}, quiet=True)

    return changes(document), attack


@st.composite
def changed_states(draw: st.DrawFn, document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    """A changed document and changed tensors of a checkpoint."""
    changed, others = document, dict(tensors)
    which = draw(st.integers(0, 2))
    if which != 1:
        changed = draw(changes(document))
    if which != 0:
        name = draw(st.sampled_from(sorted(others)))
        tensor = others.pop(name)
        kind = draw(st.sampled_from(["remove", "rename", "shape", "dtype", "nan", "empty", "new"]))
        if kind == "rename":
            others[draw(TEXTS.filter(lambda text: "\ud800" not in text))] = tensor
        elif kind != "remove":
            others[name] = {
                "shape": lambda: tensor.reshape(-1)[:1],
                "dtype": lambda: tensor.to(torch.float64 if tensor.dtype != torch.float64 else torch.int8),
                "nan": lambda: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor * 0 - 1,
                "empty": lambda: tensor.new_zeros(0),
                "new": lambda: tensor,
            }[kind]()
            if kind == "new":
                others[f"{name}.more"] = tensor.clone()
    return changed, others


def resume_changed(base: Path, folder: Path) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
    """Give changed checkpoints of an interrupted run, and what resumes it."""
    flips.interrupted(base, ("last", 3))
    document, tensors = read_verified(base / STATE)

    def attack(changed: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        write_verified(folder / STATE, *changed)
        flips.fit(folder)

    return changed_states(document, tensors), attack
