"""Files that are not files: one kind in each place that is read; all kinds in all places are tried by ``make attack``."""

from itertools import cycle

import pytest
from attacks import Tally
from hostile_files import FAULTS, PLACES, REPLACEMENTS, Attack, attempt, build_world, holds

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("small_plugin_installed")
def test_one_kind_in_each_place_is_refused(tmp_path):
    world, kinds = build_world(tmp_path), cycle((*REPLACEMENTS, *FAULTS))
    tally = Tally("files that are not files")
    for place in PLACES:
        kind = next(kind for kind in kinds if place.ours or kind in REPLACEMENTS)
        outcome = attempt(Attack(place, kind), world)
        tally.count(f"{place.file} ({kind})", holds(outcome), outcome)
    tally.check()
