"""Checks of the weights: random ones that are not trained."""

from taskgraft.composition.compose import Composition
from taskgraft.composition.resolve import GivenObject


def weight_warnings(composition: Composition, base: str | None) -> tuple[str, ...]:
    """Warn if a backbone has random weights, and no stage trains any of them.

    Of a backbone that was given as an object it is not known what its weights are.

    Args:
        base: the fingerprint of the base weights; None for random ones.
    """
    plan = composition.plan
    if base is not None or isinstance(composition.backbone, GivenObject) or any(stage.unfreeze for stage in plan):
        return ()
    only = "trains only what it inserts" if any(stage.insertions for stage in plan) else "trains none of them"
    return (
        f"The backbone '{composition.backbone.label}' has random weights, and '{composition.strategy.label}' {only}: the head "
        "reads random features. Choose pretrained weights, or a strategy that trains the backbone, such as full.",
    )
