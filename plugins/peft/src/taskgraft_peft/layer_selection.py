"""Select the layers of a backbone that adapters wrap, by its description."""

from collections.abc import Sequence

from taskgraft.plugin import BackboneDescription, LayerRole, StrategyNotApplicable, join_words
from taskgraft_peft.settings import LayerConfig

ATTENTION = frozenset({LayerRole.QUERY, LayerRole.VALUE, LayerRole.FUSED})
"""The layers that LoRA's authors recommend (Hu et al. 2022, §7.1); fused layers contain both."""

FEED_FORWARD = frozenset({LayerRole.FEED_FORWARD_IN, LayerRole.FEED_FORWARD_OUT})

CONVOLUTION = frozenset({LayerRole.CONVOLUTION})


def select_layers(
    strategy: str,
    config: LayerConfig,
    backbone: BackboneDescription,
    defaults: Sequence[frozenset[LayerRole]] = (ATTENTION, FEED_FORWARD | CONVOLUTION),
) -> tuple[tuple[str, ...], frozenset[LayerRole]]:
    """Select parts and roles.

    Args:
        strategy: its name, for error messages.
        defaults: sets of roles; without roles in the settings, the first set of which the backbone has a layer is used.

    Returns:
        names of the parts that have such layers, and the roles.

    Raises:
        StrategyNotApplicable: if no layer is left, or there are fewer parts than asked for.
    """
    names = [part.name for part in backbone.parts]
    if config.last is not None and config.last > len(names):
        raise StrategyNotApplicable(
            f"'{strategy}' is set to wrap the last {config.last} parts, but the backbone has {len(names)}: "
            f"{', '.join(names)}. Choose last = {len(names)} or less."
        )
    parts = backbone.parts[-config.last :] if config.last else backbone.parts
    available = {role for part in parts for role in part.roles.values()} - {LayerRole.MODEL}
    wanted = [frozenset(config.roles)] if config.roles else list(defaults)
    selected = next((roles & available for roles in wanted if roles & available), None)
    if selected is None:
        has = "this backbone has" if len(parts) == len(names) else f"the last {len(parts)} parts of this backbone have"
        roles = "no layer with a role. Choose adapters, bitfit, or another strategy that needs no roles"
        if available:
            roles = f"only layers with the roles {join_words(sorted(available))}; choose among these with 'roles'"
        needed = join_words(sorted(frozenset().union(*wanted)))
        raise StrategyNotApplicable(f"'{strategy}' wraps layers with one of the roles {needed}, but {has} {roles}.")
    return parts_with_roles(backbone, [part.name for part in parts], selected), selected


def parts_with_roles(
    backbone: BackboneDescription, parts: Sequence[str], roles: frozenset[LayerRole]
) -> tuple[str, ...]:
    """Filter parts: keep those that have a layer with one of some roles."""
    return tuple(part.name for part in backbone.parts if part.name in parts and roles & set(part.roles.values()))
