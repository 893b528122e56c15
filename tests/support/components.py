"""Heads and strategies by name, for tests of plugins, which import no module of the core."""

from typing import Any

import taskgraft as tg
from taskgraft.plugin import Head, HeadSpec, Strategy, StrategySpec


def head(name: str, **settings: Any) -> Head[Any]:
    """Build a head of the catalog."""
    spec = next(spec for spec, _ in tg.catalog().specs(HeadSpec) if spec.name == name)
    return spec.build(spec.config(**settings))


def strategy(name: str, **settings: Any) -> Strategy:
    """Build a strategy of the catalog."""
    spec = next(spec for spec, _ in tg.catalog().specs(StrategySpec) if spec.name == name)
    return spec.build(spec.config(**settings))
