"""Every strategy with every kind of backbone: two steps under the guard, saved, loaded, equal bits; or the reason why not."""

from copy import deepcopy
from dataclasses import replace

import every_pair
import pytest
import torch
from grafts import Grafts
from small_tasks import classification, sentences, words
from torch import nn

from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.specs import StrategySpec
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable
from taskgraft.discovery.catalog import catalog
from taskgraft.model.compose import compose
from taskgraft.testing import MatrixCell, Verdict, matrix, matrix_table

pytestmark = pytest.mark.slow

ROLES = "convolution, feed-forward-in, feed-forward-out, fused, query, value"
NO_ROLES = (
    "'{}' wraps layers with one of the roles {}, but this backbone has no layer with a role. Choose adapters, bitfit, or "
    "another strategy that needs no roles."
)
NO_MODEL = (
    "'{}' puts virtual tokens into a transformers model, but this backbone has no layer with the role 'model'. "
    "Choose lora, or another strategy that wraps layers."
)
NO_FRONT = {name: NO_MODEL.format(name) for name in ("prefix-tuning", "prompt-tuning")}
ADVICE = "\nChoose another strategy, or other layers for this one."

REFUSED = {
    "vit": NO_FRONT,
    "resnet": NO_FRONT
    | {
        "vera": "'vera:8' does not work in 'timm:test_resnet', as a dry run showed: peft cannot wrap a Conv2d "
        "layer: No layers types compatible with VeRA were found. Please check `peft_config.target_modules`." + ADVICE
    },
    "esm": {
        "prefix-tuning": "'prefix-tuning:3' does not work in 'protein:FOLDER/esm', as a dry run showed: RuntimeError: "
        "Attempting to broadcast a dimension of length 6 at -2! Mismatching argument at index 1 had torch.Size([2, 6, 1]); but "
        "expected shape should be broadcastable to [2, 3, 16]." + ADVICE
    },
    "ft-transformer": NO_FRONT,
    "tabm": NO_FRONT
    | {name: NO_ROLES.format(name, ROLES) for name in ("lora", "dora", "rslora", "adalora", "vera")}
    | {"ia3": NO_ROLES.format("ia3", ROLES.replace("query", "key"))},
}
"""Backbone → strategy → the reason why it is refused. Every other pair works."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module")
def strategies(folder):
    return every_pair.strategies(folder)


@pytest.mark.parametrize("kind", every_pair.KINDS)
def test_every_strategy_trains_saves_and_loads_or_says_why_not(folder, strategies, kind):
    cells = list(matrix(every_pair.backbones(folder, (kind,)), strategies))
    assert [f"{cell.strategy}: {cell.text}" for cell in cells if cell.verdict is Verdict.BROKEN] == []
    found = {cell.strategy: cell.text.replace(str(folder), "FOLDER") for cell in cells if cell.text}
    assert found == REFUSED.get(kind, {})
    assert [cell.strategy for cell in cells] == list(strategies)


def test_no_strategy_that_is_installed_is_missing(strategies):
    tried = {name.partition(" (")[0] for name in strategies}
    assert {spec.name for spec, _ in catalog().specs(StrategySpec)} == tried
    assert len(strategies) == len(tried) + 1  # two of those made of others


def test_every_strategy_that_descends_takes_sharpness_aware_steps_and_averages_them(folder, strategies):
    ((backbone, rows),) = every_pair.backbones(folder, ("bert",)).values()
    refused = {}
    for name, strategy in strategies.items():
        around = {"name": "sharpness-aware", "strategy": strategy}
        try:
            model = compose(deepcopy(backbone), "classification", {"name": "average", "strategy": around})
        except StrategyNotApplicable as error:
            refused[name] = str(error).partition(",")[0]
            continue
        model.fit(rows, target="label", training={"steps": 2, "batch_size": 3, "warmup": 0.0}, quiet=True)
    assert refused == {
        "average": "'average' averages weights",
        "linear-probe": "'sharpness-aware' changes the steps of gradient descent",
        "sharpness-aware": "'sharpness-aware' computes the gradient of each step",
    }


class ChangesUndeclared(Strategy):
    """Changes a weight that its stage does not declare."""

    def plan(self, backbone, head):
        @torch.no_grad()
        def stir(below: nn.Module, step: int) -> None:
            below.embedding.weight.add_(1)

        (stage,) = Grafts(LayerRole.QUERY).plan(backbone, head)
        return (replace(stage, on_step_end=stir),)


def test_a_failure_is_reported_and_the_rest_is_tried():
    strategies = {"stirring": ChangesUndeclared(), "grafts": Grafts(LayerRole.QUERY), "partial": "partial:9"}
    cells = list(matrix({"words": (words(), sentences(6))}, strategies, classification()))
    broken, kept, refused = cells
    assert broken == MatrixCell(
        "stirring",
        "words",
        Verdict.BROKEN,
        "The stage 'grafts' did not train exactly what it declared:\n"
        "  the tensor embedding.weight is frozen, but changed\n"
        "This is a bug in the strategy, the backbone or the head, not in your data.",
    )
    assert kept == MatrixCell("grafts", "words", Verdict.KEPT)
    assert (refused.verdict, refused.text.partition(".")[0]) == (
        Verdict.REFUSED,
        "'partial' has learn = 9, but the backbone has only 3 parts: embedding, block-0, block-1",
    )


def test_a_matrix_is_a_table_with_the_reasons_below_it():
    cells = [
        MatrixCell("full", "words", Verdict.KEPT),
        MatrixCell("full", "pictures", Verdict.KEPT),
        MatrixCell("lora", "words", Verdict.REFUSED, "No layer has a role."),
        MatrixCell("lora", "pictures", Verdict.BROKEN, "ValueError: rank"),
        MatrixCell("dora", "words", Verdict.REFUSED, "No layer has a role."),
    ]
    assert matrix_table(cells) == (
        "      words        pictures\n"
        "full  kept         kept\n"
        "lora  refused (1)  BROKEN (2)\n"
        "dora  refused (1)\n"
        "\n"
        "(1) No layer has a role.\n"
        "(2) ValueError: rank\n"
        "2 kept, 2 refused, 1 broken."
    )
