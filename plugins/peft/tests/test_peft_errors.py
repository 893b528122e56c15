"""What does not work is an error on composition, with the reason. More pairs are in tests/system/test_matrix.py."""

import pytest

import taskgraft as tg
from taskgraft.plugin import ConfigError

ADVICE = "\nChoose another strategy, or other layers for this one."


def error_of(backbone, strategy) -> str:
    with pytest.raises(tg.TaskgraftError) as caught:
        tg.compose(backbone, "classification", strategy)
    return str(caught.value)


def test_a_prefix_that_features_do_not_depend_on(base):
    backbone, _ = base("t5")
    assert error_of(backbone, "prefix-tuning:3") == (
        f"'prefix-tuning:3' does not work in '{backbone}', as a dry run showed: the features do not depend on "
        f"model:prefix-tuning.prefix.prompt_encoder.default.embedding.weight, so it would never be trained.{ADVICE}"
    )


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v3"])
def test_a_prefix_that_fails_in_a_model(base, kind):
    backbone, _ = base(kind)
    with pytest.raises(tg.TaskgraftError, match=r"does not work in .*, as a dry run showed: RuntimeError: "):
        tg.compose(backbone, "classification", "prefix-tuning:3")


@pytest.mark.slow
def test_a_rank_that_the_groups_of_a_convolution_do_not_divide(base):
    backbone, _ = base("convnext")
    strategy = {"name": "lora", "rank": 7, "roles": ["depthwise"]}
    assert "peft cannot wrap a Conv2d layer: Targeting a Conv2d with groups=" in error_of(backbone, strategy)


def test_roles_that_the_last_parts_do_not_have(base):
    backbone, _ = base("bert")
    assert error_of(backbone, {"name": "lora", "roles": ["convolution"], "last": 2}) == (
        "'lora' wraps layers with one of the roles convolution, but the last 2 parts of this backbone have only layers with "
        "the roles attention-output, feed-forward-in, feed-forward-out, key, query, value; choose among these with 'roles'."
    )


def test_more_parts_than_there_are(base):
    backbone, _ = base("bert")
    assert error_of(backbone, {"name": "dora", "last": 4}) == (
        "'dora' is set to wrap the last 4 parts, but the backbone has 3: block.0, block.1, block.2. Choose last = 3 or less."
    )


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        ({"name": "lora", "roles": ["model"]}, "the role 'model' is the whole model, not a layer"),
        ({"name": "adalora", "rank": 8, "first_rank": 8}, "first_rank is 8, but must be more than rank, which is 8"),
        ({"name": "adalora", "warmup": 0.6, "settled": 0.4}, "together they must be less than 1"),
        ({"name": "lora", "rank": 0}, "rank"),
        ({"name": "prompt-tuning", "length": 0}, "length"),
    ],
)
def test_invalid_settings(base, strategy, problem):
    backbone, _ = base("bert")
    with pytest.raises(ConfigError, match=problem):
        tg.compose(backbone, "classification", strategy)
