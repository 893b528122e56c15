"""What does not work is refused when it is composed, with the reason. More pairs are in the matrix, tests/test_matrix.py."""

import pytest

import taskgraft as tg
from taskgraft.adaptation.dry_run import InsertionFailed
from taskgraft.plugin import ConfigError

ADVICE = "\nChoose another strategy, or other layers for this one."


def refusal(backbone, strategy) -> str:
    with pytest.raises(tg.TaskgraftError) as caught:
        tg.compose(backbone, "classification", strategy)
    return str(caught.value)


def test_a_prefix_that_features_do_not_depend_on(base):
    backbone, _ = base("t5")
    assert refusal(backbone, "prefix-tuning:3") == (
        f"'prefix-tuning:3' does not work in '{backbone}', as a dry run showed: the features do not depend on "
        f"model:prefix-tuning.prefix.prompt_encoder.default.embedding.weight, so it would never be trained.{ADVICE}"
    )


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v3"])
def test_a_prefix_that_a_model_stumbles_over(base, kind):
    backbone, _ = base(kind)
    with pytest.raises(InsertionFailed, match=r"does not work in .*, as a dry run showed: RuntimeError: "):
        tg.compose(backbone, "classification", "prefix-tuning:3")


def test_a_rank_that_the_groups_of_a_convolution_do_not_divide(base):
    backbone, _ = base("convnext")
    strategy = {"name": "lora", "rank": 7, "roles": ["depthwise"]}
    assert "peft does not go around a layer of the type Conv2d: Targeting a Conv2d with groups=" in refusal(
        backbone, strategy
    )


def test_roles_that_the_last_parts_do_not_have(base):
    backbone, _ = base("bert")
    assert refusal(backbone, {"name": "lora", "roles": ["convolution"], "last": 2}) == (
        "'lora' goes around layers whose role is one of convolution, but those of the last 2 parts of this backbone are "
        "attention-output, feed-forward-in, feed-forward-out, key, query, value; choose among these with 'roles'."
    )


def test_more_parts_than_there_are(base):
    backbone, _ = base("bert")
    assert refusal(backbone, {"name": "dora", "last": 4}) == (
        "'dora' is to go into the last 4 parts, but the backbone has 3: block.0, block.1, block.2. Choose last = 3 or less."
    )


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        ({"name": "lora", "roles": ["model"]}, "the role 'model' is the model as a whole, not a layer of it"),
        ({"name": "adalora", "rank": 8, "first_rank": 8}, "first_rank is 8, but must be more than rank, which is 8"),
        ({"name": "adalora", "warmup": 0.6, "settled": 0.4}, "together they must be less than 1"),
        ({"name": "lora", "rank": 0}, "rank"),
        ({"name": "prompt-tuning", "length": 0}, "length"),
    ],
)
def test_settings_that_cannot_be(base, strategy, problem):
    backbone, _ = base("bert")
    with pytest.raises(ConfigError, match=problem):
        tg.compose(backbone, "classification", strategy)
