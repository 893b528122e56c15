"""How taskgraft checks the cuts of a backbone, for tests of plugins, which import no module of the core."""

from taskgraft.engine.feature_checks import UnreliableBackbone, check_features, max_relative_difference, through_cut

__all__ = ["UnreliableBackbone", "check_features", "max_relative_difference", "through_cut"]
