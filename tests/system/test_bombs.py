"""Small files and settings that ask for much end in one sentence, within five seconds and 300 MB."""

import pytest
from attacks import Tally
from bombs import all_bombs, attempt, build_world, holds

FEW = 16
"""Of so many bombs one is tried in the tests of every day."""


def try_all(bombs, folder, kind):
    world = build_world(folder)
    tally = Tally(kind)
    for number, bomb in enumerate(bombs):
        outcome = attempt(bomb, world, folder / f"bomb {number}")
        tally.count(bomb.name, holds(outcome), outcome, f"({outcome.seconds:.1f} s, {outcome.memory >> 20} MB)")
    tally.check()


@pytest.mark.slow
def test_a_few_bombs_are_refused_at_once(tmp_path):
    try_all(all_bombs()[::FEW], tmp_path, "some bombs")


@pytest.mark.attack
def test_bombs_are_refused_at_once(tmp_path):
    try_all(all_bombs(), tmp_path, "bombs")
