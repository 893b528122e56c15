"""Which layers of a backbone an adapter goes around, decided from its description."""

from collections.abc import Sequence

from taskgraft.plugin import BackboneDescription, LayerRole, StrategyNotApplicable, join_words
from taskgraft_peft.settings import LayerConfig

ATTENTION = frozenset({LayerRole.QUERY, LayerRole.VALUE, LayerRole.FUSED})
"""What LoRA's authors found to be worth most (Hu et al. 2022, §7.1); fused layers hold both."""

FEED_FORWARD = frozenset({LayerRole.FEED_FORWARD_IN, LayerRole.FEED_FORWARD_OUT})

CONVOLUTION = frozenset({LayerRole.CONVOLUTION})


def choose(
    strategy: str,
    config: LayerConfig,
    backbone: BackboneDescription,
    usual: Sequence[frozenset[LayerRole]] = (ATTENTION, FEED_FORWARD | CONVOLUTION),
) -> tuple[tuple[str, ...], frozenset[LayerRole]]:
    """Choose parts and roles.

    Args:
        usual: what to take where the user names no roles: the first of these of which a layer is there.

    Returns:
        names of parts that have such layers, and the roles.

    Raises:
        StrategyNotApplicable: when no layer is left, or there are fewer parts than asked for.
    """
    names = [part.name for part in backbone.parts]
    if config.last is not None and config.last > len(names):
        raise StrategyNotApplicable(
            f"'{strategy}' is to go into the last {config.last} parts, but the backbone has {len(names)}: "
            f"{', '.join(names)}. Choose last = {len(names)} or less."
        )
    chosen = backbone.parts[-config.last :] if config.last else backbone.parts
    there = {role for part in chosen for role in part.roles.values()} - {LayerRole.MODEL}
    wanted = [frozenset(config.roles)] if config.roles else list(usual)
    found = next((roles & there for roles in wanted if roles & there), None)
    if found is None:
        where = "this backbone" if len(chosen) == len(names) else f"the last {len(chosen)} parts of this backbone"
        layers = "have no role at all. Choose adapters, bitfit, or another strategy that needs none"
        if there:
            layers = f"are {join_words(sorted(there))}; choose among these with 'roles'"
        raise StrategyNotApplicable(
            f"'{strategy}' goes around layers whose role is one of {join_words(sorted(frozenset().union(*wanted)))}, but those of "
            f"{where} {layers}."
        )
    return having(backbone, [part.name for part in chosen], found), found


def having(backbone: BackboneDescription, parts: Sequence[str], roles: frozenset[LayerRole]) -> tuple[str, ...]:
    """Keep those parts that have a layer with one of some roles."""
    return tuple(part.name for part in backbone.parts if part.name in parts and roles & set(part.roles.values()))
