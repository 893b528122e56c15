"""The checks that taskgraft makes of a backbone's cuts and padding, for tests of plugins, which import no module of the core."""

from taskgraft.engine.feature_checks import UnreliableBackbone as UnreliableBackbone
from taskgraft.engine.feature_checks import check_features as check_features
from taskgraft.engine.feature_checks import max_relative_difference as max_relative_difference
from taskgraft.engine.feature_checks import through_cut as through_cut
